#include "winze/layer/eap_tls.h"

#include <doctest/doctest.h>

#include "support/eap_pair.h"
#include "support/files.h"
#include "winze/base/status.h"

namespace winze::eap {
namespace {

using test::EapRun;

class FixedClock final : public WallClock {
 public:
  explicit FixedClock(UnixTime now) : now_(now) {}
  UnixTime unix_now() const override { return now_; }

 private:
  UnixTime now_;
};

std::vector<Certificate> load(const std::string& names) {
  std::vector<Certificate> out;
  for (std::size_t at = 0; at < names.size();) {
    const std::size_t end = std::min(names.find(' ', at), names.size());
    auto one = parse_certificates(test::bytes_of("x509/" + names.substr(at, end - at) + ".pem"));
    REQUIRE(one.ok());
    out.push_back(one->front());
    at = end + 1;
  }
  return out;
}

// A key whose signatures wait for release().
class SlowKey final : public PrivateKey {
 public:
  explicit SlowKey(PrivateKeyPtr key) : key_(std::move(key)) {}
  const PublicKey& public_key() const override { return key_->public_key(); }
  void sign(SignatureScheme scheme, std::span<const std::uint8_t> message, SignHandler done) override {
    waiting_ = [this, scheme, message = test::Bytes(message.begin(), message.end()), done = std::move(done)]() mutable {
      key_->sign(scheme, message, std::move(done));
    };
  }
  void release() {
    if (auto waiting = std::exchange(waiting_, nullptr)) waiting();
  }

