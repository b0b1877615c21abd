// IKE and ESP in streams (RFC 9329) that break: the tunnel goes on in the next one.
#include <doctest/doctest.h>

#include <memory>
#include <utility>
#include <vector>

#include "support/ipsec_world.h"
#include "winze/base/error.h"
#include "winze/io/tcp.h"

namespace winze::tunnel {
namespace {

using namespace std::chrono_literals;
using test::ip;
using test::Pair;
using test::Site;

// Dials TCP, and can break what it has dialled; or refuse to.
class Breakable final : public Dialer {
 public:
  explicit Breakable(Environment& environment) : environment_(environment), inner_(tcp_dialer(environment)) {}

  Pending dial(const Destination& destination, Handler handler) override {
    ++dials;
    const Destination there = refuses ? Destination(ip("127.0.0.1"), 1) : destination;
    return inner_->dial(there, [this, handler = std::move(handler)](DialError error, StreamPtr stream) mutable {
      newest_ = stream.get();
      handler(std::move(error), std::move(stream));
    });
  }
  const Executor& executor() const override { return environment_.executor; }

  // As the network does it: neither end has asked for it.
  void break_newest() {
    REQUIRE(newest_ != nullptr);
    std::exchange(newest_, nullptr)->abort();
  }

  int dials = 0;
  bool refuses = false;

 private:
  Environment& environment_;
  DialerPtr inner_;
  Stream* newest_ = nullptr;
};

struct Streamed : Pair {
  static constexpr Duration kUnproved = 2s;  // a tunnel comes up in far less, also on a busy machine

  std::shared_ptr<Breakable> dialer;
  Site* site = nullptr;
  std::vector<bool> downs;

  explicit Streamed(bool mobike = true) {
    ListenResult listening = tcp_listen(environment, {ip("127.0.0.1"), 0});
    REQUIRE_FALSE(listening.error);
    const Endpoint there = listening.listener->local();
    gateway->host->accept_streams(std::move(listening.listener), {.unproved = kUnproved});
    dialer = std::make_shared<Breakable>(environment);
    site = &add_client();
    auto own = client_connection("a.test");
    own->mobike = mobike;
    site->client.emplace(
        environment, *site->host,
        IpsecClientOptions{.connection = own, .gateways = {Destination(there.address, there.port)}, .dialer = dialer},
        IpsecClient::Handlers{.on_up = nullptr,
                              .on_down = [this](const ike::Reason&, bool more) { downs.push_back(more); }});
    REQUIRE(until([&] { return !site->children.empty() && !gateway->children.empty(); }));
  }
  void pass(Duration time) {
    (void)until([] { return false; }, time);
  }
};

TEST_CASE("IKE and ESP in a stream, for longer than one may stay unproved") {
  Streamed world;
  world.exchange(*world.site);
  world.pass(Streamed::kUnproved + 200ms);
  world.exchange(*world.site);
  CHECK(world.site->closed.empty());
  CHECK(world.dialer->dials == 1);
}

TEST_CASE("a stream that breaks: IKE and ESP go on in the next one, with the IKE SA and the child that there were") {
  Streamed world;
  Site& site = *world.site;
  world.exchange(site);
  for (int i = 1; i <= 3; ++i) {
    world.dialer->break_newest();
    REQUIRE(world.until([&] { return site.migrated == i && world.gateway->migrated >= i; }));
    CHECK(world.dialer->dials == i + 1);
    world.exchange(site);
  }
  // The new one is proved, and stays.
  world.pass(Streamed::kUnproved + 200ms);
  world.exchange(site);
  CHECK(site.ups.size() == 1);
  CHECK(site.children.size() == 1);
  CHECK(site.closed.empty());
  CHECK(world.gateway->closed.empty());
  const auto counters = site.host->counters(site.children[0].child);
  REQUIRE(counters);
  CHECK(counters->packets_out == 5);
  CHECK(counters->packets_in == 5);
}

TEST_CASE("a stream that breaks while a request is on its way: it is asked again in the next one") {
  Streamed world;
  Site& site = *world.site;
  CHECK(site.host->rekey_child(site.children[0].child));
  world.dialer->break_newest();
  REQUIRE(world.until([&] { return site.outbound == 1 && world.gateway->outbound == 1; }));
  world.exchange(site);
  CHECK(site.host->rekey(site.ups[0].sa));
  world.dialer->break_newest();
  REQUIRE(world.until([&] { return site.rekeyed == 1 && world.gateway->rekeyed == 1; }));
  REQUIRE(world.until([&] { return site.migrated >= 2; }));
  world.exchange(site);
  CHECK(site.closed.empty());
}

TEST_CASE("a stream that breaks, and that cannot be dialled again for a while") {
  Streamed world;
  Site& site = *world.site;
  world.dialer->refuses = true;
  world.dialer->break_newest();
  REQUIRE(world.until([&] { return world.dialer->dials >= 3; }));
  CHECK(site.closed.empty());
  world.dialer->refuses = false;
  REQUIRE(world.until([&] { return site.migrated >= 1 && world.gateway->migrated >= 1; }));
  world.exchange(site);
  CHECK(site.ups.size() == 1);
  CHECK(world.downs.empty());
}

}  // namespace
}  // namespace winze::tunnel
