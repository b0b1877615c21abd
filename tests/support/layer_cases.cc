#include "support/layer_cases.h"

#include <doctest/doctest.h>

#include <fstream>
#include <functional>
#include <iterator>
#include <utility>

#include "examples/xor_codec.h"
#include "support/shadowsocks.h"
#include "winze/layer/shadowsocks_conduit.h"
#include "winze/layer/tls.h"
#include "winze/proto/credentials.h"
#include "winze/proto/http/client.h"
#include "winze/proto/http/server.h"
#include "winze/proto/httpupgrade/codec.h"
#include "winze/proto/mixed_server.h"
#include "winze/proto/proxy_protocol/header.h"
#include "winze/proto/socks/client.h"
#include "winze/proto/socks/server.h"
#include "winze/proto/trojan/codec.h"
#include "winze/proto/vless/codec.h"
#include "winze/proto/vmess/codec.h"
#include "winze/proto/ws/codec.h"

namespace winze::test {
namespace {

std::string file(const std::string& name) {
  std::ifstream in(std::string(WINZE_TEST_DATA) + "/vectors/tls/" + name);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

LayerCase tls_case(const std::string& name, tls::Version version) {
  auto client = tls::ClientContext::create({.system_roots = false,
                                            .roots_pem = {file("root.pem")},
                                            .min_version = version,
                                            .max_version = version,
                                            .resume = false});
  auto server = tls::ServerContext::create(
      {.identities = {{file("a.pem"), Secret(std::string_view(file("a.key")))}}, .resume = false});
  REQUIRE(client.ok());
  REQUIRE(server.ok());
  return {.name = name,
          .client = [context = *client](Environment& e) { return tls::client_codec(context, "a.test", e.pool); },
          .server = [context = *server](Environment& e) { return tls::server_codec(context, e.pool); },
          .half_close = true,
          .marks_end = true};
}

LayerCase ws_case(const std::string& name, ws::Ending ending, std::size_t early_data,
                  const std::string& field = std::string(ws::kProtocolField)) {
  auto client = std::make_shared<const ws::ClientOptions>(
      ws::ClientOptions{.host = "a.test", .early_data = {.max = early_data, .field = field}, .ending = ending});
  auto server =
      std::make_shared<const ws::ServerOptions>(ws::ServerOptions{.early_data_field = field, .ending = ending});
  return {.name = name,
          .client = [client](Environment& e) { return std::make_unique<ws::ClientCodec>(client, e.random); },
          .server = [server](Environment&) { return std::make_unique<ws::ServerCodec>(server); },
          .half_close = ending == ws::Ending::kHalf,
          .marks_end = ending == ws::Ending::kHalf};
}

// What a proxy in front of a server writes.
class ProxyHeaderCodec final : public StreamCodec {
 public:
  explicit ProxyHeaderCodec(int version) : version_(version) {}
  Overhead overhead() const override { return {}; }
  Handshake handshake(Buffer&, Buffer& out, std::error_code&) override {
    proxy_protocol::encode(
        version_, proxy_protocol::Addresses{{*IpAddress::parse("192.0.2.1"), 1}, {*IpAddress::parse("192.0.2.2"), 443}},
        out);
    return Handshake::kDone;
  }
  std::error_code seal(Buffer&) override { return {}; }
  std::error_code open(Buffer&, Buffer&) override { return {}; }

 private:
  int version_;
};

LayerCase proxy_header_case(int version) {
  return {.name = "proxy protocol " + std::to_string(version),
          .client = [version](Environment&) { return std::make_unique<ProxyHeaderCodec>(version); },
          .server = [](Environment&) { return std::make_unique<proxy_protocol::ServerCodec>(); },
          .like_another = true};
}

using MakeCodec = std::function<std::unique_ptr<StreamCodec>(Environment&)>;

MakeCodec socks_client(socks::ClientOptions options, const Destination& to) {
  return [options = std::make_shared<const socks::ClientOptions>(std::move(options)), to](Environment&) {
    return std::make_unique<socks::ClientCodec>(options, to);
  };
}
MakeCodec http_client(const Destination& to) {
  return [options = std::make_shared<const http::ClientOptions>(), to](Environment&) {
    return std::make_unique<http::ClientCodec>(options, to);
  };
}
MakeCodec socks_server(const socks::ServerOptions& options) {
  return [options](Environment&) { return std::make_unique<socks::ServerCodec>(options); };
}
std::unique_ptr<StreamCodec> mixed_server(Environment&) {
  return std::make_unique<MixedServerCodec>(socks::ServerOptions{}, http::ServerOptions{});
}

LayerCase vmess_case(const std::string& name, vmess::ClientOptions options) {
  const Uuid id = *Uuid::parse("6d1c6a3e-2f0b-4f0e-9a57-0d5b7c2f4a11");
  auto users = std::make_shared<vmess::UserTable>();
  users->add(id, {.name = "peer"});
  const auto around = [](Environment& e) { return vmess::Surroundings{e.clock, e.random, e.pool}; };
  return {.name = name,
          .client =
              [=, user = std::make_shared<const vmess::UserKeys>(id)](Environment& e) {
                return std::make_unique<vmess::ClientCodec>(user, Destination("example.test", 80), options, around(e));
              },
          // Simulations repeat what is random, so no server may remember another's clients.
          .server =
              [=](Environment& e) {
                auto server = std::make_shared<const vmess::Server>(
                    vmess::Server{.users = users, .replays = std::make_shared<vmess::Replays>()});
                return std::make_unique<vmess::ServerCodec>(std::move(server), around(e));
              },
          // Its bytes are many, its openings costly.
          .like_another = true};
}

LayerCase shadowsocks_case(shadowsocks::Method method, const Destination& to) {
  const std::string password = shadowsocks::test::password_for(method);
  auto keys = shadowsocks::test::keys_of(method, password);
  std::shared_ptr<const shadowsocks::ServerOptions> server = shadowsocks::test::server_of(method, password);
  return {.name = "shadowsocks " + std::string(name_of(method)),
          .client =
              [keys, to](Environment& e) {
                return std::make_unique<shadowsocks::ClientCodec>(keys, to, shadowsocks::surroundings(e));
              },
          .server =
              [server](Environment& e) {
                // Each of the tests has the same randomness, and so the same salts.
                auto fresh = std::make_shared<shadowsocks::ServerOptions>(*server);
                fresh->salts = nullptr;
                return std::make_unique<shadowsocks::ServerCodec>(fresh, shadowsocks::surroundings(e));
              },
          // Not quite, but there are as many operations as in all other cases together.
          .like_another = true};
}

std::vector<LayerCase> make() {
  std::vector<LayerCase> out;
  out.push_back(tls_case("tls 1.3", tls::Version::kTls13));
  out.push_back(tls_case("tls 1.2", tls::Version::kTls12));
  out.push_back(ws_case("ws", ws::Ending::kBoth, 0));
  out.push_back(ws_case("ws with half-close", ws::Ending::kHalf, 0));
  out.push_back(ws_case("ws with early data", ws::Ending::kHalf, 5));
  out.push_back(ws_case("ws with early data in the path", ws::Ending::kHalf, 5, ""));
  out.push_back(proxy_header_case(1));
  out.push_back(proxy_header_case(2));

  auto upgrade = std::make_shared<const httpupgrade::ClientOptions>(httpupgrade::ClientOptions{.host = "a.test"});
  auto upgrade_server = std::make_shared<const httpupgrade::ServerOptions>();
  out.push_back({.name = "httpupgrade",
                 .client = [upgrade](Environment&) { return std::make_unique<httpupgrade::ClientCodec>(upgrade); },
                 .server = [upgrade_server](
                               Environment&) { return std::make_unique<httpupgrade::ServerCodec>(upgrade_server); }});

  const Destination to("example.test", 80);
  const Uuid id = *Uuid::parse("6d1c6a3e-2f0b-4f0e-9a57-0d5b7c2f4a11");
  auto users = std::make_shared<vless::UserTable>();
  users->add(id, {.name = "peer"});
  out.push_back({.name = "vless",
                 .client = [id, to](Environment&) { return std::make_unique<vless::ClientCodec>(id, to); },
                 .server = [users](Environment&) { return std::make_unique<vless::ServerCodec>(users); }});
  auto passwords = std::make_shared<trojan::UserTable>();
  passwords->add("password", {.name = "peer"});
  out.push_back({.name = "trojan",
                 .client = [key = trojan::key_of("password"),
                            to](Environment&) { return std::make_unique<trojan::ClientCodec>(key, to); },
                 .server = [passwords](Environment&) { return std::make_unique<trojan::ServerCodec>(passwords); },
                 .like_another = true});
  out.push_back(vmess_case("vmess", {.security = vmess::Security::kAes128Gcm}));
  for (const shadowsocks::Method method :
       {shadowsocks::Method::kAes256Gcm, shadowsocks::Method::kChaCha20Poly1305, shadowsocks::Method::k2022Aes128Gcm}) {
    out.push_back(shadowsocks_case(method, to));
  }
  auto accounts = std::make_shared<PasswordList>();
  accounts->add("user", "secret");
  out.push_back({.name = "socks 5", .client = socks_client({}, to), .server = socks_server({})});
  out.push_back({.name = "socks 5 with a password",
                 .client = socks_client({.user = "user", .password = Secret(std::string_view("secret"))}, to),
                 .server = socks_server({.credentials = accounts}),
                 .like_another = true});
  out.push_back({.name = "socks 4",
                 .client = socks_client({.version = socks::ClientOptions::Version::k4a, .user = "user"}, to),
                 .server = socks_server({}),
                 .like_another = true});
  out.push_back({.name = "http connect", .client = http_client(to), .server = [](Environment&) {
                   return std::make_unique<http::ServerCodec>(http::ServerOptions{});
                 }});
  out.push_back(
      {.name = "mixed, by socks", .client = socks_client({}, to), .server = mixed_server, .like_another = true});
  out.push_back({.name = "mixed, by http", .client = http_client(to), .server = mixed_server, .like_another = true});
  out.push_back({.name = "xor",
                 .client = [](Environment&) { return std::make_unique<XorCodec>("key"); },
                 .server = [](Environment&) { return std::make_unique<XorCodec>("key"); }});
  return out;
}

}  // namespace

const std::vector<LayerCase>& layer_cases() {
  static const std::vector<LayerCase> cases = make();
  return cases;
}

}  // namespace winze::test
