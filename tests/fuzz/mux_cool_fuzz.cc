// mux.cool. The first byte chooses the subject: a peer's bytes, whole and in segments of the size that the second byte
// says, which must come to the same; or a sequence of operations on a client and a server that are joined, in which
// what one has written is what the other reads: bytes of streams, and datagrams with and without addresses (XUDP). Of a
// sequence the second byte says whether the carrier is one for a single flow of datagrams.
#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>

#include "support/mux_events.h"
#include "support/require.h"
#include "winze/base/bytes.h"
#include "winze/proto/mux/cool.h"

namespace winze::mux {
namespace {

using test::require;

void peer_bytes(Role role, std::string_view wire, std::size_t segment) {
  const auto run = [&](std::size_t size) {
    CoolSession session(role);
    test::MuxLog log;
    if (role == Role::kClient) {
      for (int i = 0; i < 3; ++i) {
        (void)test::sealed(session, *session.open({.destination = Destination("a.test", 80), .datagrams = i == 2}), "");
      }
    }
    const std::error_code error = test::receive(session, wire, size, log);
    return std::tuple(error, log.log, error ? std::string() : test::flushed(session));
  };
  require(run(65536) == run(segment));
}

struct Sent {
  std::optional<Destination> peer;  // that its frame names
  std::string text;
};

// What reaches one end of each stream, and what had been sent to it.
struct End final : Events {
  End(Role role, bool lone, const std::map<StreamId, Opening>& all) : session(role, lone), opened(all) {}
  void on_open(StreamId id, Opening opening) override {
    const Opening& asked = opened.at(id);
    require(opening.destination == asked.destination && opening.datagrams == asked.datagrams);
    require(!opening.any_peer || (asked.any_peer && opening.global_id == asked.global_id));
  }
  void on_data(StreamId id, std::span<const std::uint8_t> bytes) override {
    received[id] += as_text(bytes);
    require(sent_here[id].starts_with(received[id]));
  }
  void on_datagram(StreamId id, const Destination* peer, std::span<const std::uint8_t> bytes) override {
    std::deque<Sent>& due = datagrams_here[id];
    require(!due.empty() && due.front().text == as_text(bytes));
    require(peer == nullptr ? !due.front().peer : due.front().peer == *peer);
    due.pop_front();
  }
  void on_end(StreamId id) override { require(received[id] == sent_here[id] && datagrams_here[id].empty()); }
  void on_close(StreamId, std::error_code) override {}
  void on_writable(StreamId) override {}

  CoolSession session;
  const std::map<StreamId, Opening>& opened;
  std::map<StreamId, std::string> sent_here, received;
  std::map<StreamId, std::deque<Sent>> datagrams_here;
  std::set<StreamId> ended;  // by this end
  std::string wire;          // towards here
};

void flush(End& from, End& to) { to.wire += test::flushed(from.session); }

Opening opening_of(std::uint8_t argument, bool lone) {
  if (lone || argument % 4 == 3) {
    return {.destination = Destination(IpAddress(), 0, Network::kUdp),
            .datagrams = true,
            .any_peer = true,
            .global_id = {1, 2, 3, 4, 5, 6, 7, argument}};
  }
  if (argument % 4 == 2) return {.destination = Destination("192.0.2.9", 53, Network::kUdp), .datagrams = true};
  return {.destination = Destination("a.test", 80)};
}

// `opening` learns whom the stream is announced for.
void send_datagram(End& from, End& to, StreamId id, Opening& opening, std::uint8_t operation, std::uint8_t argument) {
  const Destination peer((operation & 0x40) != 0 ? "b.test" : "2001:db8::1", argument, Network::kUdp);
  const bool named = (operation & 0x20) != 0;
  const bool first = from.session.is_unannounced(id);
  const std::string text(argument * 9u, static_cast<char>(operation));
  Buffer data = Buffer::copy_of(text);
  flush(from, to);
  if (!from.session.seal_datagram(id, data, named ? &peer : nullptr)) return;
  require(!text.empty() && text.size() <= CoolSession::kLargestDatagram);
  const bool addressed = opening.any_peer && named;
  if (first && addressed) opening.destination = peer;
  to.wire += data.text();
  to.datagrams_here[id].push_back({addressed && !first ? std::optional(peer) : std::nullopt, text});
}

void operations(std::span<const std::uint8_t> bytes, bool lone) {
  std::map<StreamId, Opening> opened;
  End client(Role::kClient, lone, opened), server(Role::kServer, false, opened);
  Reader reader(bytes);
  while (reader.remaining() >= 2) {
    const std::uint8_t operation = reader.u8(), argument = reader.u8();
    const bool by_client = (operation & 0x80) != 0;
    End& from = by_client ? client : server;
    End& to = by_client ? server : client;
    const StreamId id = lone ? 0 : argument % 8 + 1;
    const auto about = opened.find(id);
    switch (operation % 7) {
      case 0: {
        const Opening opening = opening_of(argument, lone);
        if (const auto fresh = client.session.open(opening)) opened.emplace(*fresh, opening);
        break;
      }
      case 1:
      case 2:  // Deliver some of what is on the wire, or all.
        if (!to.wire.empty()) {
          const std::size_t n =
              operation % 7 == 1 ? std::min<std::size_t>(argument + 1, to.wire.size()) : to.wire.size();
          const std::string part = to.wire.substr(0, n);
          to.wire.erase(0, n);
          require(!to.session.receive(as_bytes(part), to));
          flush(to, from);
        }
        break;
      case 3: {
        // Which its driver would not do.
        if (about == opened.end() || about->second.datagrams || from.ended.contains(id)) break;
        const std::string text(argument * 300u, static_cast<char>(operation));
        flush(from, to);
        const std::string framed = test::sealed(from.session, id, text);
        if (!framed.empty()) to.sent_here[id] += text;
        to.wire += framed;
        break;
      }
      case 4:
        // Of datagrams both directions end at once.
        if (about != opened.end() && about->second.datagrams) break;
        from.ended.insert(id);
        from.session.end(id);
        flush(from, to);
        break;
      case 5:
        if (about == opened.end() || !about->second.datagrams || from.ended.contains(id)) break;
        send_datagram(from, to, id, about->second, operation, argument);
        break;
      default:
        from.ended.insert(id);
        from.session.close(id, (operation & 0x40) != 0);
        flush(from, to);
        break;
    }
  }
}

}  // namespace
}  // namespace winze::mux

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace winze;
  if (size < 2) return 0;
  const std::string_view rest = as_text({data + 2, size - 2});
  switch (data[0] % 3) {
    case 0:
      mux::peer_bytes(mux::Role::kServer, rest, data[1] + std::size_t{1});
      break;
    case 1:
      mux::peer_bytes(mux::Role::kClient, rest, data[1] + std::size_t{1});
      break;
    default:
      if (size < 400) mux::operations(as_bytes(rest), (data[1] & 1) != 0);
      break;
  }
  return 0;
}
