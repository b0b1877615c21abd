// IKE_AUTH by certificates, in every kind of key, and what is refused.
#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <vector>

#include "proto/ike/wire.h"
#include "support/files.h"
#include "support/ike_pair.h"
#include "winze/base/status.h"

namespace winze::ike {
namespace {

using namespace std::chrono_literals;
using test::IkePair;

struct TestClock final : WallClock {
  UnixTime time = std::stoll(test::text_of("x509/now")) + 3600;
  UnixTime unix_now() const override { return time; }
};

Certificate load(const std::string& name) {
  return parse_certificates(test::bytes_of("x509/" + name + ".pem"))->front();
}

std::shared_ptr<const CertificateIdentity> identity(const std::string& name) {
  auto key = parse_private_key(test::bytes_of("x509/" + name + ".key"));
  REQUIRE_MESSAGE(key.ok(), message_of(key.status()));
  auto made = CertificateIdentity::create({load(name), load("sub")}, *key);
  REQUIRE_MESSAGE(made.ok(), message_of(made.status()));
  return std::make_shared<const CertificateIdentity>(*std::move(made));
}

std::shared_ptr<const CertificateVerifier> verifier() {
  return std::make_shared<const CertificateVerifier>(std::vector{load("root")});
}

// A client "alice@example.org" and a gateway whose certificate is `name`.
struct Ends {
  TestClock clock;
  Connection a = IkePair::connection(true), b = IkePair::connection(false);

