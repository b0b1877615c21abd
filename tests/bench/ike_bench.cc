// IKE in process: handshakes of both ends on one core, and what an idle tunnel costs.
#include <benchmark/benchmark.h>
#include <malloc.h>

#include <algorithm>
#include <asio/io_context.hpp>
#include <chrono>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "support/ike_pair.h"
#include "winze/crypto/key_exchange.h"
#include "winze/io/callback_conduit.h"
#include "winze/io/system.h"
#include "winze/io/udp.h"
#include "winze/tunnel/ipsec_host.h"

namespace {

using namespace std::chrono_literals;
using namespace winze;
using namespace winze::ike;
using winze::test::IkePair;

// Two engines whose datagrams go straight from one to the other.
class Direct {
 public:
  explicit Direct(ConnectionPtr of_b, const WallClock* clock = nullptr)
      : random_(1), a(options(nullptr, clock), random_), b(options(std::move(of_b), clock), random_) {}

  void pump() {
    for (bool busy = true; busy;) {
      busy = false;
      while (auto out = a.next_transmit()) busy = true, deliver(b, *out);
      while (auto out = b.next_transmit()) busy = true, deliver(a, *out);
    }
    while (a.next_event()) ++events;
    while (b.next_event()) ++events;
  }

  static EngineOptions options(ConnectionPtr connection, const WallClock* clock) {
    EngineOptions made;
    if (connection) made.connections = {std::move(connection)};
    made.cookie_threshold = SIZE_MAX;
    made.source_cookie_threshold = made.source_half_open_limit = 0;
    made.wall_clock = clock;
    return made;
  }
  void deliver(Engine& to, Transmit& out) {
    std::swap(out.path.local, out.path.remote);
    to.receive(now, out.path, std::move(out.datagram));
  }

  TimePoint now{std::chrono::hours(1)};
  SeededRandom random_;
  Engine a, b;
  std::uint64_t events = 0;
};

Route route(std::uint32_t number = 0) {
  std::uint8_t address[4] = {10, 0, 0, 0};
  store_u32(address, 0x0a000001 + number);
  const IpAddress from = IpAddress::v4(address), to = *IpAddress::parse("192.0.2.2");
  return {{{from, 500}, {to, 500}, 1}, Path{{from, 4500}, {to, 4500}, 2, true}};
}

void handshakes_psk(benchmark::State& state) {
  Connection a = IkePair::connection(true);
  a.unique = Unique::kNever;
  const ConnectionPtr of_a = IkePair::share(a);
  Direct pair(IkePair::share(IkePair::connection(false)));
  for (auto _ : state) {
    const SaId sa = pair.a.initiate(pair.now, of_a, route());
    pair.pump();
    pair.a.close(pair.now, sa);
    pair.pump();
    // What lingers for repeated requests goes, as it would with time.
    if (pair.b.size() > 1000) pair.b.on_deadline(pair.now + 40s);
  }
  if (pair.a.counters().initiated != static_cast<std::uint64_t>(state.iterations()))
    state.SkipWithError("not all came up");
  state.SetItemsProcessed(state.iterations());
}
// Both ends on one core: a gateway alone does about twice as many.
BENCHMARK(handshakes_psk)->Unit(benchmark::kMicrosecond);

struct FixedClock final : WallClock {
  UnixTime time = 0;
  UnixTime unix_now() const override { return time; }
};

std::string file(const std::string& name) {
  std::ifstream in(std::string(WINZE_TEST_DATA) + "/vectors/x509/" + name);
  return {std::istreambuf_iterator<char>(in), {}};
}

// A client and a gateway with a certificate each, and an authority between it and the root.
struct Certified {
  FixedClock clock;
  std::shared_ptr<const CertificateIdentity> client, server;
  std::shared_ptr<const CertificateVerifier> verifier;

