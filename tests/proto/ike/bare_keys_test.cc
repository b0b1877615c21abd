// IKE_AUTH by bare public keys (RFC 7670), which the peers know.
#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "support/files.h"
#include "support/ike_impostor.h"

namespace winze::ike {
namespace {

using test::IkePair;

constexpr std::uint8_t kBareKey = 15;  // certificate encoding

PrivateKeyPtr key_of(const std::string& name) { return *parse_private_key(test::bytes_of("x509/" + name + ".key")); }

// A client and a gateway with keys of two kinds, and nothing else; neither needs a clock.
struct Ends {
  test::RogueKeys keys;
  Connection a = test::open_book(true), b = test::open_book(false);

  explicit Ends(const std::string& of_client = "client", const std::string& of_gateway = "server") {
    set(of_client, a, b);
    set(of_gateway, b, a);
  }
  static void set(const std::string& name, Connection& who, Connection& judge) {
    const PrivateKeyPtr key = key_of(name);
    who.local.method = judge.remote.method = AuthMethod::kPublicKey;
    who.local.certificate = std::make_shared<const CertificateIdentity>(CertificateIdentity{{}, key});
    judge.remote.keys = {key->public_key()};
  }
  EngineOptions options() {
    EngineOptions made;
    made.key_log = [this](std::string_view line) { keys.take(line); };
    return made;
  }
  void connect(IkePair& pair) { pair.connect(IkePair::share(a), IkePair::share(b)); }
};

TEST_CASE("ike: both ends prove themselves by bare keys of every kind, with peers that know no RFC 7427 too") {
  for (const std::string name : {"client", "rsa", "edward"}) {
    for (const bool old : {false, true}) {
      CAPTURE(name);
      CAPTURE(old);
      Ends ends(name, name);
      ends.b.signature_authentication = !old;
      IkePair pair(81, ends.options());
      ends.connect(pair);
      const bool up = !old || name == "client";  // Ed25519 had no method of old, and RSA's is not safe
      CHECK(pair.a.count<Up>() == up);
      if (up) CHECK(pair.traffic_flows());
    }
  }
}

TEST_CASE("ike: bare keys are shown as the connection says, and asked for") {
  struct Row {
    SendCertificate when;
    bool asked, shown;
  };
  for (const Row& row : {
           Row{SendCertificate::kAlways, false, true},
           Row{SendCertificate::kIfAsked, true, true},
           Row{SendCertificate::kIfAsked, false, false},
           Row{SendCertificate::kNever, true, false},
       }) {
    CAPTURE(row.asked);
    Ends ends;
    for (Connection* const c : {&ends.a, &ends.b}) {
      c->send_certificate = row.when;
      c->request_certificates = row.asked;
    }
    IkePair pair(82, ends.options());
    std::size_t shown = 0;
    pair.bend = [&](bool, const Buffer& datagram) {
      if (const auto heard = test::open_with(ends.keys, datagram)) {
        heard->with_contents([&](const Contents& contents) {
          shown +=
              static_cast<std::size_t>(std::ranges::count(contents.certificates, kBareKey, &CertificateView::encoding));
        });
      }
      return IkePair::Fate{};
    };
    ends.connect(pair);
    // Known keys need not be shown.
    CHECK(pair.a.count<Up>() == 1);
    CHECK(shown == (row.shown ? 2 : 0));
  }
}

TEST_CASE("ike: of several keys one is the peer's; certificates are believed beside them") {
  Ends ends;
  ends.a.remote.keys = {key_of("edward")->public_key(), key_of("rsa")->public_key(), key_of("server")->public_key()};
  ends.a.send_certificate = ends.b.send_certificate = SendCertificate::kNever;
  IkePair pair(83, ends.options());
  ends.connect(pair);
  CHECK(pair.a.count<Up>() == 1);

  struct TestClock final : WallClock {
    UnixTime unix_now() const override { return std::stoll(test::text_of("x509/now")) + 3600; }
  } clock;
  const auto load = [](const std::string& name) {
    return parse_certificates(test::bytes_of("x509/" + name + ".pem"))->front();
  };
  Ends other;
  other.b.local.certificate = std::make_shared<const CertificateIdentity>(
      *CertificateIdentity::create({load("server"), load("sub")}, key_of("server")));
  other.b.local.id = Identity::parse("gw.example.org");
  other.a.remote.id = IdentityPattern("gw.example.org");
  other.a.remote.keys = {key_of("rsa")->public_key()};
  other.a.remote.verifier = std::make_shared<const CertificateVerifier>(std::vector{load("root")});
  EngineOptions of_a = other.options();
  of_a.wall_clock = &clock;
  IkePair by_certificate(84, std::move(of_a));
  other.connect(by_certificate);
  CHECK(by_certificate.a.count<Up>() == 1);
}

TEST_CASE("security: a key that is another's, or only shown, or of another name, proves nothing") {
  struct Row {
    std::string_view name;
    std::function<void(Ends&)> change;
    std::string_view text;
  };
  const Row rows[] = {
      {"another key, shown",
       [](Ends& e) {
         e.b.local.certificate = std::make_shared<CertificateIdentity>(CertificateIdentity{{}, key_of("rsa")});
       },
       "a public key that is not known"},
      {"another key, not shown",
       [](Ends& e) {
         e.b.local.certificate = std::make_shared<CertificateIdentity>(CertificateIdentity{{}, key_of("client")});
         e.b.send_certificate = SendCertificate::kNever;
       },
       "its signature is not right"},
      {"another kind of key, not shown",
       [](Ends& e) {
         e.b.local.certificate = std::make_shared<CertificateIdentity>(CertificateIdentity{{}, key_of("rsa")});
         e.b.send_certificate = SendCertificate::kNever;
       },
       "not its key's"},
      {"another name",
       [](Ends& e) {
         e.b.local.id = Identity::parse("mallory.test");
         e.a.remote.id = IdentityPattern("*.example");
       },
       "it is not *.example"},
      {"no key is known", [](Ends& e) { e.a.remote.keys.clear(); }, "nothing here could verify"},
      {"another scheme", [](Ends& e) { e.a.remote.schemes = {SignatureScheme::kEcdsaSha384}; }, "which is not taken"},
      {"a secret instead",
       [](Ends& e) {
         e.b.local.method = AuthMethod::kPsk;
         e.b.local.psk = Secret(std::string_view("x"));
       },
       "not its key's"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.name);
    Ends ends;
    row.change(ends);
    IkePair pair(85, ends.options());
    ends.connect(pair);
    CHECK(pair.a.count<Up>() == 0);
    REQUIRE(pair.a.count<Closed>() == 1);
    CHECK(pair.a.last<Closed>()->reason.cause == Cause::kAuthentication);
    CHECK_MESSAGE(pair.a.last<Closed>()->reason.text.find(row.text) != std::string::npos,
                  pair.a.last<Closed>()->reason.text);
  }
}

TEST_CASE("security: the known key shown beside another's signature") {
  Ends ends;
  ends.b.local.certificate = std::make_shared<CertificateIdentity>(CertificateIdentity{{}, key_of("client")});
  IkePair pair(86, ends.options());
  const auto done = test::tamper(pair, ends.keys, false, Exchange::kAuth, [&](const test::Heard& heard) {
    return test::rewritten(heard.inner, [&](PayloadType type, test::Bytes body) -> std::optional<test::Bytes> {
      if (type != PayloadType::kCertificate) return body;
      const PrivateKeyPtr known = key_of("server");
      const auto spki = known->public_key().spki();
      test::Bytes shown{kBareKey};
      shown.insert(shown.end(), spki.begin(), spki.end());
      return shown;
    });
  });
  ends.connect(pair);
  CHECK(*done);
  CHECK(pair.a.count<Up>() == 0);
  REQUIRE(pair.a.count<Closed>() == 1);
  CHECK(pair.a.last<Closed>()->reason.text.find("its signature is not right") != std::string::npos);
}

}  // namespace
}  // namespace winze::ike
