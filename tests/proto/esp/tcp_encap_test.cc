#include "winze/proto/esp/tcp_encap.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "support/segments.h"

namespace winze::esp {
namespace {

std::string text_of(std::span<const std::uint8_t> bytes) { return {bytes.begin(), bytes.end()}; }

void append_frame(Buffer& out, std::string_view message) {
  Buffer frame = Buffer::copy_of(message);
  REQUIRE(encode_frame(frame));
  out.append(std::as_const(frame).span());
}

struct Result {
  std::vector<std::string> messages;
  std::error_code error;
  bool at_boundary = false;
};

Result deframe(std::string_view bytes, std::size_t segment, bool prefix) {
  FrameDecoder decoder(prefix);
  Result result;
  Buffer kept;
  test::feed(bytes, segment, [&](const Buffer& piece) {
    kept.append(piece.span());
    auto rest = std::as_const(kept).span();
    while (const auto message = decoder.next(rest, result.error)) result.messages.push_back(text_of(*message));
    kept.trim_front(kept.size() - rest.size());
    return !result.error;
  });
  result.at_boundary = kept.empty();
  return result;
}

TEST_CASE("esp in a stream: frames are those of RFC 9329") {
  Buffer out;
  out.append(kStreamPrefix);
  append_frame(out, "\x11\x22\x33\x44\x55");
  Buffer too_long = Buffer::copy_of(std::string(kLargestFramed + 1, 'x'));
  CHECK_FALSE(encode_frame(too_long));
  CHECK(out.text() == std::string("IKETCP\x00\x07\x11\x22\x33\x44\x55", 13));
}

TEST_CASE("esp in a stream: messages come out whole, however the stream was cut") {
  const std::vector<std::string> sent = {"a message", "", std::string(3000, 'x'), std::string(kLargestFramed, 'y'),
                                         "z"};
  for (const bool prefix : {false, true}) {
    Buffer out;
    if (prefix) out.append(kStreamPrefix);
    for (const std::string& message : sent) append_frame(out, message);
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
