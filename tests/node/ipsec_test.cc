// Configurations at work: a client and a gateway over loopback, in one process, with packets of their own.
#include "winze/node/ipsec.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <asio/io_context.hpp>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "support/files.h"
#include "winze/base/status.h"
#include "winze/config/swanctl.h"
#include "winze/io/callback_conduit.h"
#include "winze/io/system.h"

namespace winze::node {
namespace {

using namespace std::chrono_literals;

// The certificates of tests/vectors/x509 are from one day.
class DayOfCertificates final : public Clock {
 public:
  explicit DayOfCertificates(Clock& clock) : clock_(clock) {}
  TimePoint now() const override { return clock_.now(); }
  TimerPtr make_timer() override { return clock_.make_timer(); }
  UnixTime unix_now() const override { return std::stoll(test::text_of("x509/now")) + 3600; }

 private:
  Clock& clock_;
};

std::string file(const std::string& name) { return std::string(WINZE_TEST_DATA) + "/vectors/x509/" + name; }

// Authorities, keys and passwords of both ends.
std::string shared_sections(const std::string& key, const std::string& secrets) {
  return "authorities { ca { cacert = " + file("root.pem") + " }\n between { cacert = " + file("sub.pem") + " } }\n" +
         "secrets { private-1 { file = " + file(key) + " }\n" + secrets + " }\n";
}

IpsecOptions read(const std::string& text) {
  auto config = config::read_swanctl({"swanctl.conf", text});
  REQUIRE_MESSAGE(config.ok(), message_of(config.status()));
  return std::move(config->options);
}

struct End {
  End(Environment& env, const std::string& text, std::string initiate = {}) {
    auto pair = make_callback_conduit(env, {}, [](std::span<Datagram>) {});
    feed.emplace(std::move(pair.feed));
    IpsecSettings settings{.port = 0, .nat_port = 0};
    settings.respond = initiate.empty();
    settings.initiate = std::move(initiate);
    settings.inner = std::move(pair.conduit);
    settings.keep = false;
    auto made = Ipsec::create(env, read(text), std::move(settings),
                              {.on_event =
                                   [this](const ike::Event& event) {
                                     ups += std::holds_alternative<ike::Up>(event);
                                     children += std::holds_alternative<ike::ChildUp>(event);
                                   },
                               .on_message =
                                   [this](Severity, std::string_view line) {
                                     log += line;
                                     log += '\n';
                                   },
                               .on_end = [this] { ended = true; }});
    REQUIRE_MESSAGE(made.ok(), message_of(made.status()));
    ipsec = std::move(*made);
  }

  std::optional<PacketFeed> feed;
  std::string log;
  int ups = 0, children = 0;
  bool ended = false;
  std::unique_ptr<Ipsec> ipsec;
};

struct World {
  template <typename F>
  bool until(F done, Duration limit = 30s) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!done()) {
      if (std::chrono::steady_clock::now() > end) return false;
      context.restart();
      context.run_one_for(std::chrono::milliseconds(50));
    }
    return true;
  }
  ~World() {
    context.restart();
    context.poll();
  }

  asio::io_context context;
  SystemEnvironment system{context.get_executor()};
  DayOfCertificates clock{system.environment().clock};
  Environment environment{.executor = context.get_executor(),
                          .clock = clock,
                          .random = system.environment().random,
                          .resolver = system.environment().resolver,
                          .pool = system.environment().pool,
                          .socket_hook = {}};
};

constexpr std::string_view kChildOfGateway = "children { net { local_ts = 10.2.0.0/24\n remote_ts = 10.1.0.0/24 } }";
constexpr std::string_view kChildOfClient = "children { net { local_ts = 10.1.0.0/24\n remote_ts = 10.2.0.0/24 } }";

std::string gateway_text(const std::string& local, const std::string& remote, const std::string& secrets,
                         const std::string& more = {}) {
  return "connections { gw { local { " + local + " }\n remote { " + remote + " }\n" + more + "\n" +
         std::string(kChildOfGateway) + " } }\n" + shared_sections("server.key", secrets);
}
std::string client_text(std::uint16_t port, const std::string& local, const std::string& remote,
                        const std::string& secrets, const std::string& more = {}) {
  return "connections { home { remote_addrs = 127.0.0.1\n remote_port = " + std::to_string(port) + "\n local { " +
         local + " }\n remote { " + remote + " }\n" + more + "\n" + std::string(kChildOfClient) + " } }\n" +
         shared_sections("client.key", secrets);
}