 private:
  PrivateKeyPtr key_;
  absl::AnyInvocable<void()> waiting_;
};

CertificateIdentity identity(const std::string& chain, const std::string& key_name) {
  auto key = parse_private_key(test::bytes_of("x509/" + key_name + ".key"));
  REQUIRE(key.ok());
  auto out = CertificateIdentity::create(load(chain), *key);
  REQUIRE(out.ok());
  return *std::move(out);
}

TlsOptions options_of(CertificateIdentity own, const std::string& roots = "root", bool tls13 = true) {
  TlsOptions out;
  out.identity = std::move(own);
  out.verifier = std::make_shared<CertificateVerifier>(load(roots));
  out.clock = std::make_shared<FixedClock>(std::stoll(test::text_of("x509/now")) + 3600);
  out.tls13 = tls13;
  return out;
}

struct Ends {
  std::unique_ptr<Peer> peer;
  std::unique_ptr<Authenticator> authenticator;
};

Ends make(TlsOptions client, TlsOptions server, Random& random) {
  auto of_client = tls_client(std::move(client)), of_server = tls_server(std::move(server));
  REQUIRE_MESSAGE(of_client.ok(), message_of(of_client.status()));
  REQUIRE_MESSAGE(of_server.ok(), message_of(of_server.status()));
  return {std::make_unique<Peer>(PeerOptions{.identity = "alice", .tls = *of_client}, random),
          make_authenticator({.tls = *of_server}, random)};
}

TEST_CASE("eap-tls: both versions, every kind of key") {
  for (const bool tls13 : {true, false}) {
    for (const char* server : {"server", "rsa", "edward"}) {
      CAPTURE(tls13);
      CAPTURE(server);
      SeededRandom random(1);
      TlsOptions client = options_of(identity("client sub", "client"), "root", tls13);
      client.server_name = "gw.example.org";
      Ends ends = make(std::move(client), options_of(identity(std::string(server) + " sub", server)), random);
      const auto outcome = EapRun{}(*ends.peer, *ends.authenticator);
      REQUIRE_MESSAGE(outcome.both_succeeded(), outcome.peer->detail << outcome.authenticator->detail);
      CHECK(ends.peer->msk().size() == 64);
      CHECK(ends.peer->msk() == ends.authenticator->msk());
      CHECK(ends.authenticator->identity() == "alice@example.org");
      CHECK(outcome.longest < 1100);
    }
  }
}

TEST_CASE("eap-tls: keys that take their time, at both ends") {
  for (const bool tls13 : {true, false}) {
    SeededRandom random(1);
    TlsOptions client = options_of(identity("client sub", "client"), "root", tls13);
    TlsOptions server = options_of(identity("server sub", "server"));
    const auto client_key = std::make_shared<SlowKey>(client.identity.key);
    const auto server_key = std::make_shared<SlowKey>(server.identity.key);
    client.identity.key = client_key;
    server.identity.key = server_key;
    Ends ends = make(client, server, random);
    EapRun run;
    run.idle = [&] {
      client_key->release();
      server_key->release();
    };
    CHECK(run(*ends.peer, *ends.authenticator).both_succeeded());
    CHECK(ends.peer->msk() == ends.authenticator->msk());

    // The answer comes when nobody waits any more.
    ends = make(client, server, random);
    std::vector<std::uint8_t> packet;
    bool stuck = false;
    ends.authenticator->begin([&](Step step) { packet = step.packet; });
    while (!stuck) {
      ends.peer->receive(packet, [&](Step step) { packet = step.packet; });
      stuck = true;
      ends.authenticator->receive(packet, [&](Step step) {
        packet = step.packet;
        stuck = false;
      });
    }
    ends.authenticator.reset();
    server_key->release();
  }
}

// As libreswan 4.10 and strongSwan 5.9 do it, by drafts of RFC 9190.
TEST_CASE("eap-tls: a success in place of TLS 1.3's commitment is refused, with what helps") {
  SeededRandom random(1);
  Ends ends = make(options_of(identity("client sub", "client")), options_of(identity("server sub", "server")), random);
  EapRun run;
  bool answered = false;  // the client's certificate, of several fragments, has begun
  run.meddle = [&](bool from_peer, std::vector<std::uint8_t>& packet) {
    if (from_peer && packet.size() > 500) answered = true;
    // A whole message that is long enough for a record, behind it.
    if (!from_peer && answered && packet.size() > 10) packet = {3, packet[1], 0, 4};
  };
  const auto outcome = run(*ends.peer, *ends.authenticator);
  REQUIRE(outcome.peer);
  CHECK(outcome.peer->kind == Step::Kind::kFailure);
  CHECK(outcome.peer->error == Errc::kUnexpectedSuccess);
  CHECK(outcome.peer->detail.find("tls_version_max") != std::string::npos);
}

TEST_CASE("security: eap-tls with certificates that do not do") {
  struct Row {
    const char *client, *client_key, *client_roots, *server, *server_key, *server_roots, *name, *says;
  };
  for (const bool tls13 : {true, false}) {
    for (const Row& row : {
             // The server is a stranger, shows a client's certificate, has another name.
             Row{"client sub", "client", "stranger", "server sub", "server", "root", "", "does not lead to a trusted"},
             Row{"client sub", "client", "root", "client sub", "client", "root", "", "none of a server's"},
             Row{"client sub", "client", "root", "server sub", "server", "root", "other.example.org",
                 "not for other.example.org"},
             // The client is a stranger, shows a server's certificate, or not enough of them: the server says so.
             Row{"client sub", "client", "root", "server sub", "server", "stranger", "", "ALERT"},
             Row{"server sub", "server", "root", "server sub", "server", "root", "", "ALERT"},
             Row{"client", "client", "root", "server sub", "server", "root", "", "ALERT"},
         }) {
      CAPTURE(tls13);
      CAPTURE(row.says);
      SeededRandom random(1);
      TlsOptions client = options_of(identity(row.client, row.client_key), row.client_roots, tls13);
      client.server_name = row.name;
      Ends ends = make(std::move(client), options_of(identity(row.server, row.server_key), row.server_roots), random);
      const auto outcome = EapRun{}(*ends.peer, *ends.authenticator);
      CHECK_FALSE(outcome.both_succeeded());
      CHECK(ends.peer->msk().empty());
      CHECK(ends.authenticator->msk().empty());
      REQUIRE(outcome.peer);
      CHECK(outcome.peer->error == Errc::kTls);
      CHECK_MESSAGE(outcome.peer->detail.find(row.says) != std::string::npos, outcome.peer->detail);
    }
  }
}

TEST_CASE("security: eap-tls messages changed on the way") {
  for (const bool tls13 : {true, false}) {
    for (int which = 0; which < 12; ++which) {
      for (const bool from_peer : {true, false}) {
        SeededRandom random(1);
        Ends ends = make(options_of(identity("client sub", "client"), "root", tls13),
                         options_of(identity("server sub", "server")), random);
        int n = 0;
        bool changed = false;
        EapRun run;
        run.meddle = [&](bool by_peer, std::vector<std::uint8_t>& packet) {
          if (by_peer != from_peer || n++ != which || packet.size() < 40) return;
          packet[packet.size() - 9] ^= 1;
          changed = true;
        };
        const auto outcome = run(*ends.peer, *ends.authenticator);
        CHECK(outcome.both_succeeded() == !changed);
      }
    }
  }
}

TEST_CASE("eap-tls: what is missing is told") {
  CHECK_FALSE(tls_client({}).ok());
  TlsOptions no_clock = options_of(identity("client sub", "client"));
  no_clock.clock = nullptr;
  CHECK_FALSE(tls_client(no_clock).ok());
  TlsOptions no_verifier = options_of(identity("client sub", "client"));
  no_verifier.verifier = nullptr;
  CHECK_FALSE(tls_server(no_verifier).ok());
}

}  // namespace
}  // namespace winze::eap
