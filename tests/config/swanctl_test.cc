#include "winze/config/swanctl.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "winze/base/status.h"

namespace winze::config {
namespace {

using node::IpsecAuth;
using node::IpsecChild;
using node::IpsecConnection;
using node::IpsecOptions;
using namespace std::chrono_literals;

absl::StatusOr<SwanctlConfig> read(std::string text, const IncludeReader& include = nullptr) {
  return read_swanctl({"swanctl.conf", std::move(text)}, include);
}

IpsecOptions options_of(std::string text, const IncludeReader& include = nullptr) {
  auto config = read(std::move(text), include);
  REQUIRE_MESSAGE(config.ok(), message_of(config.status()));
  return std::move(config->options);
}

std::string error_of(std::string text) {
  const auto config = read(std::move(text));
  return config.ok() ? std::string("no error") : std::string(message_of(config.status()));
}

std::string text_of(const Secret& secret) { return {secret.span().begin(), secret.span().end()}; }

// A gateway's file.
constexpr std::string_view kGateway = R"(
# for the road
connections {
    road : defaults {
        pools = v4, v6   # both
        local-1 { certs = gw.pem
            id = "gw.test" }
        remote { auth = eap-mschapv2
                 eap_id = %any }
        children {
            net {
                local_ts = 10.2.0.0/24, fd02::/64 , 192.0.2.7[tcp/80-90]
                remote_ts = dynamic[udp]
                esp_proposals = aes256gcm16-x25519, aes128-sha256
                rekey_time = 30s
                life_time = 1m
                rekey_bytes = 2g
                start_action = trap|start
                dpd_action = hold
                replay_window = 128
            }
        }
    }
    site { remote_addrs = 203.0.113.9, gw.example.com
        rekey_time = 1d
        remote { auth = psk }
        local { auth = psk }
        children { a { mode = transport
        } b {} }
        vips = 0.0.0.0,%any6
        keyingtries = %forever
        retransmit_timeout = 1s
        retransmit_base = 1.5
    }
}
defaults {
    version = 2
    local_addrs = %any
    proposals = aes256gcm16-prfsha384-ecp384
    dpd_delay = 2m
    encap = yes
    mobike = no
    children { net { copy_dscp = no } }
}
pools {
    v4 { addrs = 10.3.0.10-10.3.0.250
         dns = 10.2.0.53, 10.2.0.54
         split_include = 10.2.0.0/16 }
    v6 { addrs = fd03::/112 }
}
secrets {
    ike-1 { id-a = a.test
            id-b = b.test
            secret = "two words # and no comment \" quoted" }
    ike-2 { secret = 0x00ff7f }
    eap-u { id = user
            secret = 0saGVsbG8= }
    ppk-x { id = ppk.test
            secret = p }
    rsa-gw { file = gw.pem
             secret = phrase }
}
authorities { ca { cacert = ca.pem
  crl_uris = file:///tmp/ca.crl } }
)";

TEST_CASE("a gateway's file is read as it stands") {
  const IpsecOptions o = options_of(std::string(kGateway));
  REQUIRE(o.connections.size() == 2);
  const IpsecConnection& road = o.connections[0];
  CHECK(road.path == "connections.road");
  CHECK(road.name == "road");
  CHECK(road.pools == std::vector<std::string>{"v4", "v6"});
  CHECK(road.proposals == std::vector<std::string>{"aes256gcm16-prfsha384-ecp384"});
  CHECK(road.encap == true);
  CHECK_FALSE(road.mobike);
  CHECK(road.dpd_delay == 2min);
  CHECK(road.rekey_time == 4h);
  REQUIRE(road.local.size() == 1);
  CHECK(road.local[0].name == "-1");
  CHECK(road.local[0].method == IpsecAuth::Method::kPubkey);
  CHECK(road.local[0].certs == std::vector<std::string>{"gw.pem"});
  CHECK(road.local[0].id == "gw.test");
  CHECK(road.remote.at(0).method == IpsecAuth::Method::kEap);
  CHECK(road.remote[0].eap == "mschapv2");
  CHECK(road.remote[0].eap_id == "%any");

  REQUIRE(road.children.size() == 1);
  const IpsecChild& net = road.children[0];
  CHECK(net.name == "net");
  CHECK_FALSE(net.copy_dscp);
  REQUIRE(net.local_ts.size() == 3);
  CHECK(net.local_ts[1].selector == *ip::Selector::parse("fd02::/64"));
  CHECK(net.local_ts[2].selector == *ip::Selector::parse("192.0.2.7[tcp/80-90]"));
  CHECK(net.remote_ts.at(0).dynamic);
  CHECK(net.remote_ts[0].selector.protocol == 17);
  CHECK(net.esp_proposals.size() == 2);
  CHECK(net.rekey_time == 30s);
  CHECK(net.life_time == 1min);
  CHECK(net.rekey_bytes == std::uint64_t{2} << 30);
  CHECK(net.start_action == IpsecChild::Start::kStart);
  CHECK(net.dpd_action == IpsecChild::Start::kTrap);
  CHECK(net.replay_window == 128);

  const IpsecConnection& site = o.connections[1];
  CHECK(site.remote_addrs == std::vector<std::string>{"203.0.113.9", "gw.example.com"});
  CHECK(site.rekey_time == 24h);
  CHECK(site.remote.at(0).method == IpsecAuth::Method::kPsk);
  CHECK(site.keyingtries == 0);
  CHECK(site.retransmit_timeout == 1s);
  CHECK(site.retransmit_base == 1.5);
  CHECK(site.retransmit_tries == 5);
  CHECK(site.vips.size() == 2);
  REQUIRE(site.children.size() == 2);
  CHECK(site.children[0].mode == IpsecChild::Mode::kTransport);
  CHECK(site.children[1].local_ts.at(0).dynamic);

  REQUIRE(o.pools.size() == 2);
  CHECK(o.pools[0].dns.size() == 2);
  CHECK(o.pools[0].split_include.at(0).bits == 16);
  REQUIRE(o.secrets.size() == 4);
  CHECK(o.secrets[0].ids == std::vector<std::string>{"a.test", "b.test"});
  CHECK(text_of(o.secrets[0].secret) == "two words # and no comment \" quoted");
  CHECK(text_of(o.secrets[1].secret) == std::string("\0\xff\x7f", 3));
  CHECK(text_of(o.secrets[2].secret) == "hello");
  CHECK(o.secrets[3].kind == node::IpsecSecret::Kind::kPpk);
  REQUIRE(o.keys.size() == 1);
  CHECK(o.keys[0].folder == "rsa");
  CHECK(o.authorities.at(0).cacert == "ca.pem");
}

TEST_CASE("the same keys are the ipsec section of the JSON configuration") {
  const Source source{"node.json", R"({"outbounds": [{"protocol": "freedom"}], "ipsec": {
    "interface": "winze0", "tcp_port": 4500, "directory": "/etc/swanctl", "redirect_to": "gw2.test",
    "connections": {"home": {"version": 2, "remote_addrs": ["192.0.2.2"], "encap": true, "vips": "0.0.0.0, ::",
      "redirect_to": "2001:db8::2",
      "local": {"auth": "eap-mschapv2", "eap_id": "user"}, "remote": {"id": "gw.test", "cacerts": ["ca.pem"]},
      "children": {"net": {"remote_ts": ["10.0.0.0/8", "fd00::/8"], "rekey_time": 30, "life_time": "1m"}}}},
    "secrets": {"eap": {"id": "user", "secret": "pass"}}}})"};
  const auto config = read_v2ray_json(std::span(&source, 1));
  REQUIRE_MESSAGE(config.ok(), message_of(config.status()));
  const IpsecOptions& o = config->options.ipsec;
  CHECK(o.interface == "winze0");
  CHECK(o.tcp_port == 4500);
  CHECK(o.directory == "/etc/swanctl");
  CHECK(o.redirect_to == "gw2.test");
  const IpsecConnection& home = o.connections.at(0);
  CHECK(home.path == "ipsec.connections.home");
  CHECK(home.encap == true);
  CHECK(home.redirect_to == "2001:db8::2");
  CHECK(home.vips.size() == 2);
  CHECK(home.remote.at(0).cacerts == std::vector<std::string>{"ca.pem"});
  CHECK(home.children.at(0).rekey_time == 30s);
  CHECK(home.children[0].remote_ts.size() == 2);
  CHECK(text_of(o.secrets.at(0).secret) == "pass");
}

TEST_CASE("what is wrong is said with its place") {
  const std::pair<std::string_view, std::string_view> kCases[] = {
      // Syntax.
      {"connections {", "the section \"connections\" that begins here has no end (swanctl.conf:1:1)"},
      {"}", "\"}\" without a section that it ends (swanctl.conf:1:1)"},
      {"connections\n", "expected \"=\" or \"{\" behind \"connections\", found the end of the file"},
      {"secrets { ike { secret = \"x\n } }", "the string that begins here has no end (swanctl.conf:1:26)"},
      {"a.b = c", "expected \"=\" or \"{\" behind \"a\", found \".\" (swanctl.conf:1:2)"},
      {"connections { x : {} }", "expected a section's name, found \"{\" (swanctl.conf:1:19)"},
      {"connections { x : nowhere { } }", "x: there is no section \"nowhere\" to refer to (swanctl.conf:1:15)"},
      {"a : b {}\nb : a {}", "nested too deeply, or go round in circles"},
      {"include other.conf", "include is not read here"},
      // Keys.
      {"connections { x { reauth_tim = 1h } }", "connections.x.reauth_tim: unknown key; did you mean \"reauth_time\"?"},
      {"connection { }", "connection: unknown key; did you mean \"connections\"? (swanctl.conf:1:1)"},
      {"connections { x { version = 1 } }",
       "connections.x.version: IKEv1 is not supported; write 2 (swanctl.conf:1:29)"},
      {"connections { x { encap = maybe } }", "connections.x.encap: expected one of \"no\""},
      {"connections { x { redirect_to = a/b } }",
       "connections.x.redirect_to: \"a/b\" is neither an address nor a name"},
      {"connections { x { aggressive = yes } }", "connections.x.aggressive: IKEv1 is not supported"},
      {"connections { x { rekey_time = 4hours } }", "connections.x.rekey_time: expected a time such as \"90\""},
      {"connections { x { rekey_time = 99999999999d } }", "expected a time"},
      {"connections { x { retransmit_base = 1.x } }", "expected a number from 1 to 100"},
      {"connections { x { pools = a } }", "connections.x.pools: there is no pool \"a\""},
      {"connections { x { vips = b } }", "connections.x.vips: \"b\" is no address"},
      {"connections { x { local { auth = xauth } } }", "connections.x.local.auth: IKEv1 is not supported"},
      {"connections { x { local { auth = eap-ttls } } }", "connections.x.local.auth: EAP methods are eap-mschapv2"},
      {"connections { x { remote { auth = eap-tls\n tls_version_max = 1.1 } } }",
       "connections.x.remote.tls_version_max: expected one of \"1.2\", \"1.3\", found the string \"1.1\""},
      {"connections { x { local { tls_version_max = 1.2 } } }",
       "connections.x.local.tls_version_max: is EAP-TLS's, and auth is another"},
      {"connections { x { remote { groups = sales } } }",
       "connections.x.remote.groups: who is of which group, RADIUS and attribute certificates say"},
      {"connections { x { local { auth = secret } } }", "expected \"psk\", \"pubkey\""},
      {"connections { x { children { y { local_ts = 10.0.0/8 } } } }",
       "children.y.local_ts: \"10.0.0/8\" is no selector"},
      {"connections { x { children { y { copy_dscp = in } } } }", "nothing is copied inward"},
      {"connections { x { children { y { mode = pass } } } }", "expected one of \"tunnel\", \"transport\", \"beet\""},
      {"connections { x { children { y { ah_proposals = sha256 } } } }", "AH is not negotiated"},
      {"connections { x { children { y { rekey_time = 60\nlife_time = 60 } } } }", "has to be longer than rekey_time"},
      {"connections { x { children { y { rekey_bytes = 1t } } } }", "expected a number, perhaps with k, m or g"},
      {"connections { x = 1 }", "connections.x: expected a section, found the string \"1\""},
      {"pools { p { } }", "pools.p.addrs: is needed"},
      {"pools { p { addrs = 10.0.0.0/8\n dns = x } }", "pools.p.dns: \"x\" is no address"},
      {"secrets { ike { id = a } }", "secrets.ike.secret: is needed, and not empty"},
      {"secrets { ike { secret = 0x123 } }", "an even number of hexadecimal digits"},
      {"secrets { token { pin = 1 } }", "keys on tokens come through the C++ interface"},
  };
  for (const auto& [text, part] : kCases) {
    CAPTURE(text);
    const std::string error = error_of(std::string(text));
    CAPTURE(error);
    CHECK(error.find(part) != error.npos);
  }
}

TEST_CASE("a secret is not shown in an error") {
  CHECK(error_of("secrets { ike { secret = 0xPASSWORD } }").find("PASS") == std::string::npos);
}

TEST_CASE("TLS in EAP goes up to the version that is given") {
  const auto of = [](std::string local) {
    return options_of("connections { x { local { auth = eap-tls\n" + local + " } } }").connections[0].local[0].tls13;
  };
  CHECK(of(""));
  CHECK(of("tls_version_max = 1.3"));
  CHECK_FALSE(of("tls_version_max = 1.2"));
}

TEST_CASE("what says no is not refused") {
  options_of("connections { x { aggressive = no\n children { y { updown =\n ipcomp = no\n reqid = 0 } } } }");
}

TEST_CASE("what has another effect than elsewhere is a warning") {
  const std::pair<std::string_view, std::string_view> kCases[] = {
      {"dscp = 101110", "IKE's own messages are not marked"},
      {"children { y { copy_df = no } }", "the DF bit of outer packets"},
      {"children { y { updown = /etc/updown } }", "no script is run"},
      {"children { y { ipcomp = yes } }", "nothing is compressed"},
      {"pools = p } }\npools { p { addrs = 10.3.0.0/24\n nbns = 10.2.0.5", "clients are not told"},
      {"pools = p } }\npools { p { addrs = 10.3.0.0/24\n split_exclude = 10.9.0.0/16", "Unity"},
      {"} }\nauthorities { a { cacert = x\n crl_uris = http://x/y", "nothing is fetched"},
      {"} }\nauthorities { a { cacert = x\n ocsp_uris = http://x/y", "nothing is fetched"},
  };
  for (const auto& [text, part] : kCases) {
    CAPTURE(text);
    const auto config = read("connections { x { " + std::string(text) + " } }");
    REQUIRE(config.ok());
    REQUIRE(config->warnings.size() == 1);
    CHECK(config->warnings[0].find(part) != std::string::npos);
  }
  CHECK(read(std::string(kGateway))->warnings.empty());
}

TEST_CASE("whether ESP goes in UDP is known to be said or not") {
  const IpsecOptions o = options_of("connections { a { }\n b { encap = no }\n c { encap = yes } }");
  CHECK_FALSE(o.connections.at(0).encap);
  CHECK(o.connections.at(1).encap == false);
  CHECK(o.connections.at(2).encap == true);
}

TEST_CASE("what is to follow the end of a tunnel is known to be said or not") {
  const IpsecOptions o = options_of(R"(connections { x { children {
    a { }
    b { close_action = trap
        dpd_action = restart }
    c { close_action = none
        dpd_action = clear } } } })");
  const auto& children = o.connections.at(0).children;
  CHECK_FALSE(children.at(0).close_action);
  CHECK_FALSE(children[0].dpd_action);
  CHECK(children.at(1).close_action == IpsecChild::Start::kTrap);
  CHECK(children[1].dpd_action == IpsecChild::Start::kStart);
  CHECK(children.at(2).close_action == IpsecChild::Start::kNone);
  CHECK(children[2].dpd_action == IpsecChild::Start::kNone);
}

