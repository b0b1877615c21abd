#include "winze/proto/esp/tcp_encap.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "support/segments.h"

namespace winze::esp {
namespace {

std::string text_of(std::span<const std::uint8_t> bytes) { return {bytes.begin(), bytes.end()}; }

struct Result {
  std::vector<std::string> messages;
  std::error_code error;
  bool at_boundary = false;
};

Result deframe(std::string_view bytes, std::size_t segment, bool prefix) {
  Deframer deframer(prefix);
  Result result;
  test::feed(bytes, segment, [&](Buffer piece) {
    deframer.feed(std::move(piece));
    std::span<const std::uint8_t> message;
    while (deframer.next(message, result.error)) result.messages.push_back(text_of(message));
    return !result.error;
  });
  result.at_boundary = deframer.at_boundary();
  return result;
}

TEST_CASE("esp in a stream: frames are those of RFC 9329") {
  Buffer out;
  out.append(kStreamPrefix);
  append_frame(out, std::vector<std::uint8_t>{0x11, 0x22, 0x33, 0x44, 0x55});
  CHECK(out.text() == std::string("IKETCP\x00\x07\x11\x22\x33\x44\x55", 13));
}

TEST_CASE("esp in a stream: messages come out whole, however the stream was cut") {
  const std::vector<std::string> sent = {"a message", "", std::string(3000, 'x'), std::string(kLargestFramed, 'y'),
                                         "z"};
  for (const bool prefix : {false, true}) {
    Buffer out;
    if (prefix) out.append(kStreamPrefix);
    for (const std::string& message : sent)
      append_frame(out, std::vector<std::uint8_t>(message.begin(), message.end()));
    for (const std::size_t segment : test::kSegmentSizes) {
      CAPTURE(segment);
      const Result whole = deframe(out.text(), segment, prefix);
      CHECK(whole.messages == sent);
      CHECK_FALSE(whole.error);
      CHECK(whole.at_boundary);
      const Result cut = deframe(out.text().substr(0, out.size() - 1), segment, prefix);
      CHECK(cut.messages.size() == sent.size() - 1);
      CHECK_FALSE(cut.at_boundary);
    }
  }
}

TEST_CASE("esp in a stream: another protocol, and a length that cannot be, are refused at once") {
  for (const std::size_t segment : test::kSegmentSizes) {
    CHECK(deframe("GET / HTTP/1.1\r\n\r\n", segment, true).error == StreamErrc::kBadPrefix);
    CHECK(deframe("IKETC?", segment, true).error == StreamErrc::kBadPrefix);
    CHECK(deframe(std::string("\0\3x\0\1", 5), segment, false).error == StreamErrc::kBadLength);
    CHECK(deframe(std::string("\0\3x\0\1", 5), segment, false).messages == std::vector<std::string>{"x"});
  }
}

}  // namespace
}  // namespace winze::esp
