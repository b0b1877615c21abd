// IKE and ESP in a byte stream (RFC 9329), TLS or any proxy chain around it.
//
//   originator, once: "IKETCP"
//   then, both ways:  length(2), itself included | ESP packet, or 00 00 00 00 and an IKE message
//
// What is framed is what travels in a UDP datagram (winze/proto/esp/udp_encap.h).
#pragma once

#include <cstdint>
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

// Appends the frame of a message of at most kLargestFramed bytes.
void append_frame(Buffer& out, std::span<const std::uint8_t> message);

class Deframer {
 public:
  // `prefix`: whether the stream begins with IKETCP, as what an originator sends does.
  explicit Deframer(bool prefix) : prefix_left_(prefix ? kStreamPrefix.size() : 0) {}

  // Takes bytes of the stream. Then next() gives each whole message in turn, and nothing when more bytes are needed.
  void feed(Buffer bytes);
  // The message lies in the deframer until the following call. After an error there are no more.
  bool next(std::span<const std::uint8_t>& message, std::error_code& error);
  // Whether the stream may end here.
  bool at_boundary() const noexcept { return pending_.empty(); }

 private:
  std::size_t prefix_left_;
  std::size_t consumed_ = 0;
  Buffer pending_;
};

}  // namespace winze::esp

template <>
struct std::is_error_code_enum<winze::esp::StreamErrc> : std::true_type {};
