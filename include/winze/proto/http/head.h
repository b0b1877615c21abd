// Heads of HTTP/1.0 and 1.1 messages: collecting, parsing, writing (RFC 9112 §2 to §6).
//
//   METHOD SP target SP HTTP/1.x CRLF  |  HTTP/1.x SP status SP reason CRLF
//   *( name ":" OWS value OWS CRLF )
//   CRLF
//
// The parser is strict where two parsers that differ let a request be smuggled: a folded line, white space before the
// colon, a control character in a value, both Content-Length and Transfer-Encoding, lengths that differ, two Hosts,
// and a bare LF are errors in a request. In a response, which nothing follows on its connection here, a bare LF ends a
// line (RFC 9112 §2.2) and Transfer-Encoding overrides Content-Length (§6.3).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>

#include "winze/base/buffer.h"
#include "winze/proto/http/fields.h"

namespace winze::http {

inline constexpr std::size_t kMaxHeadSize = 64u << 10;  // bytes, with the blank line
inline constexpr std::size_t kMaxFields = 256;

enum class Version : std::uint8_t { k10, k11 };

// How the end of a body is found (RFC 9112 §6.3).
struct Body {
  enum class Framing : std::uint8_t { kNone, kLength, kChunked, kUntilClose };
  Framing framing = Framing::kNone;
  std::uint64_t length = 0;  // bytes, for kLength

  friend bool operator==(const Body&, const Body&) = default;
};

struct RequestHead {
  std::string method;
  std::string target;  // as sent: origin, absolute, authority form or "*"
  Version version = Version::k11;
  Fields fields;
  Body body;  // from the fields, filled by the parser; the writer does not look at it
};

struct ResponseHead {
  Version version = Version::k11;
  unsigned status = 0;  // 100 to 999
  std::string reason;
  Fields fields;
  Body body;  // as the fields declare it, kNone when they do not; body_of() says what follows
};

// Parses a whole head, from the first line to the blank one. What `out` held before is lost. Errors: http::Errc.
[[nodiscard]] std::error_code parse_request(std::string_view text, RequestHead& out);
[[nodiscard]] std::error_code parse_response(std::string_view text, ResponseHead& out);

// The body that follows a response to a request of this method: none for HEAD, 1xx, 204, 304, and a 2xx to CONNECT.
Body body_of(const ResponseHead& head, std::string_view method) noexcept;
// Whether the sender of this head means to keep the connection (RFC 9112 §9.3).
bool is_persistent(Version version, const Fields& fields) noexcept;

// Appends the head. Names and values are written as they are: those from a configuration are checked before, with
// is_token() and is_field_value(); those the parser accepted are safe.
void encode(const RequestHead& head, Buffer& out);
void encode(const ResponseHead& head, Buffer& out);

// Gathers one head from segments of any size.
class HeadCollector {
 public:
  // Eats from `in` up to and with the blank line, no byte beyond. True when the head is complete. Empty lines before
  // the first line are dropped (RFC 9112 §2.2). Error: Errc::kHeadTooLarge.
  bool collect(Buffer& in, std::error_code& error);
  // What was collected, byte for byte.
  std::string_view text() const { return text_; }
  // Ready for the next head.
  void clear();

 private:
  std::string text_;
  std::size_t line_ = 0;     // where the line under way begins
  std::size_t dropped_ = 0;  // bytes of empty lines
};

}  // namespace winze::http
