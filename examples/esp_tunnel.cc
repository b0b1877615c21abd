// A tunnel with manual keys: IP packets of a TUN interface travel as ESP, in UDP or by itself. Both ends run this, each
// with the other's keys and SPIs; or one end is a Linux kernel's `ip xfrm`.
#include <unistd.h>
#include <winze/base/status.h>
#include <winze/io/system.h>
#include <winze/io/tun.h>
#include <winze/io/udp.h>
#include <winze/tunnel/data_plane.h>

#include <CLI/CLI.hpp>
#include <asio/io_context.hpp>
#include <asio/signal_set.hpp>
#include <cinttypes>
#include <csignal>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

namespace {

using namespace winze;

const std::map<std::string, std::pair<esp::Encryption, esp::Integrity>> kSuites = {
    {"aes-gcm", {esp::Encryption::kAesGcm, esp::Integrity::kNone}},
    {"aes-ccm", {esp::Encryption::kAesCcm, esp::Integrity::kNone}},
    {"chacha20-poly1305", {esp::Encryption::kChaCha20Poly1305, esp::Integrity::kNone}},
    {"aes-gmac", {esp::Encryption::kAesGmac, esp::Integrity::kNone}},
    {"aes-cbc-sha1", {esp::Encryption::kAesCbc, esp::Integrity::kHmacSha1_96}},
    {"aes-cbc-sha256", {esp::Encryption::kAesCbc, esp::Integrity::kHmacSha2_256_128}},
    {"aes-cbc-sha384", {esp::Encryption::kAesCbc, esp::Integrity::kHmacSha2_384_192}},
    {"aes-cbc-sha512", {esp::Encryption::kAesCbc, esp::Integrity::kHmacSha2_512_256}},
    {"aes-ctr-sha256", {esp::Encryption::kAesCtr, esp::Integrity::kHmacSha2_256_128}},
    {"null-sha256", {esp::Encryption::kNull, esp::Integrity::kHmacSha2_256_128}},
};

struct Parameters {
  std::string local = "[::]:4500", mode = "tunnel", peer, suite = "aes-gcm", out_key, in_key, out_auth, in_auth,
              interface;
  std::vector<std::string> here, there;
  std::uint32_t out_spi = 0, in_spi = 0, mark = 0;
  std::size_t icv = 16, mtu = 1500;
  std::uint32_t replay_window = 1024;
  unsigned keepalive = 20, statistics = 1;
  bool esn = false, no_offload = false, raw = false;
};

std::optional<Secret> from_hex(const std::string& text) {
  std::string bytes;
  if (text.size() % 2 != 0) return std::nullopt;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const auto digit = [](char c) { return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10; };
    if (!std::isxdigit(static_cast<unsigned char>(text[i])) ||
        !std::isxdigit(static_cast<unsigned char>(text[i + 1]))) {
      return std::nullopt;
    }
    bytes.push_back(static_cast<char>(digit(text[i]) * 16 + digit(text[i + 1])));
  }
  return Secret(std::string_view(bytes));
}

std::optional<esp::SaConfig> sa_config(const Parameters& p, std::uint32_t spi, const std::string& key,
                                       const std::string& auth, const char* which) {
  auto encryption_key = from_hex(key), integrity_key = from_hex(auth);
  if (!encryption_key || !integrity_key) {
    std::fprintf(stderr, "esp_tunnel: the %s keys must be an even number of hexadecimal digits\n", which);
    return std::nullopt;
  }
  const auto& [encryption, integrity] = kSuites.at(p.suite);
  esp::SaConfig config{.spi = spi, .esn = p.esn, .replay_window = p.replay_window};
  config.algorithms.encryption = encryption;
  config.algorithms.integrity = integrity;
  config.algorithms.icv_size = p.icv;
  config.algorithms.encryption_key = std::move(*encryption_key);
  config.algorithms.integrity_key = std::move(*integrity_key);
  return config;
}

