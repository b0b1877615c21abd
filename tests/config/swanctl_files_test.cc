#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "winze/base/status.h"
#include "winze/config/swanctl.h"

namespace winze::config {
namespace {

using node::IpsecConnection;
using node::IpsecOptions;
using namespace std::chrono_literals;

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

IpsecOptions options_of(const GatewayFile& file) {
  auto config = read_swanctl({"swanctl.conf", std::string(file.text)});
  REQUIRE_MESSAGE(config.ok(), message_of(config.status()));
  return std::move(config->options);
}

TEST_CASE("gateways' files are read, and what is not done of them is said") {
  for (const GatewayFile& file : kFiles) {
    CAPTURE(file.name);
    const auto config = read_swanctl({"swanctl.conf", std::string(file.text)});
    REQUIRE_MESSAGE(config.ok(), message_of(config.status()));
    CHECK(config->warnings.size() == file.warnings.size());
    for (std::size_t i = 0; i < std::min(config->warnings.size(), file.warnings.size()); ++i) {
      CAPTURE(config->warnings[i]);
      CHECK(config->warnings[i].find(file.warnings[i]) != std::string::npos);
    }
  }
  const IpsecConnection rounds = options_of(kFiles[5]).connections.at(0);
  CHECK(rounds.local.size() == 1);
  CHECK(rounds.local[0].signatures == "ike:rsa/pss-sha512-sha384");
  CHECK(rounds.remote.at(0).signatures == "rsa-3072-sha256-sha512-ecdsa-256-sha256-sha384");
  CHECK(rounds.childless == ike::Childless::kForce);
  const IpsecConnection keys = options_of(kFiles[6]).connections.at(0);
  CHECK(keys.local.at(0).pubkeys == std::vector<std::string>{"own.pem"});
  CHECK(keys.remote.at(0).pubkeys == std::vector<std::string>{"one.pem", "two.pem"});
  const IpsecOptions lists = options_of(kFiles[2]);
  CHECK(lists.connections.at(0).remote.at(0).revocation == Revocation::kIfUri);
  CHECK(lists.authorities.at(0).fetched);
  CHECK(options_of(kFiles[1]).connections.at(0).children.at(0).inactivity == 30min);
}

}  // namespace
}  // namespace winze::config