  Certified() {
    clock.time = std::stoll(file("now")) + 3600;
    client = identity("client");
    server = identity("server");
    verifier = std::make_shared<const CertificateVerifier>(certificates("root"));
  }
  static std::vector<Certificate> certificates(const std::string& name) {
    return *parse_certificates(as_bytes(file(name + ".pem")));
  }
  static std::shared_ptr<const CertificateIdentity> identity(const std::string& name) {
    auto chain = certificates(name);
    chain.push_back(certificates("sub").front());
    return std::make_shared<const CertificateIdentity>(
        *CertificateIdentity::create(std::move(chain), *parse_private_key(as_bytes(file(name + ".key")))));
  }
};

void handshakes_ecdsa(benchmark::State& state) {
  const Certified ends;
  Connection a = IkePair::connection(true), b = IkePair::connection(false);
  a.unique = Unique::kNever;
  a.local = {.method = AuthMethod::kPublicKey, .id = Identity::parse("alice@example.org"), .certificate = ends.client};
  a.remote = {.method = AuthMethod::kPublicKey, .id = IdentityPattern("gw.example.org"), .verifier = ends.verifier};
  b.local = {.method = AuthMethod::kPublicKey, .id = Identity::parse("gw.example.org"), .certificate = ends.server};
  b.remote = {.method = AuthMethod::kPublicKey, .id = IdentityPattern("*@example.org"), .verifier = ends.verifier};
  const ConnectionPtr of_a = IkePair::share(a);
  Direct pair(IkePair::share(b), &ends.clock);
  for (auto _ : state) {
    const SaId sa = pair.a.initiate(pair.now, of_a, route());
    pair.pump();
    pair.a.close(pair.now, sa);
    pair.pump();
    if (pair.b.size() > 1000) pair.b.on_deadline(pair.now + 40s);
  }
  if (pair.a.counters().initiated != static_cast<std::uint64_t>(state.iterations()))
    state.SkipWithError("not all came up");
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(handshakes_ecdsa)->Unit(benchmark::kMicrosecond);

// What BoringSSL takes for that: at each end a signature made, one verified, a chain verified, and X25519.
void bare_ecdsa(benchmark::State& state) {
  const Certified ends;
  SeededRandom random(1);
  const std::vector<std::uint8_t> octets(500, 7);
  for (auto _ : state) {
    for (const bool of_client : {true, false}) {
      const CertificateIdentity& signer = of_client ? *ends.client : *ends.server;
      const SignatureScheme scheme = signer.key->schemes().front();
      std::vector<std::uint8_t> signature;
      signer.key->sign(scheme, octets, [&](auto made) { signature = *std::move(made); });
      const ChainPolicy policy{.now = ends.clock.time,
                               .use = of_client ? CertificateUse::kClient : CertificateUse::kServer};
      if (!signer.chain.front().public_key().verify(scheme, octets, signature) ||
          !ends.verifier->verify(signer.chain, policy).ok()) {
        state.SkipWithError("not right");
      }
    }
    auto exchange = *KeyExchange::create(KeyExchangeMethod::kX25519, random);
    const auto answer = *answer_key_exchange(KeyExchangeMethod::kX25519, exchange->public_value(), random);
    benchmark::DoNotOptimize(exchange->derive(answer.public_value));
  }
}
BENCHMARK(bare_ecdsa)->Unit(benchmark::kMicrosecond);

std::size_t heap_in_use() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

std::size_t resident() {
  std::ifstream in("/proc/self/statm");
  std::size_t size = 0, pages = 0;
  in >> size >> pages;
  return pages * 4096;
}

// The heap's growth for 10,000 tunnels in one gateway, less what their clients take; and how often they wake it.
void idle_tunnels(benchmark::State& state) {
  constexpr std::uint32_t kTunnels = 10'000;
  for (auto _ : state) {
    Connection a = IkePair::connection(true), b = IkePair::connection(false);
    a.unique = Unique::kNever;
    b.remote.id = IdentityPattern();
    Direct pair(IkePair::share(b));
    const ConnectionPtr of_a = IkePair::share(a);
    const std::size_t before = heap_in_use();
    for (std::uint32_t i = 0; i < kTunnels; ++i) {
      // They come one after another, so that their probes do too.
      pair.now += std::chrono::microseconds(100);
      (void)pair.a.initiate(pair.now, of_a, route(i));
      pair.pump();
    }
    // Both ends keep the same: one IKE SA, one child.
    state.counters["bytes_per_pair"] = static_cast<double>(heap_in_use() - before) / 2 / kTunnels;
    if (pair.b.size() != kTunnels) state.SkipWithError("not all came up");
    std::uint64_t wakes = 0;
    const TimePoint end = pair.now + 10min;
    for (;;) {
      const TimePoint next = std::min(pair.a.deadline(), pair.b.deadline());
      if (next > end) break;
      pair.now = next;
      if (pair.b.deadline() <= next) {
        pair.b.on_deadline(next);
        ++wakes;
      }
      if (pair.a.deadline() <= next) pair.a.on_deadline(next);
      pair.pump();
    }
    // The gateway's; its clients probe it too, and what comes from them puts its own probes off.
    state.counters["wakes_per_tunnel_minute"] = static_cast<double>(wakes) / kTunnels / 10;
  }
}
BENCHMARK(idle_tunnels)->Unit(benchmark::kMillisecond)->Iterations(1);

// One client of many: brings SAs up from a socket of its own, and forgets them.
class Visitor {
 public:
  Visitor(Environment& environment, Endpoint gateway)
      : gateway_(gateway), engine_({}, random_), socket_(open_udp(environment, {.bind = {gateway.address, 0}})) {
    receive();
  }

  void visit(TimePoint now, ConnectionPtr connection) {
    now_ = now;
    (void)engine_.initiate(now, std::move(connection), {path(), std::nullopt});
    work();
  }
  std::size_t visits() const { return visits_; }

 private:
  Path path() const { return {socket_.local, gateway_, 1, true}; }

  void receive() {
    socket_.conduit->receive([this](std::error_code error, std::span<Datagram> datagrams) {
      if (error) return;
      for (Datagram& d : datagrams) engine_.receive(now_, path(), std::move(d.payload));
      work();
      receive();
    });
  }

  void work() {
    for (bool busy = true; busy;) {
      busy = false;
      while (auto out = engine_.next_transmit()) {
        busy = true;
        Datagram datagram{.payload = std::move(out->datagram), .peer = gateway_};
        socket_.conduit->send({&datagram, 1});
      }
      while (auto event = engine_.next_event()) {
        busy = true;
        const Up* const up = std::get_if<Up>(&*event);
        if (up == nullptr) continue;
        ++visits_;
        engine_.forget(up->sa);
      }
    }
  }

  Endpoint gateway_;
  SeededRandom random_{7};
  Engine engine_;
  SocketResult socket_;
  TimePoint now_{};
  std::size_t visits_ = 0;
};

// What a whole tunnel costs a gateway: IKE SA, child, its ESP SAs, policies, the address that its client has, and the
// tables of the host. The clients forget theirs.
void tunnels_of_a_gateway(benchmark::State& state) {
  constexpr std::size_t kTunnels = 10'000;
  for (auto _ : state) {
    asio::io_context context;
    SystemEnvironment system{context.get_executor()};
    Environment& environment = system;
    auto inner = make_callback_conduit(environment, {}, [](std::span<Datagram>) {});
    Connection b = IkePair::connection(false);
    b.remote.id = IdentityPattern();
    b.pool = true;
    ChildConfig child = IkePair::child(false);
    child.remote = {.dynamic = true};
    b.children = {std::make_shared<ChildConfig>(child)};
    tunnel::IpsecHostOptions options{.connections = {IkePair::share(b)}, .address = *IpAddress::parse("127.0.0.1")};
    options.port = options.nat_port = 4599;
    options.engine.cookie_threshold = SIZE_MAX;
    options.engine.source_cookie_threshold = options.engine.source_half_open_limit = 0;
    options.pools["b"].push_back(std::make_shared<tunnel::AddressPool>(*tunnel::AddressPool::parse("10.64.0.0/16")));
    std::size_t children = 0;
    const auto count = [&](const ike::Event& event) {
      if (std::holds_alternative<ChildUp>(event)) ++children;
      if (const auto* down = std::get_if<ChildDown>(&event)) state.SkipWithError(down->reason.to_string().c_str());
    };
    auto host =
        tunnel::IpsecHost::create(environment, std::move(inner.conduit), std::move(options), {.on_event = count});
    if (!host.ok()) return state.SkipWithError("no gateway");
    Visitor visitor(environment, {*IpAddress::parse("127.0.0.1"), 4599});
    Connection a = IkePair::connection(true);
    a.unique = Unique::kNever;
    ChildConfig own = IkePair::child(true);
    own.local = {.dynamic = true};
    a.children = {std::make_shared<ChildConfig>(own)};
    a.request.addresses = {*Prefix::parse("0.0.0.0/0")};
    const auto visit = [&](std::size_t number) {
      a.local.id = Identity::parse("client" + std::to_string(number) + ".test");
      const std::size_t before = visitor.visits();
      visitor.visit(environment.clock.now(), IkePair::share(a));
      while (visitor.visits() == before) context.run_one_for(1s);
    };
    for (std::size_t i = 0; i < 100; ++i) visit(i);
    malloc_trim(0);
    const std::size_t before = heap_in_use(), resident_before = resident();
    for (std::size_t i = 0; i < kTunnels; ++i) visit(1000 + i);
    const std::size_t grown = heap_in_use() - before;
    malloc_trim(0);
    if (children != kTunnels + 100) state.SkipWithError("not all came up");
    state.counters["bytes_per_tunnel"] = static_cast<double>(grown) / kTunnels;
    state.counters["resident_per_tunnel"] = static_cast<double>(resident() - resident_before) / kTunnels;
  }
}
BENCHMARK(tunnels_of_a_gateway)->Unit(benchmark::kMillisecond)->Iterations(1);

}  // namespace
