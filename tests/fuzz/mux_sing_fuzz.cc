// sing-mux. The first byte chooses the subject, the second the protocol and the size of segments: what a carrier and a
// sub-stream begin with, and datagrams; a peer's bytes to a session, whole and in segments, which must come to the
// same; or a sequence of operations on a client and a server that are joined, in which what one has written is what the
// other reads.
#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>

#include "support/mux_events.h"
#include "support/require.h"
#include "winze/base/bytes.h"
#include "winze/proto/mux/sing.h"

namespace winze::mux::sing {
namespace {

using test::require;

// What a codec makes of `wire`, or its error.
template <typename Codec>
std::tuple<std::error_code, bool, std::string> opened(Codec& codec, std::string_view wire, std::size_t segment) {
  std::error_code error;
  std::string payload;
  bool done = false;
  const auto step = [&](Buffer in) {
    Buffer out, reply;
    if (!done) done = codec.handshake(in, out, error) == StreamCodec::Handshake::kDone;
    if (!done) return !error;
    error = codec.open(in, reply);
    payload += in.text();
    return !error;
  };
  if (step({})) test::feed(wire, segment, [&](const Buffer& in) { return step(Buffer::copy_of(in.span())); });
  return {error, done, payload};
}

void beginnings(std::string_view wire, std::size_t segment) {
  SeededRandom random(1);
  const auto carrier = [&](std::size_t size) {
    CarrierServerCodec codec(false, random);
    return opened(codec, wire, size);
  };
  require(carrier(65536) == carrier(segment));
  const auto padded = [&](std::size_t size) {
    CarrierClientCodec codec(Protocol::kSmux, true, random);
    return opened(codec, wire, size);
  };
  require(padded(65536) == padded(segment));
  const auto request = [&](std::size_t size) {
    StreamServerCodec codec("", 0);
    const auto result = opened(codec, wire, size);
    return std::tuple(result, codec.request().destination);
  };
  require(request(65536) == request(segment));
  const auto answer = [&](std::size_t size) {
    StreamClientCodec codec(Destination("a.test", 80));
    return opened(codec, wire, size);
  };
  require(answer(65536) == answer(segment));
  for (const bool addressed : {false, true}) {
    Destination peer;
    std::error_code error;
    auto rest = as_bytes(wire);
    while (decode_datagram(rest, addressed ? &peer : nullptr, error)) {
    }
  }
}

// What a session says of its sub-streams is in order: from the beginning to the end, once each.
struct Ordered final : Events {
  void on_open(StreamId id, Opening opening) override {
    require(open.insert(id).second);
    log.on_open(id, std::move(opening));
  }
  void on_data(StreamId id, std::span<const std::uint8_t> bytes) override {
    require(open.contains(id) && !ended.contains(id));
    log.on_data(id, bytes);
  }
  void on_datagram(StreamId, const Destination*, std::span<const std::uint8_t>) override { require(false); }
  void on_end(StreamId id) override {
    require(open.contains(id) && ended.insert(id).second);
    log.on_end(id);
  }
  void on_close(StreamId id, std::error_code error) override {
    require(open.erase(id) == 1);
    ended.erase(id);
    log.on_close(id, error);
  }
  void on_writable(StreamId id) override {
    require(id == 0 || open.contains(id));
    log.on_writable(id);
  }

