// What one running instance is made from: the product of reading a configuration, or filled in by a C++ program. Plain
// data; names and defaults are V2Ray's where V2Ray has them. `path` members say where in the configuration a part came
// from ("inbounds[0]"), so that errors found later can name the place.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "winze/base/address.h"
#include "winze/base/secret.h"
#include "winze/base/time.h"
#include "winze/chain/user_terms.h"
#include "winze/node/ipsec_options.h"

namespace winze::node {

// --- streamSettings ---

// A PEM text, or the file it is in (read at start and again at reload).
struct PemSource {
  std::string file;
  std::string text;
};

struct TlsOptions {
  std::string server_name;  // client: SNI and the name to verify; empty: the destination's host
  // Empty: "h2", "http/1.1", as V2Ray has it (its servers of version 4 take "h2" alone). For WebSocket and HTTPUpgrade
  // it is always "http/1.1".
  std::vector<std::string> alpn;
  // usage "encipherment": a server's (or a client's own) certificate chain and key.
  struct Certificate {
    PemSource chain;
    PemSource key;
  };
  std::vector<Certificate> certificates;
  std::vector<PemSource> roots;  // usage "verify": further roots to trust
  bool disable_system_root = false;
  bool session_resumption = true;
  bool reject_unknown_sni = false;
  bool verify_client = false;                   // server: clients must show a certificate that chains to `roots`
  std::vector<std::string> certificate_sha256;  // hex; trusted leaf certificates (pinnedPeerCertSha256)
  std::vector<std::string> spki_sha256;         // hex or base64; pinned public keys
  std::string min_version;                      // "1.2", "1.3", empty: default
  std::string max_version;
  std::string key_log_file;
};

struct WebSocketOptions {
  std::string path = "/";  // without the "?ed=" part
  std::string host;        // the Host header; empty: the destination
  std::vector<std::pair<std::string, std::string>> headers;
  std::uint32_t early_data = 0;  // client: at most so many bytes of the first payload in the handshake; 0: none
  std::string early_data_header = "Sec-WebSocket-Protocol";  // empty: the data is appended to the path
  bool half_close = false;  // winze on both ends: a Close frame ends one direction only
};

struct HttpUpgradeOptions {
  std::string path = "/";
  std::string host;
  std::vector<std::pair<std::string, std::string>> headers;
};

struct SocketSettings {
  std::uint32_t mark = 0;
  bool tcp_fast_open = false;
  Duration keep_alive_idle{0};
  Duration keep_alive_interval{0};
  std::string interface;
  std::string congestion_control;
  bool v6_only = false;
  bool accept_proxy_protocol = false;  // inbound: a PROXY protocol header comes first
  Duration user_timeout{0};            // 0: the system's, here and below
  int max_segment = 0;
  int window_clamp = 0;
};

struct StreamSettings {
  enum class Network { kTcp, kWebSocket, kHttpUpgrade } network = Network::kTcp;
  WebSocketOptions ws;
  HttpUpgradeOptions http_upgrade;
  std::optional<TlsOptions> tls;  // security "tls"
  SocketSettings socket;
};

// --- users ---

struct Account {  // SOCKS and HTTP
  std::string user;
  Secret password;
  std::optional<std::uint32_t> level = {};  // of an inbound's; none: that of the inbound
  chain::UserTerms terms = {};              // of an inbound's, as of all users below
};

struct VlessUser {
  std::string id;  // a UUID, or a text of at most 30 characters that stands for one
  std::string email;
  std::uint32_t level = 0;
  chain::UserTerms terms = {};
  bool vision = false;  // flow xtls-rprx-vision
  bool quic = false;    // of an outbound: xtls-rprx-vision-udp443, which carries UDP to port 443 too
};

struct TrojanUser {
  Secret password;
  std::string email;
  std::uint32_t level = 0;
  chain::UserTerms terms = {};
};

struct VmessUser {
  std::string id;  // as VlessUser's
  std::string email;
  std::uint32_t level = 0;
  chain::UserTerms terms = {};
};

struct ShadowsocksUser {
  Secret password;  // Base64 of a key of the method's size
  std::string email;
  std::uint32_t level = 0;
  chain::UserTerms terms = {};
};

// A user of an inbound, with the credential of its protocol. Its name is the account's, or the e-mail address; no two
// users of an inbound have the same. Without an address it is the id, or of those whose credential is a password a name
// that is made for them ("user0").
using InboundUser = std::variant<Account, VlessUser, TrojanUser, VmessUser, ShadowsocksUser>;

// --- inbounds ---

struct SocksInbound {
  std::vector<Account> accounts;  // empty: no authentication
  std::uint32_t level = 0;
  bool udp = false;             // serve UDP ASSOCIATE
  std::optional<IpAddress> ip;  // where, and what clients are told; none: where the client has connected to
};
struct HttpInbound {
  std::vector<Account> accounts;
  std::uint32_t level = 0;
};
struct MixedInbound {  // SOCKS and HTTP on one port
  SocksInbound socks;  // its accounts are HTTP's too
};
struct FallbackEntry {  // of VLESS and Trojan
  std::string name;     // SNI; empty: any
  std::string alpn;
  std::string path;
  std::string dest;  // "host:port", a port alone, "/path.sock", "@abstract"
  int proxy_protocol = 0;
};
struct VlessInbound {
  std::vector<VlessUser> users;
  std::vector<FallbackEntry> fallbacks;
};
struct TrojanInbound {
  std::vector<TrojanUser> users;
  std::vector<FallbackEntry> fallbacks;
};
struct Plugin {  // SIP003: a program that carries the TCP connections of Shadowsocks; empty: none
  std::string program;
  std::string options;  // SS_PLUGIN_OPTIONS
  std::vector<std::string> arguments;
};
struct ShadowsocksInbound {
  std::string method;
  Secret password;                     // with users their server's
  std::string email;                   // of all clients, without users
  std::uint32_t level = 0;             // likewise
  std::vector<ShadowsocksUser> users;  // told apart by identity headers (2022)
  bool tcp = true;
  bool udp = false;
  std::string replay_file;  // where the salts that have been seen outlive the process; empty: they do not
  Plugin plugin;
};
struct DokodemoInbound {
  Destination destination;
  bool tcp = true;
  bool udp = false;
  std::uint32_t level = 0;
};

struct VmessInbound {
  std::vector<VmessUser> users;
  bool refuse_unprotected = false;  // disableInsecureEncryption: the security "none"
};

// "mux" of an inbound: what is done with connections that carry others.
struct InboundMuxOptions {
  bool enabled = true;   // otherwise they are refused
  bool padding = false;  // of sing-mux's only those with padding are taken
};

struct InboundOptions {
  std::string path;
  std::string tag;
  std::string listen = "0.0.0.0";  // an IP address, "/path.sock", "/path.sock,0666", "@abstract"
  std::uint16_t port_from = 0;     // a range listens on each
  std::uint16_t port_to = 0;
  std::variant<SocksInbound, HttpInbound, MixedInbound, VlessInbound, DokodemoInbound, TrojanInbound, VmessInbound,
               ShadowsocksInbound>
      settings;
  StreamSettings stream;
  InboundMuxOptions mux;
};

// --- outbounds ---

struct FreedomOutbound {  // with transports in `stream`, for TCP alone: it opens no conduits then
  enum class Strategy { kAsIs, kUseIp, kUseIpv4, kUseIpv6 } strategy = Strategy::kAsIs;
  std::optional<std::pair<std::string, std::uint16_t>> redirect;  // host (empty: keep) and port (0: keep)
};
struct BlackholeOutbound {
  bool http_response = false;  // answer "403 Forbidden" before closing
};
struct SocksOutbound {
  Destination server;
  std::optional<Account> account;
};
struct HttpOutbound {
  Destination server;
  std::optional<Account> account;
  std::vector<std::pair<std::string, std::string>> headers;
};
struct VlessOutbound {
  Destination server;
  VlessUser user;
};
struct TrojanOutbound {
  Destination server;
  TrojanUser user;
};

struct VmessOutbound {
  Destination server;
  VmessUser user;
  std::string security = "auto";      // "aes-128-gcm", "chacha20-poly1305", "none", "zero"
  bool authenticated_length = false;  // the experiment of that name
  bool packet_addresses = false;      // packetEncoding "Packet": one stream for UDP to everyone
};
struct ShadowsocksOutbound {
  Destination server;
  std::string method;
  Secret password;
  Plugin plugin;
};

// sing-box's "multiplex", in place of mux.cool: see winze/layer/mux_client.h.
struct SingMuxOptions {
  enum class Protocol { kSmux, kYamux, kH2mux } protocol = Protocol::kSmux;
  bool padding = false;
  // Of all threads together, each of which may have one whatever this is: a stream goes to the connection of its thread
  // that has the fewest,
  std::uint32_t max_connections = 0;
  std::uint32_t min_streams = 0;  // unless it has so many and there may be another;
  std::uint32_t max_streams = 0;  // or to one with fewer than this. 0: no limit; all three: as min_streams 8
};

// "mux" of V2Ray, with what Xray adds for UDP.
struct MuxOptions {
  bool enabled = false;
  std::optional<SingMuxOptions> sing;  // what follows then means nothing
  std::uint32_t concurrency = 8;       // TCP connections at once in one of the server's; 0: they are not multiplexed
  // UDP: none: as V2Ray has it, a sub-connection for each destination. Otherwise XUDP, one for all destinations: 0:
  // with the TCP connections, above 0: in connections of their own, so many at once in each; below 0: UDP is not
  // multiplexed.
  std::optional<int> xudp_concurrency;
  enum class Udp443 { kReject, kAllow, kSkip } udp443 = Udp443::kAllow;  // kSkip: not multiplexed
};

struct OutboundOptions {
  std::string path;
  std::string tag;
  std::variant<FreedomOutbound, BlackholeOutbound, SocksOutbound, HttpOutbound, VlessOutbound, TrojanOutbound,
               VmessOutbound, ShadowsocksOutbound>
      settings;
  StreamSettings stream;
  std::optional<IpAddress> send_through;
  std::string proxy_tag;  // proxySettings.tag: connect through that outbound
  MuxOptions mux;
};

// --- the whole ---

// V2Ray's policy timers; the defaults are the documented ones (4 s, 300 s, 2 s, 5 s), not those of its code. Zero for
// uplink_only and downlink_only is V2Ray's: once one direction has ended the other does at once. Zero for handshake and
// idle, with which no connection of V2Ray's would live, is no limit.
struct PolicyLevel {
  Duration handshake{std::chrono::seconds(4)};
  Duration idle{std::chrono::seconds(300)};
  Duration uplink_only{std::chrono::seconds(2)};
  Duration downlink_only{std::chrono::seconds(5)};
};

struct LogOptions {
  enum class Level { kDebug, kInfo, kWarning, kError, kNone } level = Level::kWarning;
  std::string access_file;  // one line per connection; empty: standard output; "none": not written
  std::string error_file;   // everything else; empty: standard error
};

struct NodeOptions {
  LogOptions log;
  std::vector<std::pair<std::uint32_t, PolicyLevel>> policy_levels;  // levels not listed have the defaults
  std::vector<InboundOptions> inbounds;
  std::vector<OutboundOptions> outbounds;  // the first is the default
  IpsecOptions ipsec;

  PolicyLevel policy(std::uint32_t level) const {
    for (const auto& [number, policy] : policy_levels) {
      if (number == level) return policy;
    }
    return {};
  }
};

}  // namespace winze::node
