// Streams as carriers: kept up by the originator, taken in and judged by the responder, in virtual time.
#include "winze/tunnel/stream_carrier.h"

#include <doctest/doctest.h>

#include <asio/post.hpp>
#include <string>
#include <vector>

#include "support/simulator.h"
#include "winze/base/error.h"
#include "winze/io/callback_conduit.h"
#include "winze/io/memory.h"
#include "winze/proto/ip/header.h"

namespace winze {
namespace {

using namespace std::chrono_literals;

// Where dialers and a listener meet.
struct Exchange {
  Listener::Handler accepting;
  bool refuses = false;
  std::vector<TimePoint> dials;
};

class ExchangeDialer final : public Dialer {
 public:
  ExchangeDialer(test::Simulator& simulator, Exchange& exchange) : simulator_(simulator), exchange_(exchange) {}
  Pending dial(const Destination&, Handler handler) override {
    Environment& environment = simulator_.environment();
    exchange_.dials.push_back(simulator_.now());
    asio::post(environment.executor, [this, &environment, handler = std::move(handler)]() mutable {
      if (exchange_.refuses || !exchange_.accepting)
        return handler(std::make_error_code(std::errc::connection_refused), nullptr);
      auto [near, far] = memory_pair(environment);
      std::exchange(exchange_.accepting, nullptr)({}, std::move(far));
      handler({}, std::move(near));
    });
    return {};
  }
  const Executor& executor() const override { return simulator_.environment().executor; }

 private:
  test::Simulator& simulator_;
  Exchange& exchange_;
};

class ExchangeListener final : public Listener {
 public:
  explicit ExchangeListener(Exchange& exchange) : exchange_(exchange) {}
  void accept(Handler handler) override { exchange_.accepting = std::move(handler); }
  void close() override { exchange_.accepting = nullptr; }
  Endpoint local() const override { return {}; }

 private:
  Exchange& exchange_;
};

esp::SaConfig config(std::uint32_t spi) {
  esp::SaConfig out{.spi = spi};
  out.algorithms.encryption_key = Secret(std::string_view("0123456789abcdefsalt"));
  return out;
}

// One end: a data plane with one child, and a host that feeds it and counts.
struct End {
  End(test::Simulator& sim, std::uint32_t out, std::uint32_t in)
      : pair(make_callback_conduit(sim.environment(), {},
                                   [this](std::span<Datagram> packets) { received += packets.size(); })),
        plane(sim.environment(), std::move(pair.conduit), {}, [](std::error_code) { FAIL("the data plane ended"); }),
        child(plane.database().add({})) {
    child.set_outbound(*esp::OutboundSa::create(config(out), sim.environment().random));
    REQUIRE(plane.database().add_inbound(child, *esp::InboundSa::create(config(in))));
  }
  void send() {
    Buffer packet = Buffer::copy_of(std::string(100, 'p'), {.front = 64, .back = 64});
    REQUIRE(ip::prepend_header(
        packet,
        {.source = *IpAddress::parse("10.0.0.1"), .destination = *IpAddress::parse("10.0.0.2"), .protocol = ip::kUdp}));
    CHECK(pair.feed.deliver(std::span(&packet, 1)) == 1);
  }

  std::size_t received = 0;
  CallbackPair pair;
  tunnel::DataPlane plane;
  esp::Child& child;
};

struct Fixture {
  tunnel::StreamOriginator originator(End& end) {
    return tunnel::StreamOriginator(sim.environment(), end.plane, std::make_shared<ExchangeDialer>(sim, exchange),
                                    Destination("far.test", 4500),
                                    {.on_up =
                                         [&end](std::uint32_t carrier) {
                                           end.child.path.peer = Endpoint();
                                           end.child.path.carrier = carrier;
                                         },
                                     .on_down = [this](std::error_code error) { down.push_back(error); }});
  }
  std::unique_ptr<tunnel::StreamResponder> responder(End& end, const tunnel::StreamResponderOptions& options = {}) {
    return std::make_unique<tunnel::StreamResponder>(sim.environment(), end.plane,
                                                     std::make_unique<ExchangeListener>(exchange), options);
  }

  test::Simulator sim{1};
  Exchange exchange;
  std::vector<std::error_code> down;
};

TEST_CASE("stream carriers: packets pass both ways, and again after the stream has ended") {
  Fixture f;
  End near(f.sim, 1000, 2000), far(f.sim, 2000, 1000);
  auto originator = f.originator(near);
  auto responder = f.responder(far);
  f.sim.run_ready();
  far.send();  // it does not know its peer yet
  f.sim.run_ready();
  CHECK(far.plane.counters().no_peer == 1);
  near.send();
  f.sim.run_ready();
  CHECK(far.received == 1);
  far.send();
  f.sim.run_ready();
  CHECK(near.received == 1);
  // The other end goes, and comes back.
  responder.reset();
  f.sim.run_ready();
  CHECK(f.down == std::vector<std::error_code>{Errc::kEof});
  near.send();
  CHECK(near.plane.counters().packets_out == 1);
  auto second = f.responder(far);
  f.sim.run_for(500ms);
  near.send();
  f.sim.run_ready();
  CHECK(far.received == 2);
  CHECK(second->streams() == 1);
}

TEST_CASE("stream carriers: an originator that is refused tries again, ever more slowly") {
  Fixture f;
  End near(f.sim, 1000, 2000);
  f.exchange.refuses = true;
  {
    auto originator = f.originator(near);
    f.sim.run_for(600s);
    CHECK(f.down.size() == f.exchange.dials.size());
    // 0.5, 1, 2, 4, 8, 16 seconds, then 30 each.
    CHECK(f.exchange.dials.size() >= 20);
    CHECK(f.exchange.dials.size() <= 27);
    CHECK(f.exchange.dials[1] - f.exchange.dials[0] == 500ms);
    CHECK(f.exchange.dials.back() - f.exchange.dials[f.exchange.dials.size() - 2] == 30s);
  }
  const std::size_t dials = f.exchange.dials.size();
  f.sim.run_for(600s);
  CHECK(f.exchange.dials.size() == dials);
}

TEST_CASE("stream carriers: strangers are closed, and no more are taken than there is room for") {
  Fixture f;
  End far(f.sim, 2000, 1000), near(f.sim, 1000, 2000);
  auto responder = f.responder(far, {.most = 3, .unproved = 10s});
  auto originator = f.originator(near);
  f.sim.run_ready();
  near.send();
  ExchangeDialer dialer(f.sim, f.exchange);
  std::vector<StreamPtr> strangers;
  for (int i = 0; i < 3; ++i) {
    dialer
        .dial({},
              [&](std::error_code error, StreamPtr stream) {
                CHECK_FALSE(error);
                strangers.push_back(std::move(stream));
              })
        .detach();
    f.sim.run_ready();
  }
  CHECK(responder->streams() == 3);
  CHECK(responder->refused() == 1);
  f.sim.run_for(11s);
  CHECK(responder->streams() == 1);
  CHECK(responder->refused() == 3);
  near.send();
  f.sim.run_ready();
  CHECK(far.received == 2);
  // Another protocol is refused at once.
  StreamPtr stranger;
  dialer.dial({}, [&](std::error_code, StreamPtr stream) { stranger = std::move(stream); }).detach();
  f.sim.run_ready();
  stranger->write(Buffer::copy_of("GET / HTTP/1.1\r\n\r\n"), [](std::error_code) {});
  f.sim.run_ready();
  CHECK(responder->streams() == 1);
}

}  // namespace
}  // namespace winze
