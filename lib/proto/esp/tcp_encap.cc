#include "winze/proto/esp/tcp_encap.h"

#include "winze/base/bytes.h"
#include "winze/base/error.h"

namespace winze::esp {

namespace {

constexpr TableCategory::Row kRows[] = {
    {static_cast<int>(StreamErrc::kBadPrefix), "the stream does not begin as RFC 9329 has it (IKETCP)"},
    {static_cast<int>(StreamErrc::kBadLength), "a frame is shorter than its own header"},
};
const TableCategory kCategory("esp_stream", kRows);

}  // namespace

const std::error_category& stream_category() noexcept { return kCategory; }

bool encode_frame(Buffer& message) {
  if (message.size() > kLargestFramed) return false;
  const std::size_t size = message.size() + kFrameHeaderSize;
  store_u16(message.prepend(kFrameHeaderSize), static_cast<std::uint16_t>(size));
  return true;
}

std::optional<std::span<const std::uint8_t>> FrameDecoder::next(std::span<const std::uint8_t>& bytes,
                                                                std::error_code& error) {
  for (; prefix_left_ != 0; --prefix_left_, bytes = bytes.subspan(1)) {
    if (bytes.empty()) return std::nullopt;
    if (bytes[0] != static_cast<std::uint8_t>(kStreamPrefix[kStreamPrefix.size() - prefix_left_])) {
      error = StreamErrc::kBadPrefix;
      return std::nullopt;
    }
  }
  if (bytes.size() < kFrameHeaderSize) return std::nullopt;
  const std::size_t size = load_u16(bytes.data());
  if (size < kFrameHeaderSize) {
    error = StreamErrc::kBadLength;
    return std::nullopt;
  }
  if (bytes.size() < size) return std::nullopt;
  const auto message = bytes.subspan(kFrameHeaderSize, size - kFrameHeaderSize);
  bytes = bytes.subspan(size);
  return message;
}

}  // namespace winze::esp