  explicit Ends(const std::string& name) {
    a.local = {.method = AuthMethod::kPublicKey,
               .id = Identity::parse("alice@example.org"),
               .certificate = identity("client")};
    a.remote = {.method = AuthMethod::kPublicKey, .id = IdentityPattern("gw.example.org"), .verifier = verifier()};
    b.local = {
        .method = AuthMethod::kPublicKey, .id = Identity::parse("gw.example.org"), .certificate = identity(name)};
    b.remote = {.method = AuthMethod::kPublicKey, .id = IdentityPattern("*@example.org"), .verifier = verifier()};
  }
  EngineOptions options() const {
    EngineOptions made;
    made.wall_clock = &clock;
    return made;
  }
};

TEST_CASE("ike: both ends prove themselves by certificates, with keys of every kind") {
  for (const std::string name : {"server", "rsa", "edward"}) {
    CAPTURE(name);
    const Ends ends(name);
    IkePair pair(31, ends.options(), ends.options());
    pair.connect(IkePair::share(ends.a), IkePair::share(ends.b));
    if (pair.a.count<Closed>() != 0) MESSAGE(pair.a.last<Closed>()->reason.to_string());
    if (pair.b.count<Closed>() != 0) MESSAGE(pair.b.last<Closed>()->reason.to_string());
    REQUIRE(pair.a.count<Up>() == 1);
    CHECK(pair.b.last<Up>()->remote.to_string() == "alice@example.org");
    CHECK(pair.traffic_flows());
  }
}

TEST_CASE("ike: certificates are shown as the connection says, and asked for") {
  struct Row {
    SendCertificate when;
    bool asked, up;
  };
  for (const bool of_gateway : {true, false}) {
    for (const Row& row : {
             Row{SendCertificate::kAlways, false, true},
             Row{SendCertificate::kIfAsked, true, true},
             Row{SendCertificate::kIfAsked, false, false},
             Row{SendCertificate::kNever, true, false},
         }) {
      CAPTURE(of_gateway);
      CAPTURE(row.asked);
      Ends ends("server");
      (of_gateway ? ends.b : ends.a).send_certificate = row.when;
      (of_gateway ? ends.a : ends.b).request_certificates = row.asked;
      IkePair pair(32, ends.options(), ends.options());
      pair.connect(IkePair::share(ends.a), IkePair::share(ends.b));
      CHECK(pair.a.count<Up>() == (row.up ? 1 : 0));
      if (row.up) continue;
      const test::IkeEnd& judge = of_gateway ? pair.a : pair.b;
      REQUIRE(judge.count<Closed>() == 1);
      CHECK(judge.last<Closed>()->reason.text.find("no certificate") != std::string::npos);
    }
  }
}

TEST_CASE("security: a certificate that is not for the identity, not from our root, or not valid any more") {
  struct Row {
    std::string_view name;
    std::function<void(Ends&)> change;
    std::string_view text;
  };
  const Row rows[] = {
      {"another identity",
       [](Ends& e) {
         e.b.local.id = Identity::parse("other.example.org");
         e.a.remote.id = IdentityPattern("other.example.org");
       },
       "its certificate is for"},
      {"a key id",
       [](Ends& e) {
         e.b.local.id = Identity::parse("@#0102");
         e.a.remote.id = IdentityPattern();
       },
       "its certificate is for"},
      {"another root",
       [](Ends& e) {
         e.a.remote.verifier = std::make_shared<const CertificateVerifier>(std::vector{load("stranger")});
       },
       ""},
      {"no root", [](Ends& e) { e.a.remote.verifier = std::make_shared<const CertificateVerifier>(); }, ""},
      {"years later", [](Ends& e) { e.clock.time += 200LL * 365 * 86400; }, ""},
      {"a client's certificate at the gateway",
       [](Ends& e) {
         e.b.local.certificate = identity("client");
         e.b.local.id = Identity::parse("alice@example.org");
         e.a.remote.id = IdentityPattern();
       },
       ""},
      {"a secret instead",
       [](Ends& e) {
         e.b.local.method = AuthMethod::kPsk;
         e.b.local.psk = Secret(std::string_view("x"));
       },
       "no certificate"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.name);
    Ends ends("server");
    row.change(ends);
    TestClock early;
    EngineOptions of_b;
    of_b.wall_clock = &early;
    IkePair pair(32, ends.options(), std::move(of_b));
    pair.connect(IkePair::share(ends.a), IkePair::share(ends.b));
    CHECK(pair.a.count<Up>() == 0);
    CHECK(pair.a.count<ChildUp>() == 0);
    REQUIRE(pair.a.count<Closed>() == 1);
    CHECK(pair.a.last<Closed>()->reason.cause == Cause::kAuthentication);
    CHECK(pair.a.last<Closed>()->reason.text.find(row.text) != std::string::npos);
  }
}

std::shared_ptr<const CertificateVerifier> verifier_with(const std::vector<std::string>& crls,
                                                         const std::string& ocsp) {
  CertificateVerifier made{std::vector{load("root")}};
  for (const std::string& crl : crls) REQUIRE(made.add_crl(test::bytes_of("x509/" + crl + ".pem")).ok());
  if (!ocsp.empty()) REQUIRE(made.add_ocsp_response(test::bytes_of("x509/" + ocsp + ".der")).ok());
  return std::make_shared<const CertificateVerifier>(std::move(made));
}

TEST_CASE("security: a revoked certificate, and with a strict policy one of which nothing fresh is known") {
  struct Row {
    std::string_view name;
    std::vector<std::string> crls;
    std::string ocsp;
    Revocation policy;
    std::string_view text;  // empty: it comes up
  };
  const std::string_view gone = "it is revoked", unknown = "no fresh";
  const Row rows[] = {
      {"nothing is known", {}, "", Revocation::kIfKnown, ""},
      {"nothing is known, strict", {}, "", Revocation::kStrict, unknown},
      {"the list of one CA alone, strict", {"root_crl"}, "", Revocation::kStrict, unknown},
      {"both lists, strict", {"root_crl", "sub_crl"}, "", Revocation::kStrict, ""},
      {"the gateway is listed", {"sub_crl_server"}, "", Revocation::kIfKnown, gone},
      {"the gateway is listed, strict", {"root_crl", "sub_crl_server"}, "", Revocation::kStrict, gone},
      {"the gateway is listed, and nobody asks", {"root_crl", "sub_crl_server"}, "", Revocation::kIgnored, ""},
      {"its CA is listed", {"root_crl_sub", "sub_crl"}, "", Revocation::kIfKnown, gone},
      {"OCSP says that it is good, strict", {"root_crl"}, "ocsp_good", Revocation::kStrict, ""},
      {"OCSP says that it is revoked", {"root_crl"}, "ocsp_revoked", Revocation::kIfKnown, gone},
      {"OCSP of a stranger, strict", {"root_crl"}, "ocsp_by_stranger", Revocation::kStrict, unknown},
  };
  for (const Row& row : rows) {
    CAPTURE(row.name);
    Ends ends("server");
    ends.a.remote.verifier = verifier_with(row.crls, row.ocsp);
    ends.a.remote.revocation = row.policy;
    IkePair pair(34, ends.options(), ends.options());
    pair.connect(IkePair::share(ends.a), IkePair::share(ends.b));
    CHECK(pair.a.count<Up>() == (row.text.empty() ? 1 : 0));
    if (row.text.empty()) {
      CHECK(pair.traffic_flows());
      continue;
    }
    REQUIRE(pair.a.count<Closed>() == 1);
    CHECK(pair.a.last<Closed>()->reason.cause == Cause::kAuthentication);
    CHECK(pair.a.last<Closed>()->reason.text.find(row.text) != std::string::npos);
    CHECK(pair.a.children.empty());
    // The gateway, which had taken the client in, is told.
    pair.run(1s);
    CHECK(pair.b.engine.size() <= 1);
    CHECK(pair.b.children.empty());
  }
}

TEST_CASE("security: a gateway with a strict policy takes no client of whose certificate it knows nothing") {
  for (const bool known : {false, true}) {
    CAPTURE(known);
    Ends ends("server");
    ends.b.remote.revocation = Revocation::kStrict;
    if (known) ends.b.remote.verifier = verifier_with({"root_crl", "sub_crl"}, "");
    IkePair pair(35, ends.options(), ends.options());
    pair.connect(IkePair::share(ends.a), IkePair::share(ends.b));
    CHECK(pair.b.count<Up>() == (known ? 1 : 0));
    CHECK(pair.a.count<Up>() == (known ? 1 : 0));
    if (known) continue;
    REQUIRE(pair.b.count<Closed>() == 1);
    CHECK(pair.b.last<Closed>()->reason.cause == Cause::kAuthentication);
    CHECK(pair.b.last<Closed>()->reason.text.find("no fresh") != std::string::npos);
    CHECK(pair.a.last<Closed>()->reason.notify == notify::kAuthenticationFailed);
  }
}

// A key in a store that takes its time.
class SlowKey final : public PrivateKey {
 public:
  explicit SlowKey(PrivateKeyPtr key) : key_(std::move(key)) {}
  const PublicKey& public_key() const override { return key_->public_key(); }
  void sign(SignatureScheme scheme, std::span<const std::uint8_t> message, SignHandler done) override {
    key_->sign(scheme, message, [this](auto made) { made_ = std::move(made); });
    done_ = std::move(done);
  }
  void finish() { done_(std::move(made_)); }
  bool waits() const { return done_ != nullptr; }

