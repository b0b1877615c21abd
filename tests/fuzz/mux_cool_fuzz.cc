// mux.cool. The first byte chooses the subject: a peer's bytes, whole and in segments of the size that the second byte
// says, which must come to the same; or a sequence of operations on a client and a server that are joined, in which
// what one has written is what the other reads.
#include <algorithm>
#include <cstdint>
#include <map>
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

// What reaches one end of each stream, and what had been sent to it.
struct End final : Events {
  explicit End(Role role) : session(role) {}
  void on_open(StreamId id, Opening) override { require(sent_here.contains(id)); }
  void on_data(StreamId id, std::span<const std::uint8_t> bytes) override {
    received[id] += as_text(bytes);
    require(sent_here[id].starts_with(received[id]));
  }
  void on_datagram(StreamId, const Destination*, std::span<const std::uint8_t>) override { require(false); }
  void on_end(StreamId id) override { require(received[id] == sent_here[id]); }
  void on_close(StreamId, std::error_code) override {}
  void on_writable(StreamId) override {}

  CoolSession session;
  std::map<StreamId, std::string> sent_here, received;
  std::set<StreamId> ended;  // by this end
  std::string wire;          // towards here
};

void operations(std::span<const std::uint8_t> bytes) {
  End client(Role::kClient), server(Role::kServer);
  Reader reader(bytes);
  const auto flush = [](End& from, End& to) { to.wire += test::flushed(from.session); };
  while (reader.remaining() >= 2) {
    const std::uint8_t operation = reader.u8(), argument = reader.u8();
    const bool by_client = (operation & 0x80) != 0;
    End& from = by_client ? client : server;
    End& to = by_client ? server : client;
    const StreamId id = argument % 8 + 1;
    switch (operation % 6) {
      case 0:
        if (const auto opened = client.session.open({.destination = Destination("a.test", 80)})) {
          server.sent_here.try_emplace(*opened);
        }
        break;
      case 1:
      case 2:  // Deliver some of what is on the wire, or all.
        if (!to.wire.empty()) {
          const std::size_t n =
              operation % 6 == 1 ? std::min<std::size_t>(argument + 1, to.wire.size()) : to.wire.size();
          const std::string part = to.wire.substr(0, n);
          to.wire.erase(0, n);
          require(!to.session.receive(as_bytes(part), to));
          flush(to, from);
        }
        break;
      case 3: {
        if (from.ended.contains(id)) break;  // which its driver would not do
        const std::string text(argument * 300u, static_cast<char>(operation));
        flush(from, to);
        const std::string framed = test::sealed(from.session, id, text);
        if (!framed.empty()) to.sent_here[id] += text;
        to.wire += framed;
        break;
      }
      case 4:
        from.ended.insert(id);
        from.session.end(id);
        flush(from, to);
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
      if (size < 400) mux::operations(as_bytes(rest));
      break;
  }
  return 0;
}
