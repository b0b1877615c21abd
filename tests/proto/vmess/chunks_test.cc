#include "winze/proto/vmess/chunks.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "support/segments.h"
#include "winze/base/bytes.h"
#include "winze/base/error.h"
#include "winze/proto/vmess/error.h"

namespace winze::vmess {
namespace {

std::string bytes_of(std::size_t size) {
  std::string out(size, '\0');
  SeededRandom(size).fill({reinterpret_cast<std::uint8_t*>(out.data()), out.size()});
  return out;
}

// Each cipher with each combination of options that is not refused.
std::vector<BodyFormat> formats(bool datagrams) {
  std::vector<BodyFormat> out;
  for (const Security security : {Security::kAes128Gcm, Security::kChaCha20Poly1305, Security::kNone}) {
    for (unsigned bits = 0; bits < 16; ++bits) {
      const auto options = static_cast<std::uint8_t>((bits & 1) | (bits >> 1) << 2);
      const BodyFormat format{.security = security, .options = options, .datagrams = datagrams};
      if (is_valid(format)) out.push_back(format);
    }
  }
  return out;
}

BodyKeys some_keys() {
  BodyKeys keys;
  SeededRandom random(5);
  random.fill(keys.key);
  random.fill(keys.iv);
  return keys;
}

struct Direction {
  explicit Direction(const BodyFormat& format)
      : sealer(format, some_keys(), some_keys(), pool, random), opener(format, some_keys(), some_keys(), pool) {}

  std::string seal(std::string_view text) {
    Buffer data = Buffer::copy_of(text, sealer.overhead());
    sealer.seal(data, 0);
    return std::string(data.text());
  }
  std::string end() {
    Buffer out;
    sealer.seal_end(out);
    return std::string(out.text());
  }
  // What comes of `wire`; `error` is the first.
  std::string open(std::string_view wire, std::size_t segment) {
    std::string out;
    test::feed(wire, segment, [&](Buffer data) {
      error = opener.open(data);
      out += data.text();
      return !error;
    });
    return out;
  }