const std::string kServer = "auth = pubkey\n id = gw.example.org\n certs = " + file("server.pem");
const std::string kClientCert = "certs = " + file("client.pem");
const std::string kCarol = "eap-1 { id = carol\n secret = tumbleweed }";

TEST_CASE("EAP by the words of swanctl.conf, at both ends") {
  struct Row {
    const char* name;
    std::string gateway, asks, answers, believes, secrets, more;
    const char* who;  // of the gateway's log; null: it does not come up
    const char* says = nullptr;
  };
  const std::string believe = "id = gw.example.org";
  for (const Row& row : {
           Row{"password", kServer, "auth = eap-mschapv2\n eap_id = %any", "auth = eap-mschapv2\n id = carol", believe,
               kCarol, "", "(EAP: carol)"},
           Row{"eap_id is not id", kServer, "auth = eap-mschapv2\n eap_id = %any",
               "auth = eap-mschapv2\n id = 192.0.2.77\n eap_id = carol", believe, kCarol, "", "(EAP: carol)"},
           Row{"certificate", kServer, "auth = eap-tls\n eap_id = *@example.org",
               "auth = eap-tls\n id = alice@example.org\n" + kClientCert, believe, "", "", "(EAP: alice@example.org)"},
           Row{"alone", "auth = eap-tls\n id = gw.example.org\n certs = " + file("server.pem"),
               "auth = eap-tls\n id = *@example.org", "auth = eap-tls\n id = alice@example.org\n" + kClientCert,
               "auth = eap-tls\n id = gw.example.org", "", "", "(EAP: alice@example.org)"},
           Row{"any method, agreed on", kServer, "auth = eap\n eap_id = %any", "auth = eap\n id = carol", believe,
               kCarol, "", "(EAP: carol)"},
           Row{"MD5, where it is allowed", kServer, "auth = eap-md5\n eap_id = %any", "auth = eap-md5\n id = carol",
               believe, kCarol, "legacy = yes", "(EAP: carol)"},
           Row{"GTC, where it is allowed", kServer, "auth = eap-gtc\n eap_id = %any", "auth = eap-gtc\n id = carol",
               believe, kCarol, "legacy = yes", "(EAP: carol)"},
           Row{"security: a password for another's identity", kServer, "auth = eap-mschapv2\n id = dave",
               "auth = eap-mschapv2\n id = dave\n eap_id = carol", believe, kCarol, "", nullptr,
               "EAP has proved \"carol\", whom connections.gw.remote does not take"},
           Row{"security: a server of EAP-TLS with another name", kServer, "auth = eap-tls\n eap_id = %any",
               "auth = eap-tls\n id = alice@example.org\n aaa_id = aaa.example.org\n" + kClientCert, believe, "", "",
               nullptr, "not for aaa.example.org"},
       }) {
    CAPTURE(row.name);
    World world;
    End gateway(world.environment, gateway_text(row.gateway, row.asks, row.secrets, row.more));
    End client(world.environment,
               client_text(gateway.ipsec->host().nat_local().port, row.answers, row.believes, row.secrets, row.more),
               "home");
    const bool settled = world.until([&] { return client.ended || (client.children != 0 && gateway.children != 0); });
    CHECK(settled);
    CHECK(client.ups == (row.who != nullptr ? 1 : 0));
    const std::string log = gateway.log + client.log;
    CAPTURE(log);
    if (row.who != nullptr) CHECK(gateway.log.find(row.who) != std::string::npos);
    if (row.says != nullptr) CHECK(log.find(row.says) != std::string::npos);
  }
}