void print_counters(tunnel::DataPlane& plane, const esp::Child& child, std::uint32_t in_spi) {
  const auto c = plane.counters();
  std::printf("out: %" PRIu64 " packets, %" PRIu64 " bytes; in: %" PRIu64 " packets, %" PRIu64 " bytes\n",
              c.packets_out, c.bytes_out, c.packets_in, c.bytes_in);
  std::printf("not ESP %" PRIu64 ", no peer yet %" PRIu64 ", peer moved %" PRIu64 ", not taken by TUN %" PRIu64
              " and outside %" PRIu64 "\n",
              c.not_esp, c.no_peer, c.moves, c.inner_dropped, c.outer_dropped);
  for (std::size_t i = 1; i < static_cast<std::size_t>(esp::Drop::kCount); ++i) {
    const auto drop = static_cast<esp::Drop>(i);
    const std::uint64_t count =
        c.drops[drop] + plane.database().inbound(in_spi)->drops()[drop] + child.outbound()->drops()[drop];
    if (count != 0) std::printf("dropped, %s: %" PRIu64 "\n", std::string(esp::to_string(drop)).c_str(), count);
  }
}

bool read_selectors(const std::vector<std::string>& texts, std::vector<ip::Selector>& out) {
  if (!texts.empty()) out.clear();
  for (const std::string& text : texts) {
    const auto selector = ip::Selector::parse(text);
    if (!selector) {
      std::fprintf(stderr,
                   "esp_tunnel: %s is no selector: ADDRESS, ADDRESS/BITS or ADDRESS-ADDRESS, then perhaps "
                   "[PROTOCOL] or [PROTOCOL/PORT]\n",
                   text.c_str());
      return false;
    }
    out.push_back(*selector);
  }
  return true;
}