 private:
  PrivateKeyPtr key_;
  SignHandler done_;
  absl::StatusOr<std::vector<std::uint8_t>> made_;
};

TEST_CASE("ike: a key that signs later is waited for, and outlives the engine if it must") {
  Ends ends("server");
  const auto real = identity("server");
  const auto slow = std::make_shared<SlowKey>(real->key);
  auto made = CertificateIdentity::create(real->chain, slow);
  REQUIRE(made.ok());
  ends.b.local.certificate = std::make_shared<const CertificateIdentity>(*std::move(made));
  for (const bool engine_dies : {false, true}) {
    CAPTURE(engine_dies);
    bool woken = false;
    EngineOptions of_b = ends.options();
    of_b.wake = [&] { woken = true; };
    auto pair = std::make_unique<IkePair>(33, ends.options(), std::move(of_b));
    pair->connect(IkePair::share(ends.a), IkePair::share(ends.b));
    CHECK(pair->a.count<Up>() == 0);
    REQUIRE(slow->waits());
    if (engine_dies) pair.reset();
    slow->finish();
    CHECK(woken == !engine_dies);
    if (engine_dies) continue;
    pair->run(1s);
    CHECK(pair->a.count<Up>() == 1);
    CHECK(pair->traffic_flows());
  }
}

TEST_CASE("ike: a key that never signs ends the attempt, at either end") {
  for (const bool of_client : {true, false}) {
    CAPTURE(of_client);
    Ends ends("server");
    Connection& slow = of_client ? ends.a : ends.b;
    const auto real = slow.local.certificate;
    auto made = CertificateIdentity::create(real->chain, std::make_shared<SlowKey>(real->key));
    REQUIRE(made.ok());
    slow.local.certificate = std::make_shared<const CertificateIdentity>(*std::move(made));
    EngineOptions options = ends.options();
    options.host_timeout = 10s;
    IkePair pair(34, of_client ? std::move(options) : ends.options(), of_client ? ends.options() : std::move(options));
    pair.connect(IkePair::share(ends.a), IkePair::share(ends.b));
    test::IkeEnd& end = of_client ? pair.a : pair.b;
    pair.run(8s);
    CHECK(end.count<Closed>() == 0);
    pair.run(2s);
    REQUIRE(end.count<Closed>() == 1);
    CHECK(end.last<Closed>()->reason.stage == Stage::kAuth);
    CHECK(end.last<Closed>()->reason.cause == Cause::kHostTimedOut);
    CHECK(end.last<Closed>()->reason.text == "the key does not sign");
  }
}

TEST_CASE("ike: how each end may sign, and what the other takes") {
  using enum SignatureScheme;
  struct Row {
    const char* gateway;
    std::vector<SignatureScheme> by, taken;
    const char* says;  // of the client; null: it comes up
  };
  for (const Row& row : {
           Row{"rsa", {}, {}, nullptr},
           Row{"rsa", {kRsaPssSha512}, {}, nullptr},
           Row{"rsa", {kRsaPssSha512, kRsaPkcs1Sha256}, {kRsaPkcs1Sha256}, "it signs by"},
           Row{"rsa", {kRsaPkcs1Sha256}, {kRsaPkcs1Sha256}, nullptr},
           Row{"rsa", {}, {kRsaPkcs1Sha256, kRsaPkcs1Sha512}, "it signs by"},
           Row{"server", {}, {kEcdsaSha256}, nullptr},
           Row{"server", {}, {kEcdsaSha384}, "it signs by"},
           Row{"server", {kEcdsaSha384}, {kEcdsaSha384}, nullptr},
           Row{"edward", {}, {kEd25519}, nullptr},
       }) {
    CAPTURE(row.gateway);
    Ends ends(row.gateway);
    ends.b.local.schemes = row.by;
    ends.a.remote.schemes = row.taken;
    IkePair pair(38, ends.options(), ends.options());
    pair.connect(IkePair::share(ends.a), IkePair::share(ends.b));
    CHECK(pair.a.count<Up>() == (row.says == nullptr));
    if (row.says == nullptr) continue;
    REQUIRE(pair.a.last<Closed>() != nullptr);
    CHECK(pair.a.last<Closed>()->reason.text.find(row.says) != std::string::npos);
  }
}

TEST_CASE("ike: peers that do not speak RFC 7427: methods 1 and 9 of old, and what of them needs to be allowed") {
  using enum SignatureScheme;
  struct Row {
    const char* gateway;
    bool legacy;
    std::vector<SignatureScheme> by;
    bool up;
  };
  for (const Row& row : {
           Row{"server", false, {}, true},
           Row{"server", false, {kEcdsaSha384}, false},
           Row{"rsa", false, {}, false},
           Row{"rsa", true, {}, true},
           Row{"rsa", false, {kRsaPkcs1Sha256, kRsaPkcs1Sha1}, true},
           Row{"rsa", true, {kRsaPkcs1Sha256}, false},
           Row{"edward", true, {}, false},
       }) {
    for (const bool of_a : {true, false}) {
      CAPTURE(row.gateway);
      CAPTURE(of_a);
      Ends ends(row.gateway);
      (of_a ? ends.a : ends.b).signature_authentication = false;
      ends.b.legacy = row.legacy;
      ends.b.local.schemes = row.by;
      ends.a.remote.schemes = {kEcdsaSha256, kEcdsaSha384, kEcdsaSha512, kRsaPkcs1Sha1, kEd25519};
      IkePair pair(39, ends.options(), ends.options());
      pair.connect(IkePair::share(ends.a), IkePair::share(ends.b));
      CHECK(pair.a.count<Up>() == row.up);
      CHECK(pair.b.count<Up>() == row.up);
      if (row.up) continue;
      REQUIRE(pair.b.last<Closed>() != nullptr);
      const std::string& text = pair.b.last<Closed>()->reason.text;
      CHECK((text.find("legacy = yes") != std::string::npos) == (std::string_view(row.gateway) == "rsa"));
    }
  }
}

}  // namespace
}  // namespace winze::ike