TEST_CASE("transport mode is for two hosts alone") {
  const std::string psk = "local { auth = psk }\n remote { auth = psk }\n";
  const auto error_of = [&](const std::string& child, const std::string& more = {}) {
    return std::string(message_of(Ipsec::check(
        read("connections { c { " + psk + more + "\n children { net { mode = transport\n " + child + " } } } }"))));
  };
  constexpr std::string_view kWhy = "connections.c.children.net.mode: \"transport\" is for what two hosts say";
  CHECK(error_of("").empty());
  CHECK(error_of("local_ts = 192.0.2.1\n remote_ts = 192.0.2.2[tcp/80]").empty());
  CHECK(error_of("remote_ts = 10.2.0.0/24").starts_with(kWhy));
  CHECK(error_of("", "vips = 0.0.0.0").starts_with(kWhy));
}

TEST_CASE("EAP that is not safe, or not whole, is refused before anything is sent") {
  struct Row {
    std::string local, remote, secrets;
    const char* says;
  };
  const std::string pubkey = "auth = pubkey\n id = gw.example.org";
  for (const Row& row : {
           Row{"auth = eap-md5\n id = carol", pubkey, kCarol, "connections.home.local.auth: eap-md5 is not safe"},
           Row{"auth = eap-gtc\n id = carol", pubkey, kCarol, "eap-gtc is not safe: it needs \"legacy = yes\""},
           Row{"auth = eap-mschapv2\n id = carol", "auth = psk", kCarol, "EAP needs a gateway with a certificate"},
           Row{"auth = eap-mschapv2\n id = carol", "auth = eap-mschapv2", kCarol, "only eap-tls is safe"},
           Row{"auth = eap-mschapv2\n id = dave", pubkey, kCarol, "secrets has no eap section for \"dave\""},
           Row{"auth = eap-mschapv2", pubkey, kCarol, "connections.home.local.eap_id: is needed"},
           Row{"auth = eap-tls\n id = alice@example.org", pubkey, "", "x509 has no certificate for alice@example.org"},
           Row{"auth = eap-tls\n id = alice@example.org\n certs = " + file("server.pem"), pubkey, "",
               "there is no private key for"},
       }) {
    CAPTURE(row.says);
    const absl::Status status = Ipsec::check(read(client_text(4500, row.local, row.remote, row.secrets)));
    CHECK_FALSE(status.ok());
    CHECK_MESSAGE(std::string(message_of(status)).find(row.says) != std::string::npos, message_of(status));
  }
  const absl::Status nobody = Ipsec::check(read(gateway_text(kServer, "auth = eap-mschapv2", "")));
  CHECK_MESSAGE(std::string(message_of(nobody)).find("nobody could come in") != std::string::npos, message_of(nobody));
}

