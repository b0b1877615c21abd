// Gateways that send their clients elsewhere (RFC 5685).
#include "proto/ike/redirect.h"

#include <doctest/doctest.h>

#include "proto/ike/wire.h"
#include "support/hex.h"
#include "support/ike_pair.h"

namespace winze::ike {
namespace {

using namespace std::chrono_literals;
using test::IkePair;

Connection following(bool follows = true) {
  Connection c = IkePair::connection(true);
  c.follow_redirects = follows;
  return c;
}

const Gateway kThere{*IpAddress::parse("192.0.2.9"), {}};

TEST_CASE("redirect: of strangers, who cost no state") {
  IkePair pair(1);
  pair.b.engine.redirect_newcomers(kThere);
  const ConnectionPtr of_a = IkePair::share(following());
  const SaId sa = pair.connect(of_a);
  REQUIRE(pair.a.count<Redirected>() == 1);
  const Redirected told = *pair.a.last<Redirected>();
  CHECK(told.sa == sa);
  CHECK(told.stage == Stage::kInit);
  CHECK(told.redirection.to == kThere);
  CHECK(told.redirection.from.address == pair.b.plain.address);
  CHECK(pair.a.last<Closed>()->reason.cause == Cause::kRedirected);
  CHECK(pair.b.engine.size() == 0);
  // The new gateway, here the same that takes it now, hears where it comes from.
  pair.b.engine.redirect_newcomers(std::nullopt);
  (void)pair.a.engine.initiate(pair.now, of_a, pair.route(), {.redirection = told.redirection});
  pair.run(1s);
  CHECK(pair.traffic_flows());
}

TEST_CASE("redirect: who does not follow is taken in") {
  IkePair pair(2);
  pair.b.engine.redirect_newcomers(kThere);
  pair.connect(IkePair::share(following(false)));
  CHECK(pair.a.count<Redirected>() == 0);
  CHECK(pair.traffic_flows());
  CHECK(!pair.b.engine.redirect(pair.now, pair.b.last<Up>()->sa, kThere));
}

TEST_CASE("redirect: once the client has proved who it is") {
  for (const bool follows : {true, false}) {
    CAPTURE(follows);
    IkePair pair(3);
    Connection b = IkePair::connection(false);
    b.ask_authorize = true;
    pair.b.on_event = [&](const Event& event) {
      if (const auto* ask = std::get_if<AskAuthorize>(&event)) pair.b.engine.answer(pair.now, ask->id, kThere);
    };
    // It deletes its IKE SA then, and hears that this has come.
    int deletions = 0, answers = 0;
    pair.bend = [&](bool from_a, const Buffer& datagram) {
      constexpr std::size_t kExchangeAt = 4 + 18;  // behind the marker
      if (datagram.data()[kExchangeAt] == static_cast<std::uint8_t>(Exchange::kInformational)) {
        ++(from_a ? deletions : answers);
      }
      return IkePair::Fate{};
    };
    pair.connect(IkePair::share(following(follows)), IkePair::share(b));
    CHECK(pair.a.count<Up>() + pair.b.count<Up>() == 0);
    CHECK(pair.a.count<Redirected>() == (follows ? 1 : 0));
    CHECK(pair.a.last<Closed>()->reason.cause == (follows ? Cause::kRedirected : Cause::kRefusedByPeer));
    CHECK(pair.b.last<Closed>()->reason.cause == (follows ? Cause::kRedirected : Cause::kRefusedByHost));
    CHECK(pair.a.engine.size() == 0);
    CHECK(deletions == (follows ? 1 : 0));
    CHECK(answers == deletions);
    pair.run(40s);
    CHECK(pair.b.engine.size() == 0);
  }
}

TEST_CASE("redirect: of one who is up, who stays until the new one is") {
  for (const bool lost : {false, true}) {
    CAPTURE(lost);
    IkePair pair(4);
    const ConnectionPtr of_a = IkePair::share(following());
    const SaId old = pair.connect(of_a);
    bool first = lost;
    pair.bend = [&](bool, const Buffer&) { return IkePair::Fate{std::exchange(first, false) ? 0u : 1u}; };
    CHECK(pair.b.engine.redirect(pair.now, pair.b.last<Up>()->sa, Gateway{{}, "gw2.example.org"}));
    pair.run(10s);
    REQUIRE(pair.a.count<Redirected>() == 1);
    const Redirected told = *pair.a.last<Redirected>();
    CHECK(told.stage == Stage::kUp);
    CHECK(told.redirection.to.name == "gw2.example.org");
    CHECK(pair.traffic_flows());
    (void)pair.a.engine.initiate(pair.now, of_a, pair.route(), {.replaces = old, .redirection = told.redirection});
    pair.run(2s);
    CHECK(pair.a.last<Up>()->replaces == old);
    CHECK(pair.a.last<Closed>()->reason.cause == Cause::kReplaced);
    CHECK(pair.a.engine.size() == 1);
    CHECK(pair.traffic_flows());
  }
}

TEST_CASE("security: a redirect that nobody can have sent who saw the request, or that never ends") {
  SUBCASE("another nonce") {
    IkePair pair(5);
    pair.b.engine.redirect_newcomers(kThere);
    pair.bend = [&](bool from_a, const Buffer& datagram) {
      if (from_a) return IkePair::Fate{};
      // An attacker's guess in its place.
      Buffer guess = Buffer::copy_of(datagram.span(), {64, 64});
      guess.span().back() ^= 1;
      Path path{pair.a.plain, pair.b.plain, 1, false, false};
      pair.a.engine.receive(pair.now, path, std::move(guess));
      return IkePair::Fate{0};
    };
    pair.connect(IkePair::share(following()));
    CHECK(pair.a.count<Redirected>() == 0);
    CHECK(pair.a.count<Closed>() == 0);
    pair.bend = nullptr;
    pair.run(10s);
    CHECK(pair.a.count<Redirected>() == 1);
  }
  SUBCASE("round and round") {
    IkePair pair(6);
    pair.b.engine.redirect_newcomers(kThere);
    const ConnectionPtr of_a = IkePair::share(following());
    pair.a.on_event = [&](const Event& event) {
      if (const auto* told = std::get_if<Redirected>(&event)) {
        (void)pair.a.engine.initiate(pair.now, of_a, pair.route(), {.redirection = told->redirection});
      }
    };
    pair.connect(of_a);
    pair.run(10s);
    CHECK(pair.a.count<Redirected>() == kMostRedirects);
    CHECK(pair.a.last<Closed>()->reason.cause == Cause::kMisbehaved);
    CHECK(pair.a.engine.size() == 0);
  }
}

TEST_CASE("redirect: gateways as bytes") {
  CHECK(test::hex(encode_gateway(kThere)) == "0104c0000209");
  CHECK(test::hex(encode_gateway({{}, "gw"}, test::unhex("0708"))) == "030267770708");
  CHECK(decode_gateway(test::unhex("0104c0000209"))->gateway == kThere);
  CHECK(decode_gateway(test::unhex("030267770708"))->gateway.name == "gw");
  CHECK(decode_gateway(test::unhex("021020010db8000000000000000000000001"))->gateway.address.to_string() ==
        "2001:db8::1");
  for (const char* const bad : {"", "01", "0104c00002", "0103c00002", "0300", "0302670a", "04026777", "0210c0000209"}) {
    CHECK(!decode_gateway(test::unhex(bad)));
  }
}

}  // namespace
}  // namespace winze::ike