// The key material comes from the command line, where other users of the machine can read it: for trials only.
int run(const Parameters& p) {
  const auto local = Endpoint::parse(p.local);
  const auto peer = p.peer.empty() ? std::nullopt : Endpoint::parse(p.peer);
  if (!local || (!p.peer.empty() && !peer)) {
    std::fputs("esp_tunnel: --local and --peer are ADDRESS:PORT, IPv6 in brackets\n", stderr);
    return 2;
  }
  auto out = sa_config(p, p.out_spi, p.out_key, p.out_auth, "outbound");
  auto in = sa_config(p, p.in_spi, p.in_key, p.in_auth, "inbound");
  if (!out || !in) return 2;

  asio::io_context context(1);
  SystemEnvironment system(context.get_executor());
  Environment& env = system;
  auto outbound = esp::OutboundSa::create(*out, env.random);
  auto inbound = esp::InboundSa::create(*in);
  for (const absl::Status& status : {outbound.status(), inbound.status()}) {
    if (!status.ok()) return std::fprintf(stderr, "esp_tunnel: %s\n", std::string(message_of(status)).c_str()), 2;
  }
  esp::ChildConfig config{.path = {.peer = peer}};
  if (!read_selectors(p.here, config.selectors.local) || !read_selectors(p.there, config.selectors.remote)) return 2;
  config.how.mode = p.mode == "transport" ? esp::Mode::kTransport : esp::Mode::kTunnel;
  config.how.local = peer && peer->address.is_v4() ? IpAddress() : local->address;  // for the MTU: of which version
  config.how.remote_port = p.raw ? 0 : local->port;
  const std::size_t mtu = config.path.mtu = esp::inner_mtu(*outbound, config.how, p.mtu);
  SocketResult outer = p.raw ? open_raw(env, {.bind = local->address, .socket = {.mark = p.mark}})
                             : open_udp(env, {.bind = *local, .offload = !p.no_offload, .socket = {.mark = p.mark}});
  TunResult tun =
      open_tun(env, {.name = p.interface, .mtu = static_cast<std::uint16_t>(mtu), .offload = !p.no_offload});
  for (const std::string& what : {outer.what, tun.what}) {
    if (!what.empty()) return std::fprintf(stderr, "esp_tunnel: %s\n", what.c_str()), 1;
  }

  int status = 0;
  asio::signal_set signals(context, SIGINT, SIGTERM);
  TimerPtr timer = env.clock.make_timer();
  tunnel::DataPlane plane(env, std::move(tun.conduit), {.keepalive = std::chrono::seconds(p.keepalive)},
                          [&](std::error_code error) {
                            std::fprintf(stderr, "esp_tunnel: %s\n", error.message().c_str());
                            status = 1;
                            context.stop();
                          });
  using Carrier = tunnel::DataPlane::Carrier;
  config.path.carrier =
      plane.add_carrier(p.raw ? Carrier::kRaw : Carrier::kUdp, std::move(outer.conduit), local->address);
  esp::Child& child = plane.database().add(config);
  child.set_outbound(std::move(*outbound));
  (void)plane.database().add_inbound(child, std::move(*inbound));  // the only one: its SPI is free
  std::printf("%s <-> ESP %s, inner MTU %zu\n", tun.name.c_str(),
              p.raw ? ("at " + local->address.to_string()).c_str() : ("in UDP at " + outer.local.to_string()).c_str(),
              mtu);
  std::fflush(stdout);
  signals.async_wait([&](std::error_code, int) { context.stop(); });
  tunnel::DataPlane::Counters last;
  std::function<void()> every_second = [&] {
    timer->arm(env.clock.now() + std::chrono::seconds(p.statistics), [&] {
      const auto now = plane.counters();
      const auto rate = [&](std::uint64_t a, std::uint64_t b) {
        return static_cast<double>(a - b) * 8e-6 / static_cast<double>(p.statistics);
      };
      if (now.packets_out != last.packets_out || now.packets_in != last.packets_in) {
        std::printf("out %.1f Mbit/s, in %.1f Mbit/s\n", rate(now.bytes_out, last.bytes_out),
                    rate(now.bytes_in, last.bytes_in));
        std::fflush(stdout);
      }
      last = now;
      every_second();
    });
  };
  if (p.statistics != 0) every_second();
  context.run();
  print_counters(plane, child, p.in_spi);
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  Parameters p;
  CLI::App app("IP packets of a TUN interface as ESP (RFC 4303), in UDP (RFC 3948) or by itself, with manual keys.");
  app.add_option("--local", p.local, "UDP address and port of this end")->capture_default_str();
  app.add_flag("--raw", p.raw, "ESP as IP protocol 50, without UDP; ports then mean nothing");
  app.add_option("--mode", p.mode,
                 "tunnel: whole packets; transport: packets between --local and --peer themselves, "
                 "which a routing rule must bring to the interface, but not those with --mark")
      ->check(CLI::IsMember({"tunnel", "transport"}))
      ->capture_default_str();
  app.add_option("--mark", p.mark, "Firewall mark of what goes out");
  app.add_option("--here", p.here,
                 "Selectors of this end's packets, such as 10.0.0.0/8 or 10.0.0.1[tcp/80]; "
                 "default: all");
  app.add_option("--there", p.there, "Selectors of the other end's");
  app.add_option("--peer", p.peer, "The other end's; without it, where the first authentic packet comes from");
  std::vector<std::string> names;
  for (const auto& [name, suite] : kSuites) names.push_back(name);
  app.add_option("--suite", p.suite, "Algorithms")->check(CLI::IsMember(names))->capture_default_str();
  app.add_option("--icv", p.icv, "Bytes of an AEAD's ICV: 8, 12, 16")->capture_default_str();
  app.add_option("--out-spi", p.out_spi, "SPI of what goes out")->required();
  app.add_option("--in-spi", p.in_spi, "SPI of what comes in")->required();
  app.add_option("--out-key", p.out_key, "Encryption key in hex, with the salt of an AEAD behind it");
  app.add_option("--in-key", p.in_key, "The same of the other direction");
  app.add_option("--out-auth", p.out_auth, "Integrity key in hex, where the suite has one");
  app.add_option("--in-auth", p.in_auth, "The same of the other direction");
  app.add_flag("--esn", p.esn, "64-bit sequence numbers (both ends must agree)");
  app.add_option("--replay-window", p.replay_window, "Packets")->capture_default_str();
  app.add_option("--interface", p.interface, "Name of the TUN interface; default: the kernel's choice");
  app.add_option("--mtu", p.mtu, "MTU of the path outside; the interface gets what fits into it")
      ->capture_default_str();
  app.add_option("--keepalive", p.keepalive, "Seconds between NAT keepalives when idle; 0: none")
      ->capture_default_str();
  app.add_option("--statistics", p.statistics, "Seconds between throughput lines; 0: none")->capture_default_str();
  app.add_flag("--no-offload", p.no_offload, "One packet a call: without UDP_SEGMENT, UDP_GRO and TUN offloads");
  CLI11_PARSE(app, argc, argv);
  return run(p);
}
