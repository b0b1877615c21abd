#include "winze/proto/esp/tcp_encap.h"

#include <algorithm>
#include <utility>

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

void append_frame(Buffer& out, std::span<const std::uint8_t> message) {
  store_u16(out.append(kFrameHeaderSize), static_cast<std::uint16_t>(message.size() + kFrameHeaderSize));
  out.append(message);
}

void Deframer::feed(Buffer bytes) {
  pending_.trim_front(std::exchange(consumed_, 0));
  if (pending_.empty()) {
    pending_ = std::move(bytes);
  } else {
    pending_.append(std::as_const(bytes).span());
  }
}

bool Deframer::next(std::span<const std::uint8_t>& message, std::error_code& error) {
  pending_.trim_front(std::exchange(consumed_, 0));
  while (prefix_left_ != 0) {
    if (pending_.empty()) return false;
    if (pending_.data()[0] != static_cast<std::uint8_t>(kStreamPrefix[kStreamPrefix.size() - prefix_left_])) {
      error = StreamErrc::kBadPrefix;
      return false;
    }
    pending_.trim_front(1);
    --prefix_left_;
  }
  if (pending_.size() < kFrameHeaderSize) return false;
  const std::size_t size = load_u16(pending_.data());
  if (size < kFrameHeaderSize) {
    error = StreamErrc::kBadLength;
    return false;
  }
  if (pending_.size() < size) return false;
  consumed_ = size;
  message = std::as_const(pending_).span().subspan(kFrameHeaderSize, size - kFrameHeaderSize);
  return true;
}

}  // namespace winze::esp
