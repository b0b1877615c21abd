// Clients and a server of Shadowsocks 2022's datagrams through any order of events: sent, lost, sent twice, late, time
// passing, sessions ending, a server begun anew. What is taken is what was sent, to whom, and once.
#include <cstdint>
#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "winze/base/bytes.h"
#include "winze/base/random.h"
#include "winze/proto/shadowsocks/datagram.h"

using namespace winze;
using namespace winze::shadowsocks;

namespace {

struct Moving final : WallClock {
  UnixTime unix_now() const override { return now; }
  UnixTime now = 1'700'000'000;
};

struct Wire {
  explicit Wire(Method method) {
    keys = std::make_shared<const Keys>(
        Keys{.method = method,
             .identity = {},
             .user = Secret(std::string_view("0123456789abcdef0123456789abcdef").substr(0, key_size(method)))});
    auto made = std::make_shared<ServerOptions>();
    made->method = method;
    made->key = keys->user;
    options = std::move(made);
    restart();
  }

  Surroundings around() { return {random, clock, pool}; }
  void restart() {
    server = std::make_unique<DatagramServer>(options, around());
    taken.clear();
  }

  void request(std::size_t number) {
    if (clients.size() < 3) clients.push_back(std::make_unique<DatagramClient>(keys, around()));
    Buffer datagram = Buffer::copy_of(std::to_string(sent++));
    if (!clients[number % clients.size()]->seal(datagram, to)) std::abort();
    wire.emplace_back(datagram.text());
    origin.push_back(number % clients.size());
  }

  void deliver(std::size_t number) {
    if (wire.empty()) return;
    number %= wire.size();
    Buffer datagram = Buffer::copy_of(wire[number]);
    Destination peer;
    std::uint64_t session = 0;
    if (server->open(datagram, peer, session) != Drop::kNone) return;
    // Once, and as it was.
    if (!taken.insert(number).second || datagram.text() != std::to_string(number) || peer != to) std::abort();
    answer(number, session);
    last_session = session;
  }

  void answer(std::size_t number, std::uint64_t session) {
    Buffer datagram = Buffer::copy_of("answer");
    if (!server->seal(datagram, to, session)) std::abort();
    Destination peer;
    Buffer again = Buffer::copy_of(std::as_const(datagram).span());
    const Drop drop = clients[origin[number]]->open(datagram, peer);
    if (drop == Drop::kForeign) return;
    if (drop != Drop::kNone || datagram.text() != "answer" || peer != to) std::abort();
    if (clients[origin[number]]->open(again, peer) != Drop::kReplayed) std::abort();
    for (std::size_t i = 0; i < clients.size(); ++i) {
      Buffer foreign = Buffer::copy_of(std::as_const(again).span());
      if (i != origin[number] && clients[i]->open(foreign, peer) == Drop::kNone) std::abort();
    }
  }

  SeededRandom random{1};
  Moving clock;
  BufferPool pool;
  std::shared_ptr<const Keys> keys;
  std::shared_ptr<const ServerOptions> options;
  std::unique_ptr<DatagramServer> server;
  std::vector<std::unique_ptr<DatagramClient>> clients;
  const Destination to{"a.test", 7, winze::Network::kUdp};
  std::vector<std::string> wire;
  std::vector<std::size_t> origin;
  std::set<std::size_t> taken;
  std::size_t sent = 0;
  std::uint64_t last_session = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1 || size > 2000) return 0;
  static constexpr Method kMethods[] = {Method::k2022Aes128Gcm, Method::k2022Aes256Gcm, Method::k2022ChaCha20Poly1305};
  Wire wires(kMethods[data[0] % 3]);
  for (std::size_t i = 1; i < size; ++i) {
    const std::size_t operand = data[i] >> 3;
    switch (data[i] & 7) {
      case 0:
      case 1:
        wires.request(operand);
        break;
      case 2:
      case 3:
        wires.deliver(wires.wire.empty() ? 0 : wires.wire.size() - 1 - operand % wires.wire.size());
        break;
      case 4:
        wires.deliver(operand);
        break;
      case 5:
        wires.clock.now += static_cast<UnixTime>(operand);
        break;
      case 6:
        wires.server->end(wires.last_session);
        break;
      default:
        // A minute's replays could be taken by a server without memory: what was sent before is lost.
        if (operand == 0) {
          wires.restart();
          wires.clock.now += 61;
        }
        break;
    }
  }
  return 0;
}
