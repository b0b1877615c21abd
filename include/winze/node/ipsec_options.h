// IKEv2 gateways and clients, as strongSwan's swanctl.conf describes them: keys, words and defaults are its own. Plain
// data, read from swanctl.conf (winze/config/swanctl.h), from the "ipsec" section of the JSON configuration, or filled
// in by a C++ program. `path` members say where a part came from ("connections.home.local").
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "winze/base/address.h"
#include "winze/base/secret.h"
#include "winze/base/time.h"
#include "winze/crypto/certificate.h"
#include "winze/proto/ike/config.h"
#include "winze/proto/ip/selector.h"

namespace winze::node {

// One round of authentication: local<suffix>, remote<suffix>.
struct IpsecAuth {
  enum class Method {
    kPubkey,  // a certificate or a bare key; `signatures` limits how it signs
    kPsk,
    kEap,  // `eap`: the method; empty: any that there is a secret for
  };
  std::string path;
  std::string name;  // behind "local" or "remote"
  std::uint32_t round = 0;
  Method method = Method::kPubkey;
  std::string signatures;  // "rsa-3072-sha256", "ike:rsa/pss-sha384", in strongSwan's words; empty: any
  std::string eap;         // "mschapv2", "tls", "md5", "gtc"; empty: any
  std::string id;          // empty: local: the certificate's subject, the key's hash, or the address; remote: any
  std::string eap_id;      // local: the answer to EAP-Identity; remote: whom EAP has to prove; empty: id
  std::string aaa_id;      // local, EAP-TLS: the name of the server that EAP talks to; empty: the gateway's
  std::vector<std::string> certs;    // files: absolute, or in "x509" of the directory
  std::vector<std::string> pubkeys;  // bare public keys (RFC 7670), as `certs`, in "pubkey"; local: the first is shown
  std::vector<std::string> cacerts;  // remote: roots that must be above the peer's certificate, in "x509ca"
  Revocation revocation = Revocation::kIfKnown;  // "relaxed"

  // Of winze alone:
  // "tls_version_max" of EAP-TLS; "1.2" for peers whose TLS 1.3 there is not RFC 9190's (libreswan, strongSwan 5.9).
  bool tls13 = true;
};

// A traffic selector; dynamic: the virtual address, or the address of that end.
struct IpsecSelector {
  bool dynamic = false;
  ip::Selector selector;  // dynamic: its protocol and ports alone
};

struct IpsecChild {
  enum class Start { kNone, kTrap, kStart };
  std::string path;
  std::string name;
  std::vector<std::string> esp_proposals = {"default"};
  std::vector<IpsecSelector> local_ts = {{.dynamic = true, .selector = {}}};
  std::vector<IpsecSelector> remote_ts = {{.dynamic = true, .selector = {}}};
  enum class Mode { kTunnel, kTransport, kBeet } mode = Mode::kTunnel;
  Duration rekey_time = std::chrono::hours(1);
  std::optional<Duration> life_time;              // none: rekey_time and a tenth
  std::optional<Duration> rand_time;              // none: what life_time is longer than rekey_time
  std::uint64_t rekey_bytes = 0, life_bytes = 0;  // 0: no limit
  std::uint64_t rekey_packets = 0, life_packets = 0;
  Start start_action = Start::kNone;
  // What follows when the peer has ended it, or has vanished; none: as IpsecSettings::keep says.
  std::optional<Start> close_action;
  std::optional<Start> dpd_action;  // "clear" is none, "restart" is start
  Duration inactivity{0};           // closed when nothing has passed for so long; 0: never
  std::uint32_t replay_window = 64;
  std::uint16_t tfc_padding = 0;
  bool copy_ecn = true;
  bool copy_dscp = true;   // outward, as "out"
  bool sha256_96 = false;  // needs `legacy`
};

struct IpsecConnection {
  std::string path;
  std::string name;
  std::vector<std::string> local_addrs = {"%any"};  // an address, a name, CIDR, a range; "%any", "%any4", "%any6"
  std::vector<std::string> remote_addrs = {"%any"};
  std::uint16_t local_port = 500;
  std::uint16_t remote_port = 500;
  std::vector<std::string> proposals = {"default"};
  std::vector<IpAddress> vips;     // asked for; unspecified: any of that version
  std::vector<std::string> pools;  // for those who ask
  // Whether ESP goes in UDP where there is no NAT either; if not, as protocol 50, which needs CAP_NET_RAW. None: it
  // does, unlike charon's: peers take that all the same, and the kernel moves UDP many packets at a time.
  std::optional<bool> encap;
  bool mobike = true;
  Duration dpd_delay{0};  // 0: no probes
  enum class Fragmentation { kYes, kAccept, kForce, kNo } fragmentation = Fragmentation::kYes;
  ike::Childless childless = ike::Childless::kAllow;
  bool send_certreq = true;
  ike::SendCertificate send_cert = ike::SendCertificate::kIfAsked;
  std::uint32_t keyingtries = 1;  // 0: without end
  ike::Unique unique = ike::Unique::kNo;
  Duration reauth_time{0};  // 0: never
  Duration rekey_time = std::chrono::hours(4);
  std::optional<Duration> over_time;  // none: a tenth of the longer of the two
  std::optional<Duration> rand_time;  // none: over_time
  std::string ppk_id;
  bool ppk_required = false;
  std::vector<IpsecAuth> local, remote;  // in the order of their rounds; at least one each
  std::vector<IpsecChild> children;

