// EAP within IKE_AUTH: a gateway with a certificate, clients with a password.
#include <doctest/doctest.h>

#include <memory>
#include <string>

#include "proto/ike/wire.h"
#include "support/files.h"
#include "support/ike_pair.h"

namespace winze::ike {
namespace {

using namespace std::chrono_literals;
using test::IkePair;

struct TestClock final : WallClock {
  UnixTime time = std::stoll(test::text_of("x509/now")) + 3600;
  UnixTime unix_now() const override { return time; }
};

class OneUser final : public eap::Passwords {
 public:
  void find(std::string_view user, Handler found) override {
    if (late) {
      waiting = std::move(found);
      return;
    }
    found(user == "carol" ? std::optional<Secret>(Secret(std::string_view("tumbleweed"))) : std::nullopt);
  }
  bool late = false;
  Handler waiting;
};

struct Ends {
  TestClock clock;
  SeededRandom random{3};
  std::shared_ptr<OneUser> users = std::make_shared<OneUser>();
  Connection a = IkePair::connection(true), b = IkePair::connection(false);

  explicit Ends(std::string_view password = "tumbleweed") {
    const auto load = [](const std::string& name) {
      return parse_certificates(test::bytes_of("x509/" + name + ".pem"))->front();
    };
    auto key = parse_private_key(test::bytes_of("x509/server.key"));
    const auto verifier = std::make_shared<const CertificateVerifier>(std::vector{load("root")});
    a.local.method = AuthMethod::kEap;
    a.local.eap =
        std::make_shared<const eap::PeerOptions>(eap::PeerOptions{.identity = "carol", .password = Secret(password)});
    a.remote = {.method = AuthMethod::kPublicKey, .id = IdentityPattern("gw.example.org"), .verifier = verifier};
    b.local = {.method = AuthMethod::kPublicKey,
               .id = Identity::parse("gw.example.org"),
               .certificate = std::make_shared<const CertificateIdentity>(
                   *CertificateIdentity::create({load("server"), load("sub")}, *key))};
    b.remote = {.method = AuthMethod::kEap};
    b.remote.eap = [this] { return eap::make_authenticator({.users = users}, random); };
  }
  EngineOptions options() const {
    EngineOptions made;
    made.wall_clock = &clock;
    return made;
  }
};

TEST_CASE("ike: EAP-MSCHAPv2 behind the gateway's certificate") {
  Ends ends;
  IkePair pair(51, ends.options(), ends.options());
  pair.bend = [&](bool, const Buffer&) { return IkePair::Fate{.copies = 2}; };
  pair.connect(IkePair::share(ends.a), IkePair::share(ends.b));
  if (pair.a.count<Closed>() != 0) MESSAGE(pair.a.last<Closed>()->reason.to_string());
  if (pair.b.count<Closed>() != 0) MESSAGE(pair.b.last<Closed>()->reason.to_string());
  REQUIRE(pair.a.count<Up>() == 1);
  REQUIRE(pair.b.count<Up>() == 1);
  CHECK(pair.b.last<Up>()->eap_identity == "carol");
  CHECK(pair.traffic_flows());
}

TEST_CASE("ike: a wrong password, and an unknown user, end at both ends") {
  Ends ends("wrong");
  IkePair pair(52, ends.options(), ends.options());
  pair.connect(IkePair::share(ends.a), IkePair::share(ends.b));
  CHECK(pair.a.count<Up>() + pair.b.count<Up>() == 0);
  REQUIRE(pair.b.count<Closed>() == 1);
  CHECK(pair.b.last<Closed>()->reason.cause == Cause::kAuthentication);
  pair.run(200s);
  CHECK(pair.a.count<Closed>() == 1);
  CHECK(pair.a.engine.size() + pair.b.engine.size() == 0);
}

TEST_CASE("ike: a password that comes from far away is waited for") {
  Ends ends;
  ends.users->late = true;
  bool woken = false;
  EngineOptions of_b = ends.options();
  of_b.wake = [&] { woken = true; };
  IkePair pair(53, ends.options(), std::move(of_b));
  pair.connect(IkePair::share(ends.a), IkePair::share(ends.b));
  pair.run(6s);
  CHECK(pair.a.count<Up>() == 0);
  REQUIRE((ends.users->waiting != nullptr));
  ends.users->waiting(Secret(std::string_view("tumbleweed")));
  CHECK(woken);
  pair.run(2s);
  CHECK(pair.a.count<Up>() == 1);
  CHECK(pair.traffic_flows());
}

TEST_CASE("ike: a password that never comes ends the attempt") {
  Ends ends;
  ends.users->late = true;
  EngineOptions of_b = ends.options();
  of_b.host_timeout = 10s;
  IkePair pair(53, ends.options(), std::move(of_b));
  pair.connect(IkePair::share(ends.a), IkePair::share(ends.b));
  pair.run(8s);
  CHECK(pair.b.count<Closed>() == 0);
  pair.run(2s);
  REQUIRE(pair.b.count<Closed>() == 1);
  CHECK(pair.b.last<Closed>()->reason.cause == Cause::kHostTimedOut);
  REQUIRE(pair.a.count<Closed>() == 1);
  CHECK(pair.a.last<Closed>()->reason.notify == notify::kAuthenticationFailed);
}

TEST_CASE("security: no EAP packet leaves the client before the gateway has proved who it is") {
  Ends ends;
  ends.a.remote.verifier = std::make_shared<const CertificateVerifier>();
  IkePair pair(54, ends.options(), ends.options());
  pair.connect(IkePair::share(ends.a), IkePair::share(ends.b));
  REQUIRE(pair.a.count<Closed>() == 1);
  CHECK(pair.a.last<Closed>()->reason.cause == Cause::kAuthentication);
  // IKE_SA_INIT, IKE_AUTH, and the farewell.
  CHECK(pair.a.engine.counters().sent == 3);
  // The gateway knows at once, and keeps nothing half open.
  REQUIRE(pair.b.count<Closed>() == 1);
  CHECK(pair.b.last<Closed>()->reason.text == "it gives up");
  CHECK(pair.b.engine.half_open() == 0);
  CHECK(pair.b.count<Up>() == 0);
}

TEST_CASE("security: a method that proves no server is not used alone (RFC 5998)") {
  Ends ends;
  ends.a.local.eap_only = true;
  IkePair pair(55, ends.options(), ends.options());
  pair.connect(IkePair::share(ends.a), IkePair::share(ends.b));
  REQUIRE(pair.a.count<Closed>() == 1);
  CHECK(pair.a.last<Closed>()->reason.cause == Cause::kUnsupported);
}

}  // namespace
}  // namespace winze::ike
