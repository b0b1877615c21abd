// IKE and ESP in a byte stream (RFC 9329), TLS or any proxy chain around it.
//
//   originator, once: "IKETCP"
//   then, both ways:  length(2), itself included | ESP packet, or 00 00 00 00 and an IKE message
//
// What is framed is what travels in a UDP datagram (winze/proto/esp/udp_encap.h).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>

#include "winze/base/buffer.h"

namespace winze::esp {

inline constexpr std::string_view kStreamPrefix = "IKETCP";
inline constexpr std::size_t kFrameHeaderSize = 2;
inline constexpr std::size_t kLargestFramed = 65535 - kFrameHeaderSize;

enum class StreamErrc {
  kBadPrefix = 101,  // the stream does not begin with IKETCP: no client of this protocol
  kBadLength = 102,  // a frame that is shorter than its own header
};
const std::error_category& stream_category() noexcept;
inline std::error_code make_error_code(StreamErrc e) noexcept { return {static_cast<int>(e), stream_category()}; }

// Puts a frame around a message, in its headroom. False, and nothing done, when it is longer than kLargestFramed.
[[nodiscard]] bool encode_frame(Buffer& message);

class FrameDecoder {
 public:
  // `prefix`: whether the stream begins with IKETCP, as what an originator sends does.
  explicit FrameDecoder(bool prefix) : prefix_left_(prefix ? kStreamPrefix.size() : 0) {}

  // The message that `bytes` begin with, behind the prefix; `bytes` then begin behind it. Nothing while it is
  // incomplete: what is left of `bytes` is the caller's to keep until more come. After an error there are no more.
  std::optional<std::span<const std::uint8_t>> next(std::span<const std::uint8_t>& bytes, std::error_code& error);

 private:
  std::size_t prefix_left_;
};

}  // namespace winze::esp

template <>
struct std::is_error_code_enum<winze::esp::StreamErrc> : std::true_type {};