TEST_CASE("several rounds of authentication by the words of swanctl.conf, at both ends") {
  struct Row {
    const char* name;
    std::string gateway, client;  // both ends' sections, each of its own
    const char* says;             // of the gateway's log
    bool up = true;
  };
  const std::string server = "local { " + kServer + " }\n", believe = "remote { id = gw.example.org }\n";
  const std::string alice = "auth = pubkey\n id = alice@example.org\n";
  const std::string of_alice = "local-a { " + alice + kClientCert + " }\n", for_alice = "remote-a { " + alice + " }\n";
  const std::string of_carol = "local-b { auth = eap-mschapv2\n id = carol }\n";
  for (const Row& row : {
           Row{"a certificate, then a password",
               server + for_alice + "remote-b { auth = eap-mschapv2\n eap_id = %any }", of_alice + of_carol + believe,
               "(EAP: carol)"},
           Row{"in the order that `round` says",
               server + "remote-b { round = 2\n auth = eap-mschapv2\n id = carol }\nremote-a { round = 1\n " + alice +
                   "}",
               of_alice + of_carol + believe, "(EAP: carol)"},
           Row{"a secret, then a certificate", server + "remote-0 { auth = psk\n id = phone.test }\n" + for_alice,
               "local-0 { auth = psk\n id = phone.test }\n" + of_alice + believe, "alice@example.org"},
           Row{"security: the second is missing", server + for_alice + "remote-b { auth = psk\n id = phone.test }",
               of_alice + believe, "does not take several rounds", false},
           Row{"security: the password of another", server + for_alice + "remote-b { auth = eap-mschapv2\n id = dave }",
               of_alice + "local-b { auth = eap-mschapv2\n id = dave\n eap_id = carol }\n" + believe,
               "EAP has proved \"carol\", whom connections.gw.remote-b does not take", false},
       }) {
    CAPTURE(row.name);
    World world;
    const std::string secrets = kCarol + "\n ike-1 { id = phone.test\n secret = of-the-phone }";
    End gateway(world.environment, "connections { gw { " + row.gateway + "\n" + std::string(kChildOfGateway) +
                                       " } }\n" + shared_sections("server.key", secrets));
    End client(world.environment,
               "connections { home { remote_addrs = 127.0.0.1\n remote_port = " +
                   std::to_string(gateway.ipsec->host().nat_local().port) + "\n" + row.client +
                   std::string(kChildOfClient) + " } }\n" + shared_sections("client.key", secrets),
               "home");
    CHECK(world.until([&] { return client.ended || (client.children != 0 && gateway.children != 0); }));
    CAPTURE(gateway.log);
    CHECK(client.ups == row.up);
    CHECK(gateway.log.find(row.says) != std::string::npos);
  }
  const auto check = [&](const std::string& local, const std::string& remote, const std::string& more = {}) {
    return std::string(message_of(Ipsec::check(
        read("connections { c { " + local + remote + more + " } }\n" + shared_sections("server.key", kCarol)))));
  };
  CHECK(check(of_alice, "remote-1 { auth = psk }\n remote-2 { auth = pubkey }\n", "ppk_id = one")
            .find("connections.c.ppk_id: a PPK does not go with several rounds") != std::string::npos);
  CHECK(check(of_carol + "local-c { auth = eap-mschapv2\n id = carol }\n", believe)
            .find("connections.c.local-c.auth: of several rounds only one can be by EAP") != std::string::npos);
  CHECK(check(of_carol, believe + "remote-2 { auth = psk\n id = desk.test }\n")
            .find("connections.c.remote-2: would come after EAP has begun") != std::string::npos);
  CHECK(check("local-0 { auth = psk }\n" + of_carol, "remote-1 { auth = psk }\n remote-2 { auth = pubkey }\n")
            .find("connections.c.remote-1.auth: EAP needs a gateway with a certificate") != std::string::npos);
  const std::string by_tls = "auth = eap-tls\n id = gw.example.org\n certs = " + file("server.pem") + " }\n";
  CHECK(check("local-0 { auth = psk }\n local-1 { " + by_tls, "remote-0 { auth = pubkey }\n remote-1 { " + by_tls)
            .find("and without further rounds") != std::string::npos);
}

