// TLS 1.3 records. The first byte chooses the cipher suite and who is at work, the second (less one) the size of the
// segments in which bytes arrive.
//
// Somebody on the way: what one side sealed, over several generations of keys, is changed, cut, doubled and reordered.
// What the other opens is a beginning of it, and looks ended only if all of it came. A peer that has the keys: records
// of any type, content and padding, handshake messages in pieces, key updates. What is lawful is followed, what is not
// ends the connection, and how the bytes were cut makes no difference.
#include <algorithm>
#include <array>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "layer/tls_record_layer.h"
#include "support/require.h"
#include "support/segments.h"
#include "winze/base/bytes.h"
#include "winze/base/error.h"

namespace winze::tls {
namespace {

using test::require;

constexpr std::array<std::uint8_t, 48> kForth{1}, kBack{2};
constexpr std::uint64_t kSequence = 3;

struct Suite {
  std::uint16_t number;
  std::size_t secret;
};
constexpr Suite kSuites[] = {{0x1301, 32}, {0x1302, 48}, {0x1303, 32}};

std::span<const std::uint8_t> secret_of(const Suite& suite, const std::array<std::uint8_t, 48>& bytes) {
  return std::span(bytes).first(suite.secret);
}

struct Script {
  explicit Script(std::span<const std::uint8_t> bytes) : reader(bytes) {}
  bool more() const { return reader.remaining() > 0; }
  std::uint8_t next() { return more() ? reader.u8() : 0; }
  std::size_t next16() {
    const std::uint8_t low = next(), high = next();
    return low | std::size_t{high} << 8;
  }
  std::string_view text(std::size_t n) { return as_text(reader.bytes(std::min(n, reader.remaining()))); }
  Reader reader;
};

struct Outcome {
  std::string content;
  std::string reply;
  std::error_code error;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

Outcome open(const Suite& suite, Side side, std::string_view wire, std::size_t segment) {
  BufferPool pool;
  RecordLayer layer(side, pool);
  layer.start_reading(suite.number, secret_of(suite, kForth), kSequence);
  layer.start_writing(suite.number, secret_of(suite, kBack), kSequence);
  Outcome outcome;
  test::feed(wire, segment, [&](Buffer data) {
    Buffer reply;
    outcome.error = layer.open(data, reply);
    outcome.content += data.text();
    outcome.reply += reply.text();
    return !outcome.error;
  });
  return outcome;
}

// --- somebody on the way ---

void change(Script& script, std::string& wire, std::vector<std::string> records) {
  while (script.more()) {
    const std::uint8_t how = script.next();
    const std::size_t at = script.next16(), n = script.next();
    switch (how % 4) {
      case 0:
        if (!wire.empty()) wire[at % wire.size()] = static_cast<char>(wire[at % wire.size()] ^ n);
        break;
      case 1:
        if (!wire.empty()) wire.erase(at % wire.size(), n);
        break;
      case 2:
        wire.insert(at % (wire.size() + 1), records[n % records.size()]);
        break;
      case 3:  // whole records in another order; what was changed before is lost
        std::swap(records[at % records.size()], records[n % records.size()]);
        wire.clear();
        for (const std::string& record : records) wire += record;
        break;
    }
  }
}

void someone_on_the_way(const Suite& suite, std::size_t segment, Script script) {
  BufferPool pool;
  RecordLayer sender(Side::kClient, pool, kSequence + script.next() % 4 + 1);
  sender.start_writing(suite.number, secret_of(suite, kForth), kSequence);
  std::string sent;
  std::vector<std::string> records;
  for (std::size_t count = script.next() % 6; count > 0; --count) {
    const std::string content(script.next16() % 17'000 + 1, static_cast<char>('a' + count));
    Buffer data = Buffer::copy_of(content);
    sender.seal(data);
    sent += content;
    records.emplace_back(data.text());
  }
  Buffer end;
  sender.seal_end(end);
  records.emplace_back(end.text());
  std::string genuine;
  for (const std::string& record : records) genuine += record;
  std::string wire = genuine;
  change(script, wire, records);

  const Outcome outcome = open(suite, Side::kServer, wire, segment);
  require(sent.starts_with(outcome.content));
  // Behind the end anything may stand.
  require((outcome.error == winze::Errc::kEof) == wire.starts_with(genuine));
  if (outcome.error == winze::Errc::kEof) require(outcome.content == sent);
}

// --- a peer that has the keys ---

struct Peer {
  Peer(const Suite& suite, Side reader_side) : side(reader_side) {
    require(key.init(suite.number, secret_of(suite, kForth), kSequence));
  }

  // The padding goes in front of the type that seal() writes, which is then padding itself.
  void send(std::uint8_t type, std::string_view content, std::size_t padding = 0) {
    std::string inner(content);
    inner += static_cast<char>(type);
    inner.append(padding, '\0');
    Buffer record;
    key.seal(ContentType{}, as_bytes(inner), record.append(inner.size() + kRecordOverhead));
    wire += record.text();
  }

  void send_content(std::string_view content, std::size_t padding) {
    send(kApplicationData, content, padding);
    idle = content.empty() ? idle + 1 : 0;
    const bool too_long = content.size() + padding + 2 + kTagSize > kMaxCiphertext13;
    if (content.size() > kMaxContent || too_long || idle > kIdleRecordLimit) lawful = false;
    if (lawful) content_sent += content;
  }

  void send_message(std::string_view message, std::size_t piece) {
    for (std::size_t at = 0; at < message.size(); at += piece) send(kHandshakeRecord, message.substr(at, piece));
  }

  void update(bool request, std::size_t piece) {
    send_message(std::string("\x18\0\0\1", 4) + static_cast<char>(request), piece);
    key.update();
    if (++idle > kIdleRecordLimit) lawful = false;
    if (lawful && request) ++answers;
  }

  void ticket(std::size_t size, std::size_t piece) {
    send_message(std::string("\4\0\0", 3) + static_cast<char>(size) + std::string(size, 't'), piece);
    if (side == Side::kServer || size == 0) lawful = false;
  }

  Side side;
  RecordKey key;
  std::string wire;
  std::string content_sent;
  int idle = 0;
  int answers = 0;
  bool lawful = true;  // so far
};

// Each answer to an update is one, sealed under the keys of its time.
void check_answers(const Suite& suite, std::string reply, int count) {
  RecordKey key;
  require(key.init(suite.number, secret_of(suite, kBack), kSequence));
  constexpr std::size_t kSize = kRecordOverhead + 5;
  require(reply.size() == kSize * static_cast<std::size_t>(count));
  for (; count > 0; --count, reply.erase(0, kSize)) {
    std::array<std::uint8_t, kSize> plain;
    ContentType type;
    std::size_t length;
    require(!key.open(as_bytes(reply).first(kSize), plain.data(), type, length));
    require(type == kHandshakeRecord && as_text(std::span(plain).first(length)) == std::string_view("\x18\0\0\1\0", 5));
    key.update();
  }
}

void peer_with_keys(const Suite& suite, std::size_t segment, Script script) {
  const Side side = (script.next() & 1) != 0 ? Side::kClient : Side::kServer;
  Peer peer(suite, side);
  bool any = false;  // what the peer itself does not follow
  while (script.more() && peer.wire.size() < 100'000) {
    const std::uint8_t what = script.next(), a = script.next(), b = script.next();
    switch (what % 5) {
      case 0:
        peer.send_content(script.text(a), b);
        break;
      case 1:
        peer.send_content(std::string((a | std::size_t{b} << 8) % 17'000, 'c'), script.next());
        break;
      case 2:
        peer.update((a & 1) != 0, b % 5 + std::size_t{1});
        break;
      case 3:
        peer.ticket(a % 128, b % 140 + std::size_t{1});
        break;
      case 4:  // of type 0 there is none: that is padding
        any = true;
        peer.send(static_cast<std::uint8_t>(a % 255 + 1), script.text(b % 32));
        break;
    }
  }
  const Outcome outcome = open(suite, side, peer.wire, segment);
  require(open(suite, side, peer.wire, peer.wire.size() + 1) == outcome);
  if (any) return;
  require(outcome.content == peer.content_sent);
  require(peer.lawful == !outcome.error && outcome.error != winze::Errc::kEof);
  check_answers(suite, outcome.reply, peer.answers);
}

}  // namespace
}  // namespace winze::tls

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace winze::tls;
  if (size < 2 || size > 4096) return 0;
  const Suite& suite = kSuites[data[0] % std::size(kSuites)];
  const std::size_t segment = data[1] + std::size_t{1};
  const Script script(std::span(data, size).subspan(2));
  (data[0] & 0x80) != 0 ? peer_with_keys(suite, segment, script) : someone_on_the_way(suite, segment, script);
  return 0;
}