  // Of winze alone:
  bool legacy = false;      // takes algorithms that are no longer safe (modp1024, 3des, sha1 in ESP ...) where proposed
  bool resumption = false;  // tickets (RFC 5723), asked for and given
  bool follow_redirects = false;  // of gateways (RFC 5685); charon's own is "yes"
  // An address or a name, to which clients are sent on once they have proved themselves; who does not follow is
  // refused. Empty: they stay.
  std::string redirect_to;
  bool signature_authentication = true;  // RFC 7427; charon's own, of strongswan.conf, as what follows
  // A request is repeated after so long, then after `base` times that, ...
  Duration retransmit_timeout = std::chrono::seconds(4);
  double retransmit_base = 1.8;
  std::uint32_t retransmit_tries = 5;
  std::string outbound;  // dials in TCP (RFC 9329) through the outbound of that tag; empty: UDP
};

struct IpsecPool {
  std::string path;
  std::string name;
  std::string addrs;  // CIDR, or "first-last"
  std::vector<IpAddress> dns;
  std::vector<Prefix> split_include;  // subnets behind the gateway (INTERNAL_IP4_SUBNET, ...)
  std::vector<std::string> domains;   // attribute 25, INTERNAL_DNS_DOMAIN
};

// A key shared with the owners of `ids`; ike, eap and ppk alike.
struct IpsecSecret {
  enum class Kind { kIke, kEap, kPpk } kind = Kind::kIke;
  std::string path;
  std::vector<std::string> ids;  // none: for everybody
  Secret secret;
};

// A private key's file, in "private", "rsa", "ecdsa" or "pkcs8" of the directory.
struct IpsecKeyFile {
  std::string path;
  std::string file;
  std::string folder;
  Secret passphrase;
};

struct IpsecAuthority {
  std::string path;
  std::string name;
  std::string cacert;                  // in "x509ca"
  std::vector<std::string> crl_uris;   // "file:" only: nothing is fetched
  std::vector<std::string> ocsp_uris;  // the same: responses of OCSP, in DER
  bool fetched = false;                // there are others, which would have to be fetched
};

// What a stranger can cost: strongswan.conf's section "charon", by its own names.
struct IpsecLimits {
  std::size_t cookie_threshold = 30;    // IKE SAs half open before cookies are asked for; 0: never
  std::size_t cookie_threshold_ip = 3;  // the same of one source
  std::size_t block_threshold = 5;      // half open of one source, more of which are dropped; 0: no limit
  Duration half_open_timeout = std::chrono::seconds(30);
};

struct IpsecOptions {
  std::vector<IpsecConnection> connections;
  std::vector<IpsecPool> pools;
  std::vector<IpsecSecret> secrets;
  std::vector<IpsecKeyFile> keys;
  std::vector<IpsecAuthority> authorities;
  IpsecLimits limits;
  std::string directory;  // where certificates and keys are, in swanctl's folders: x509, x509ca, private ...

  // Of winze alone:
  std::string interface;       // the TUN interface; empty: the kernel names it
  std::uint16_t mtu = 1400;    // of inner packets
  std::uint16_t tcp_port = 0;  // takes IKE and ESP in TCP there; 0: not
  std::string key_log_file;    // of IKE, for Wireshark's ikev2_decryption_table
  std::string redirect_to;     // sends strangers who follow there, at once; who does not comes in

  bool empty() const { return connections.empty(); }
};

}  // namespace winze::node