  SeededRandom random{3};
  BufferPool pool;
  ChunkSealer sealer;
  ChunkOpener opener;
  std::error_code error;
};

std::string framed(const std::vector<std::string>& datagrams) {
  std::string out;
  for (const std::string& datagram : datagrams) {
    std::uint8_t length[2];
    store_u16(length, static_cast<std::uint16_t>(datagram.size()));
    out += as_text(length);
    out += datagram;
  }
  return out;
}

TEST_CASE("vmess chunks: every cipher and option, any size, through segments of any size") {
  for (const BodyFormat& format : formats(false)) {
    CAPTURE(static_cast<int>(format.security));
    CAPTURE(static_cast<int>(format.options));
    for (const std::size_t segment : test::kSegmentSizes) {
      CAPTURE(segment);
      Direction direction(format);
      std::string wire, sent;
      for (const std::size_t size : {1, 2, 1400, 14999, 15000, 15001, 70000}) {
        sent += bytes_of(size);
        wire += direction.seal(bytes_of(size));
      }
      CHECK(direction.open(wire, segment) == sent);
      CHECK_FALSE(direction.error);
      CHECK(direction.opener.open_end() == winze::Errc::kEof);
      const std::string end = direction.end();
      CHECK(end.empty() == ((format.options & kChunkStream) == 0));
      if (end.empty()) continue;
      CHECK(direction.open(end + "what follows", segment).empty());
      CHECK(direction.error == winze::Errc::kEof);
    }
  }
}

TEST_CASE("vmess chunks: datagrams keep their bounds") {
  const std::vector<std::string> datagrams = {bytes_of(1), bytes_of(2), bytes_of(1400), bytes_of(2046),
                                              bytes_of(40000)};
  const std::string sent = framed(datagrams);
  for (const BodyFormat& format : formats(true)) {
    CAPTURE(static_cast<int>(format.security));
    CAPTURE(static_cast<int>(format.options));
    for (const std::size_t segment : test::kSegmentSizes) {
      CAPTURE(segment);
      // One by one, all at once, and cut anywhere.
      Direction single(format);
      std::string wire;
      for (const std::string& datagram : datagrams) wire += single.seal(framed({datagram}));
      CHECK(single.open(wire, segment) == sent);
      CHECK_FALSE(single.error);

      Direction whole(format);
      CHECK(whole.open(whole.seal(sent), segment) == sent);

      Direction cut(format);
      std::string pieces;
      test::feed(sent, segment, [&](Buffer piece) {
        pieces += cut.seal(piece.text());
        return true;
      });
      CHECK(cut.open(pieces, 65536) == sent);
    }
  }
}

TEST_CASE("vmess chunks: one chunk is sealed and opened where it lies, within the room that was asked for") {
  for (const bool datagrams : {false, true}) {
    for (const BodyFormat& format : formats(datagrams)) {
      CAPTURE(static_cast<int>(format.security));
      CAPTURE(static_cast<int>(format.options));
      Direction direction(format);
      const std::string payload = bytes_of(1000);
      const std::string text = datagrams ? framed({payload}) : payload;
      Buffer data = Buffer::copy_of(text, direction.sealer.overhead());
      const std::uint8_t* at = data.data() + text.size() - payload.size();
      direction.sealer.seal(data, 0);
      CHECK(at > data.data() - 1);
      CHECK(at < data.data() + 30);
      CHECK_FALSE(direction.opener.open(data));
      CHECK(data.data() + text.size() - payload.size() == at);
      CHECK(data.text() == text);
    }
  }
}

TEST_CASE("vmess chunks: options that contradict each other") {
  CHECK_FALSE(is_valid({.security = Security::kAes128Gcm, .options = kChunkStream | kGlobalPadding}));
  CHECK_FALSE(is_valid({.security = Security::kNone, .options = 0, .datagrams = true}));
  CHECK(is_valid({.security = Security::kAes128Gcm, .options = 0, .datagrams = true}));
  CHECK(formats(false).size() == 36);
}

TEST_CASE("vmess chunks: a bent byte is found, wherever it is, and nothing of its chunk is given out") {
  for (const BodyFormat& format : formats(false)) {
    if (format.security == Security::kNone) continue;
    CAPTURE(static_cast<int>(format.security));
    CAPTURE(static_cast<int>(format.options));
    Direction sender(format);
    const std::string first = sender.seal("first"), second = sender.seal("second"), end = sender.end();
    const std::size_t padded = (format.options & kGlobalPadding) != 0 ? 64 : 0;
    for (std::size_t at = 0; at < second.size(); ++at) {
      Direction receiver(format);
      std::string wire = first + second + end;
      wire[first.size() + at] ^= 1;
      const std::string got = receiver.open(wire, 65536);
      // Padding is nobody's concern; a size that is not authenticated may also ask for more than comes.
      if (got == "firstsecond") {
        CHECK(at + padded >= second.size());
        CHECK(padded != 0);
      } else {
        CHECK(got == "first");
        if (!receiver.error) CHECK(receiver.opener.open_end() == winze::Errc::kTruncated);
        if (receiver.error) CHECK(receiver.error == Errc::kBadChunk);
      }
    }
  }
}

TEST_CASE("vmess chunks: sizes that cannot be") {
  // Shorter than a tag, by itself or with its padding.
  for (const std::string_view wire : {std::string_view("\0\x0f", 2), std::string_view("\0\0", 2)}) {
    Direction direction({.security = Security::kAes128Gcm, .options = kChunkStream});
    direction.open(wire, 1);
    CHECK(direction.error == Errc::kBadChunk);
    Direction at_once({.security = Security::kAes128Gcm, .options = kChunkStream});
    CHECK(at_once.open(std::string(wire) + "what follows", 65536).empty());
    CHECK(at_once.error == Errc::kBadChunk);
  }
  Direction none({.security = Security::kNone, .options = kChunkStream});
  CHECK(none.open(std::string_view("\0\1a\0\0", 5), 1) == "a");
  CHECK(none.error == winze::Errc::kEof);
  Direction cut({.security = Security::kNone, .options = kChunkStream});
  CHECK(cut.open(std::string_view("\0\2a", 3), 65536).empty());
  CHECK(cut.opener.open_end() == winze::Errc::kTruncated);
}

TEST_CASE("vmess chunks: the number of a chunk wraps") {
  Direction direction({.security = Security::kChaCha20Poly1305, .options = kChunkStream});
  std::string wire, sent;
  for (int i = 0; i < 65540; ++i) {
    sent += static_cast<char>(i);
    wire += direction.seal(sent.substr(sent.size() - 1));
  }
  CHECK(direction.open(wire, 65536) == sent);
  CHECK_FALSE(direction.error);
}

TEST_CASE("vmess chunks: a datagram too long for a chunk is dropped") {
  Direction direction({.security = Security::kAes128Gcm, .options = kChunkStream, .datagrams = true});
  const std::string sent = framed({bytes_of(kMaxChunkDatagram + 1), "next"});
  CHECK(direction.open(direction.seal(sent), 65536) == framed({"next"}));
  CHECK(direction.open(direction.seal(framed({bytes_of(kMaxChunkDatagram + 1)})), 65536).empty());
  CHECK(direction.open(direction.seal(framed({bytes_of(kMaxChunkDatagram)})), 65536).size() == 2 + kMaxChunkDatagram);
}

}  // namespace
}  // namespace winze::vmess
