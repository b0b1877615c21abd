// Errors of asynchronous and stream operations: std::error_code, one category per protocol, values grouped by blame.
#pragma once

#include <string>
#include <string_view>
#include <system_error>

namespace winze {

// What any stream or dialer may report. Errors of the system (connection refused, ...) keep the system category.
enum class Errc {
  kEof = 1,        // orderly end of the incoming bytes; not a failure
  kAborted,        // the operation was cancelled: its stream was closed or destroyed
  kTimedOut,       // a deadline of ours passed
  kTruncated,      // peer misbehaved: the connection ended in the middle of a unit
  kBusy,           // local misuse: an operation of this kind is already pending
  kClosed,         // local misuse: the stream was closed, or its writing side shut down, before
  kUnresolved,     // the host name has no address
  kUnsupported,    // this dialer or stream cannot do that
  kRefusedPolicy,  // our own rules refuse the destination
};

const std::error_category& winze_category() noexcept;
inline std::error_code make_error_code(Errc e) noexcept { return {static_cast<int>(e), winze_category()}; }

// Who is to blame for an error of a protocol category: the hundreds of its value.
//   1xx peer misbehaved (malformed, out of order), 2xx peer refused us, 3xx local misuse.
enum class Blame { kNone, kPeerMisbehaved, kPeerRefused, kLocalMisuse };
Blame blame_of(const std::error_code& error) noexcept;

// A category from a table: `struct Row { int value; std::string_view text; }`. Protocols define one static object each.
class TableCategory final : public std::error_category {
 public:
  struct Row {
    int value;
    std::string_view text;
  };
  template <std::size_t N>
  constexpr TableCategory(const char* name, const Row (&rows)[N]) : name_(name), rows_(rows), count_(N) {}

  const char* name() const noexcept override { return name_; }
  std::string message(int value) const override;

 private:
  const char* name_;
  const Row* rows_;
  std::size_t count_;
};

}  // namespace winze

template <>
struct std::is_error_code_enum<winze::Errc> : std::true_type {};
