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

// Files as gateways have them, each with what is warned of.
struct GatewayFile {
  std::string_view name, text;
  std::vector<std::string_view> warnings;
};
const GatewayFile kFiles[] = {
    {"everybody's phone and laptop",
     R"(
connections {
    ikev2-eap {
        version = 2
        proposals = aes256gcm16-prfsha384-ecp384,aes256-sha256-modp2048
        rekey_time = 0s
        pools = primary-pool-ipv4, primary-pool-ipv6
        fragmentation = yes
        dpd_delay = 30s
        send_cert = always
        unique = never
        local-1 { certs = server.pem
                  id = vpn.example.org }
        remote-1 { auth = eap-mschapv2
                   eap_id = %any }
        children {
            ikev2-eap { local_ts = 0.0.0.0/0, ::/0
                rekey_time = 0s
                dpd_action = clear
                esp_proposals = aes256gcm16,aes256-sha1
                updown = /usr/lib/ipsec/_updown iptables }
        }
    }
}
pools {
    primary-pool-ipv4 { addrs = 172.16.252.0/24
                        dns = 9.9.9.9, 1.1.1.1 }
    primary-pool-ipv6 { addrs = fd00:dead:beef::/120
                        dns = 2620:fe::fe }
}
secrets {
    eap-anna { id = anna
               secret = "correct horse" }
    private-server { file = server.key }
}
)",
     {"no script is run"}},
    {"two sites",
     R"(
connections {
    to-berlin {
        local_addrs  = 198.51.100.1
        remote_addrs = 203.0.113.1
        proposals = aes256-sha512-ecp521, aes256-sha256-modp3072
        local { auth = psk
                id = 198.51.100.1 }
        remote { auth = psk
                 id = 203.0.113.1 }
        children {
            lan { local_ts = 10.10.0.0/16
                  remote_ts = 10.20.0.0/16
                  start_action = trap
                  close_action = trap
                  dpd_action = restart
                  inactivity = 30m }
            voice { local_ts = 10.10.8.0/24[udp]
                    remote_ts = 10.20.8.0/24[udp]
                    life_time = 70m
                    rekey_time = 1h
                    start_action = start }
        }
        mobike = no
        dpd_delay = 20s
        dpd_timeout = 120s
        keyingtries = 0
    }
}
secrets { ike-berlin { id-a = 198.51.100.1
                       id-b = 203.0.113.1
                       secret = 0sFpZAZqEN6Ti9sqt4ZP5EWcqx } }
)",
     {}},
    {"certificates and their lists",
     R"(
connections {
    staff {
        local_addrs = %any
        pools = staff
        local { auth = pubkey
                certs = gateway.pem
                id = gateway.example.org }
        remote { auth = pubkey-sha256-sha384
                 cacerts = staff-ca.pem
                 id = "C=DE, O=Example, OU=Staff, CN=*"
                 revocation = ifuri }
        children { net { local_ts = 10.0.0.0/8
                         hostaccess = yes } }
        unique = replace
        reauth_time = 8h
    }
}
authorities {
    staff { cacert = staff-ca.pem
            crl_uris = http://pki.example.org/staff.crl
            ocsp_uris = http://ocsp.example.org:8880 }
}
pools { staff { addrs = 10.99.0.0/22
                dns = 10.0.0.53
                nbns = 10.0.0.54
                split_include = 10.0.0.0/8
                split_exclude = 10.99.0.0/22 } }
secrets { rsa-gateway { file = gateway.key
                        secret = "with a passphrase" } }
)",
     {"Unity", "clients are not told", "nothing is fetched", "nothing is fetched"}},
    {"one suite only",
     R"(
connections {
    suite {
        proposals = aes256gcm16-prfsha384-ecp384
        local { auth = ecdsa-384-sha384
                certs = p384.pem }
        remote { auth = ecdsa-384-sha384
                 revocation = strict }
        children { net { esp_proposals = aes256gcm16-ecp384
                         local_ts = 2001:db8:1::/48
                         remote_ts = 2001:db8:2::/48
                         mode = tunnel } }
    }
}
)",
     {}},
    {"a hub with many spokes and a template",
     R"(
spoke {
    version = 2
    local_addrs = hub.example.org
    dpd_delay = 15
    local { certs = hub.pem
            id = hub.example.org }
    children { net { local_ts = 10.0.0.0/16
                     esp_proposals = aes128gcm16-x25519
                     rekey_bytes = 500000000
                     rekey_packets = 1000000 } }
}
connections {
    spoke1 : spoke { remote { id = spoke1.example.org }
                     children { net { remote_ts = 10.1.0.0/16 } } }
    spoke2 : spoke { remote { id = spoke2.example.org }
                     children { net { remote_ts = 10.2.0.0/16 } } }
    spoke3 : spoke { remote { id = spoke3.example.org }
                     children { net { remote_ts = 10.3.0.0/16, 10.33.0.0/16 } } }
}
)",
     {}},
    {"PSS for ourselves, anything that is strong for others",
     R"(
connections {
    pss {
        local-main { round = 1
                     auth = ike:rsa/pss-sha512-sha384
                     certs = rsa.pem }
        remote-any { auth = rsa-3072-sha256-sha512-ecdsa-256-sha256-sha384 }
        childless = force
        send_certreq = no
        children { net { start_action = none } }
    }
}
)",
     {}},
    {"neighbours that know each other's keys",
     R"(
connections {
    keys {
        local { pubkeys = own.pem }
        remote { pubkeys = one.pem, two.pem
                 id = peer.example.org }
        children { net { start_action = trap } }
    }
}
)",
     {}},
    {"certificates by EAP, and nothing before",
     R"(
connections {
    tls {
        pools = p
        local { auth = eap-tls
                certs = gw.pem
                id = gw.example.org }
        remote { auth = eap-tls
                 id = *@example.org
                 eap_id = *@example.org }
        children { all { local_ts = 0.0.0.0/0
                         copy_df = no
                         copy_dscp = out } }
        encap = yes
        dscp = 101110
        over_time = 10m
        rand_time = 5m
    }
}
pools { p { addrs = 10.4.0.10-10.4.0.99
            netmask = 255.255.255.0
            25 = corp.example.org } }
)",
     {"the DF bit", "not marked", "clients are not told"}},
    {"keys beside the keys",
     R"(
connections {
    pq {
        proposals = aes256gcm16-prfsha384-x25519-ke1_mlkem768, aes256gcm16-prfsha384-x25519
        ppk_id = bridge@example.org
        ppk_required = yes
        local { auth = psk
                id = keyid-one }
        remote { auth = psk
                 id = two.example.org }
        children { host { local_ts = dynamic
                          remote_ts = dynamic
                          tfc_padding = 1400
                          replay_window = 1024 } }
    }
}
secrets {
    ike-one { id-1 = two.example.org
              secret = 0x0102030405060708090a0b0c0d0e0f10 }
    ppk-bridge { id = bridge@example.org
                 secret = 0sMDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE= }
}
)",
     {}},
};