TEST_CASE("bare public keys by the words of swanctl.conf, at both ends") {
  const auto folder = std::filesystem::temp_directory_path() / ("winze-keys-" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  const auto put = [&](const std::string& name, std::span<const std::uint8_t> bytes) {
    std::ofstream(folder / name, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return "pubkeys = " + (folder / name).string() + "\n";
  };
  const auto of_key = [&](const std::string& name) {
    return put(name, (*parse_private_key(test::bytes_of("x509/" + name + ".key")))->public_key().spki());
  };
  const std::string server = of_key("server"), client = of_key("client"), other = of_key("rsa");
  for (const bool right : {true, false}) {
    CAPTURE(right);
    World world;
    End gateway(world.environment, gateway_text("id = gw\n" + server, "id = phone\n" + client, ""));
    End phone(world.environment,
              client_text(gateway.ipsec->host().nat_local().port, "id = phone\n" + client,
                          "id = gw\n" + (right ? server : other), ""),
              "home");
    CHECK(world.until([&] { return phone.ended || (phone.children != 0 && gateway.children != 0); }));
    CAPTURE(phone.log);
    CHECK(phone.ups == right);
    CHECK((phone.log.find("it has shown a public key that is not known here") != std::string::npos) == !right);
  }
  const auto check = [](const std::string& local, const std::string& remote) {
    return std::string(message_of(Ipsec::check(read(gateway_text(local, remote, "")))));
  };
  CHECK(check(server, client).empty());
  CHECK(check(client, client).find("connections.gw.local.pubkeys: there is no private key for") != std::string::npos);
  CHECK(check(server, "pubkeys = nowhere.pem").find("connections.gw.remote.pubkeys: ") != std::string::npos);
  CHECK(check(server, "pubkeys = nowhere.pem").find("nowhere.pem cannot be read") != std::string::npos);
  CHECK(check(server, "pubkeys = " + file("now")).find("connections.gw.remote.pubkeys: ") != std::string::npos);
  CHECK(check(server, "auth = ecdsa-384\n" + client).find("ECDSA P-256 is too short: 384 bits are the least") !=
        std::string::npos);
  const std::string weak =
      put("weak", parse_certificates(test::bytes_of("x509/weak.pem"))->front().public_key().spki());
  CHECK(check(server, weak).find("is too short: 2048 bits are the least") != std::string::npos);
  std::filesystem::remove_all(folder);
}

TEST_CASE("responses of OCSP are read from files, and read again at reload") {
  const auto response = std::filesystem::temp_directory_path() / ("winze-ocsp-" + std::to_string(::getpid()) + ".der");
  const auto put = [&](const std::string& name) {
    std::filesystem::copy_file(file(name), response, std::filesystem::copy_options::overwrite_existing);
  };
  put("ocsp_good.der");  // says nothing of the client
  const std::string lists = "authorities { ca { crl_uris = file://" + file("root_crl.pem") +
                            " }\n between { ocsp_uris = file://" + response.string() + " } }\n";
  const std::string who = "auth = pubkey\n id = alice@example.org\n";
  World world;
  End gateway(world.environment, gateway_text(kServer, who + "revocation = strict", "") + lists);
  const auto come = [&] {
    End client(world.environment,
               client_text(gateway.ipsec->host().nat_local().port, who + kClientCert,
                           "auth = pubkey\n id = gw.example.org", ""),
               "home");
    CHECK(world.until([&] { return client.ended || client.children != 0; }));
    return client.children;
  };
  CHECK(come() == 0);
  CHECK(gateway.log.find("no fresh CRL or OCSP response") != std::string::npos);
  put("ocsp_other.der");
  REQUIRE(gateway.ipsec->reload().ok());
  CHECK(come() == 1);
  std::filesystem::remove(response);
  CHECK_FALSE(gateway.ipsec->reload().ok());
  CHECK(come() == 1);
}

TEST_CASE("what is signed, and how, is as auth says") {
  struct Row {
    std::string local, remote;
    const char* says;  // of the gateway or its check; null: it comes up
  };
  for (const Row& row : {
           Row{"ike:ecdsa-sha384", "ecdsa-256-sha256", nullptr},
           Row{"pubkey", "pubkey-sha256", nullptr},
           Row{"pubkey", "ecdsa-384", "384 bits are the least"},
           Row{"pubkey", "ike:pubkey-sha512", "it signs by ECDSA with SHA-256, which is not taken here"},
           Row{"pubkey", "rsa", "it is signed by another scheme than is taken here"},
       }) {
    CAPTURE(row.remote);
    World world;
    const std::string gateway_auth = "auth = " + row.local + "\n id = gw.example.org\n certs = " + file("server.pem");
    End gateway(world.environment, gateway_text(gateway_auth, "auth = " + row.remote, ""));
    End client(
        world.environment,
        client_text(gateway.ipsec->host().nat_local().port, "auth = pubkey\n id = alice@example.org\n" + kClientCert,
                    "auth = pubkey\n id = gw.example.org", ""),
        "home");
    CHECK(world.until([&] { return client.ended || client.children != 0; }));
    CHECK(client.children == (row.says == nullptr));
    CAPTURE(gateway.log);
    if (row.says != nullptr) CHECK(gateway.log.find(row.says) != std::string::npos);
  }
  const auto check = [](const std::string& auth) {
    return std::string(message_of(Ipsec::check(read(
        gateway_text("auth = " + auth + "\n id = gw.example.org\n certs = " + file("server.pem"), "auth = psk", "")))));
  };
  CHECK(check("rsa").find("the key, ECDSA P-256, makes no such signature: \"rsa\"") != std::string::npos);
  CHECK(check("pubkey-sha3").find("connections.gw.local.auth: \"sha3\" says nothing of signatures") !=
        std::string::npos);
}

}  // namespace
}  // namespace winze::node