TEST_CASE("sections are merged, the last value counts, an empty one takes away") {
  const IpsecOptions o = options_of(R"(
    connections { x { encap = no
      dpd_delay = 1s } }
    connections { x { encap = yes
      dpd_delay = } y : t1, t2 { mobike = } }
    t1 { mobike = no
         encap = yes }
    t2 { encap = no
         dpd_delay = 5s })");
  CHECK(o.connections.at(0).encap == true);
  CHECK(o.connections[0].dpd_delay == 0s);
  CHECK(o.connections.at(1).encap == true);
  CHECK(o.connections[1].mobike);
  CHECK(o.connections[1].dpd_delay == 5s);
}

TEST_CASE("files are included where they are named") {
  const auto include = [](std::string_view pattern, std::string_view from) -> absl::StatusOr<std::vector<Source>> {
    CHECK(from == "swanctl.conf");
    if (pattern != "conf.d/*.conf") return absl::NotFoundError("no such thing");
    return std::vector<Source>{{"conf.d/a.conf", "connections { a { encap = yes } }"},
                               {"conf.d/b.conf", "connections { b { } }"}};
  };
  const IpsecOptions o = options_of("include conf.d/*.conf\nconnections { c {} }", include);
  REQUIRE(o.connections.size() == 3);
  CHECK(o.connections[0].encap == true);
  CHECK(o.connections[2].name == "c");

  const auto bad = [](std::string_view, std::string_view) -> absl::StatusOr<std::vector<Source>> {
    return std::vector<Source>{{"inner.conf", "connections {\n x { foo = 1 } }"}};
  };
  CHECK(std::string(message_of(read("include x", bad).status())) == "connections.x.foo: unknown key (inner.conf:2:6)");
  const auto itself = [](std::string_view, std::string_view) -> absl::StatusOr<std::vector<Source>> {
    return std::vector<Source>{{"swanctl.conf", "include x"}};
  };
  CHECK(std::string(message_of(read("include x", itself).status())).find("too deeply") != std::string::npos);
}

TEST_CASE("a file's folder is the directory of its certificates") {
  const auto folder = std::filesystem::temp_directory_path() / ("winze-swanctl-" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder / "conf.d");
  std::ofstream(folder / "swanctl.conf") << "include conf.d/*.conf\ninclude none/*.conf\n";
  std::ofstream(folder / "conf.d" / "one.conf") << "connections { one { } }";
  const auto config = read_swanctl_file((folder / "swanctl.conf").string());
  REQUIRE_MESSAGE(config.ok(), message_of(config.status()));
  CHECK(config->options.directory == folder.string());
  CHECK(config->options.connections.at(0).name == "one");
  std::filesystem::remove_all(folder);
  CHECK_FALSE(read_swanctl_file((folder / "swanctl.conf").string()).ok());
}

}  // namespace
}  // namespace winze::config