TEST_CASE("gateways' files are read, and what is not done of them is said") {
  for (const GatewayFile& file : kFiles) {
    CAPTURE(file.name);
    const auto config = read(std::string(file.text));
    REQUIRE_MESSAGE(config.ok(), message_of(config.status()));
    CHECK(config->warnings.size() == file.warnings.size());
    for (std::size_t i = 0; i < std::min(config->warnings.size(), file.warnings.size()); ++i) {
      CAPTURE(config->warnings[i]);
      CHECK(config->warnings[i].find(file.warnings[i]) != std::string::npos);
    }
  }
  const IpsecConnection rounds = options_of(std::string(kFiles[5].text)).connections.at(0);
  CHECK(rounds.local.size() == 1);
  CHECK(rounds.local[0].signatures == "ike:rsa/pss-sha512-sha384");
  CHECK(rounds.remote.at(0).signatures == "rsa-3072-sha256-sha512-ecdsa-256-sha256-sha384");
  CHECK(rounds.childless == ike::Childless::kForce);
  const IpsecConnection keys = options_of(std::string(kFiles[6].text)).connections.at(0);
  CHECK(keys.local.at(0).pubkeys == std::vector<std::string>{"own.pem"});
  CHECK(keys.remote.at(0).pubkeys == std::vector<std::string>{"one.pem", "two.pem"});
  const IpsecOptions lists = options_of(std::string(kFiles[2].text));
  CHECK(lists.connections.at(0).remote.at(0).revocation == Revocation::kIfUri);
  CHECK(lists.authorities.at(0).fetched);
  CHECK(options_of(std::string(kFiles[1].text)).connections.at(0).children.at(0).inactivity == 30min);
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
