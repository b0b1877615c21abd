// ESP in a stream: any bytes, cut in any way, give the same messages and the same error as in one piece; and what was
// taken out, framed again, is what was put in.
#include <algorithm>
#include <string>
#include <utility>

#include "support/require.h"
#include "winze/proto/esp/tcp_encap.h"

namespace {

using namespace winze;
using winze::test::require;

struct Result {
  Buffer framed;
  std::error_code error;
  bool at_boundary = false;
};

Result deframe(std::span<const std::uint8_t> bytes, std::size_t segment, bool prefix) {
  esp::FrameDecoder decoder(prefix);
  Result result;
  Buffer kept;
  while (!bytes.empty() && !result.error) {
    const std::size_t n = std::min(segment, bytes.size());
    kept.append(bytes.first(n));
    bytes = bytes.subspan(n);
    auto rest = std::as_const(kept).span();
    while (const auto message = decoder.next(rest, result.error)) {
      Buffer frame = Buffer::copy_of(*message, {.front = esp::kFrameHeaderSize, .back = 0});
      require(esp::encode_frame(frame));
      result.framed.append(std::as_const(frame).span());
    }
    kept.trim_front(kept.size() - rest.size());
  }
  result.at_boundary = kept.empty();
  return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const bool prefix = (data[0] & 1) != 0;
  const std::size_t segment = data[1] + std::size_t{1};
  const std::span<const std::uint8_t> bytes(data + 2, size - 2);
  const Result whole = deframe(bytes, bytes.size() + 1, prefix), cut = deframe(bytes, segment, prefix);
  require(whole.framed.text() == cut.framed.text());
  require(whole.error == cut.error);
  if (whole.error) return 0;
  require(whole.at_boundary == cut.at_boundary);
  const std::span<const std::uint8_t> frames = bytes.subspan(std::min(bytes.size(), prefix ? std::size_t{6} : 0));
  require(whole.framed.size() <= frames.size());
  require(std::ranges::equal(whole.framed.span(), frames.first(whole.framed.size())));
  if (whole.at_boundary) require(whole.framed.size() == frames.size());
  return 0;
}