  std::set<StreamId> open, ended;
  test::MuxLog log;
};

void peer_bytes(Protocol protocol, Role role, std::string_view wire, std::size_t segment) {
  const auto run = [&](std::size_t size) {
    const auto session = make_session(protocol, role);
    Ordered events;
    std::string said;
    if (role == Role::kClient) {
      for (int i = 0; i < 3; ++i) {
        const StreamId id = *session->open({});
        events.open.insert(id);
        said += test::sealed(*session, id, "x");
      }
    }
    const std::error_code error = test::receive(*session, wire, size, events);
    said += test::flushed(*session);
    return std::tuple(error, events.log.log, error ? std::string() : said);
  };
  const auto whole = run(65536), cut = run(segment);
  // HTTP/2 says after each piece what it has to say, and tells which streams that has ended.
  if (protocol != Protocol::kHttp2) require(whole == cut);
}

// Sub-streams are numbered as they are opened.
int ordinal(Protocol protocol, Role role, StreamId id) {
  if (protocol == Protocol::kSmux) return static_cast<int>(id - 1) / 2;
  if (protocol == Protocol::kHttp2 && role == Role::kClient) return static_cast<int>(id);
  return static_cast<int>(id + 1) / 2;
}
StreamId id_of(Protocol protocol, Role role, int number) {
  const auto n = static_cast<StreamId>(number);
  if (protocol == Protocol::kSmux) return 2 * n + 1;
  if (protocol == Protocol::kHttp2 && role == Role::kClient) return n;
  return 2 * n - 1;
}

// What reaches one end of each stream, and what had been sent to it.
struct End final : Events {
  End(Protocol of, Role as) : protocol(of), role(as), session(make_session(of, as)) {}
  void on_open(StreamId id, Opening) override { require(sent_here.contains(ordinal(protocol, role, id))); }
  void on_data(StreamId id, std::span<const std::uint8_t> bytes) override {
    const int number = ordinal(protocol, role, id);
    received[number] += as_text(bytes);
    require(sent_here[number].starts_with(received[number]));
    taken[number] += bytes.size();
  }
  void on_datagram(StreamId, const Destination*, std::span<const std::uint8_t>) override { require(false); }
  void on_end(StreamId id) override {
    const int number = ordinal(protocol, role, id);
    require(received[number] == sent_here[number]);
  }
  void on_close(StreamId, std::error_code) override {}
  void on_writable(StreamId) override {}

  Protocol protocol;
  Role role;
  std::unique_ptr<Session> session;
  std::map<int, std::string> sent_here, received;
  std::map<int, std::size_t> taken;  // and not said to be consumed
  std::set<int> ended;               // by this end
  std::string wire;                  // towards here
};

void operations(Protocol protocol, std::span<const std::uint8_t> bytes) {
  End client(protocol, Role::kClient), server(protocol, Role::kServer);
  Reader reader(bytes);
  const auto flush = [](End& from, End& to) { to.wire += test::flushed(*from.session); };
  while (reader.remaining() >= 2) {
    const std::uint8_t operation = reader.u8(), argument = reader.u8();
    const bool by_client = (operation & 0x80) != 0;
    End& from = by_client ? client : server;
    End& to = by_client ? server : client;
    const int number = argument % 8 + 1;
    const StreamId id = id_of(protocol, from.role, number);
    switch (operation % 7) {
      case 0:
        if (const auto opened = client.session->open({})) {
          server.sent_here.try_emplace(ordinal(protocol, Role::kClient, *opened));
          flush(client, server);
          server.wire += test::sealed(*client.session, *opened, "");
        }
        break;
      case 1:
      case 2:  // Deliver some of what is on the wire, or all.
        if (!to.wire.empty()) {
          const std::size_t n =
              operation % 7 == 1 ? std::min<std::size_t>(argument + 1, to.wire.size()) : to.wire.size();
          const std::string part = to.wire.substr(0, n);
          to.wire.erase(0, n);
          require(!to.session->receive(as_bytes(part), to));
          flush(to, from);
        }
        break;
      case 3: {
        if (from.ended.contains(number)) break;  // which its driver would not do
        std::string text(argument * 300u, static_cast<char>(operation));
        text.resize(std::min(text.size(), from.session->window(id)));
        flush(from, to);
        const std::string framed = test::sealed(*from.session, id, text);
        if (!framed.empty()) to.sent_here[number] += text;
        to.wire += framed;
        break;
      }
      case 4:
        from.session->consumed(id, std::exchange(from.taken[number], 0));
        flush(from, to);
        break;
      case 5:
        from.ended.insert(number);
        from.session->end(id);
        flush(from, to);
        break;
      default:
        from.ended.insert(number);
        from.session->close(id, (operation & 0x40) != 0);
        flush(from, to);
        break;
    }
  }
}

}  // namespace
}  // namespace winze::mux::sing

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace winze;
  if (size < 2) return 0;
  const std::string_view rest = as_text({data + 2, size - 2});
  const auto protocol = static_cast<mux::sing::Protocol>(data[1] % 3);
  const std::size_t segment = data[1] / 3 + std::size_t{1};
  switch (data[0] % 4) {
    case 0:
      mux::sing::beginnings(rest, segment);
      break;
    case 1:
      mux::sing::peer_bytes(protocol, mux::Role::kServer, rest, segment);
      break;
    case 2:
      mux::sing::peer_bytes(protocol, mux::Role::kClient, rest, segment);
      break;
    default:
      if (size < 400) mux::sing::operations(protocol, as_bytes(rest));
      break;
  }
  return 0;
}
