// A tunnel with manual keys: IP packets of a TUN interface travel as ESP: in UDP, in TCP or any proxy chain, or by
// itself. Both ends run this, each with the other's keys and SPIs; or one end is a Linux kernel's `ip xfrm`.
//
// The key material comes from the command line, where other users of the machine can read it: for trials only.
#include <winze/base/status.h>

#include <CLI/CLI.hpp>
#include <asio/signal_set.hpp>
#include <asio/steady_timer.hpp>
#include <cinttypes>
#include <csignal>
#include <cstdio>
#include <thread>

#include "worker.h"

namespace esp_tunnel {
namespace {

using namespace winze;

class Tunnel {
 public:
  explicit Tunnel(const Parameters& parameters) : p_(parameters) {}

  int run() {
    std::string interface = p_.interface;
    for (unsigned i = 0; i < p_.threads; ++i) {
      workers_.push_back(std::make_unique<Worker>(p_, i, workers_, [this](const std::string& why) {
        std::fprintf(stderr, "esp_tunnel: %s\n", why.c_str());
        status_ = 1;
        stop();
      }));
    }
    for (const auto& worker : workers_) {
      if (const absl::Status status = worker->open(interface); !status.ok()) {
        std::fprintf(stderr, "esp_tunnel: %s\n", std::string(message_of(status)).c_str());
        return status.code() == absl::StatusCode::kInvalidArgument ? 2 : 1;
      }
    }
    Worker& first = *workers_.front();
    std::printf("%s <-> ESP %s, inner MTU %zu\n", interface.c_str(), first.way().c_str(), first.inner_mtu());
    std::fflush(stdout);
    asio::signal_set signals(first.context(), SIGINT, SIGTERM);
    signals.async_wait([this](std::error_code, int) { stop(); });
    if (p_.statistics != 0) print_rates(first);
    std::vector<std::thread> threads;
    for (unsigned i = 1; i < p_.threads; ++i) threads.emplace_back([this, i] { workers_[i]->run(); });
    first.run();
    for (std::thread& thread : threads) thread.join();
    print_counters();
    return status_;
  }

 private:
  void stop() {
    for (const auto& worker : workers_) worker->context().stop();
  }

  void print_rates(Worker& first) {
    rates_ = std::make_unique<asio::steady_timer>(first.context(), std::chrono::seconds(p_.statistics));
    rates_->async_wait([this, &first](std::error_code error) {
      if (error) return;
      std::uint64_t out = 0, in = 0;
      for (const auto& worker : workers_) out += worker->bytes_out(), in += worker->bytes_in();
      if (out != last_out_ || in != last_in_) {
        const auto rate = [&](std::uint64_t bytes) { return static_cast<double>(bytes) * 8e-6 / p_.statistics; };
        std::printf("out %.1f Mbit/s, in %.1f Mbit/s\n", rate(out - last_out_), rate(in - last_in_));
        std::fflush(stdout);
      }
      last_out_ = out, last_in_ = in;
      print_rates(first);
    });
  }

  void print_counters() {
    for (std::size_t i = 0; i < workers_.size(); ++i) {
      const tunnel::DataPlane::Counters c = workers_[i]->counters();
      if (workers_.size() > 1) std::printf("thread %zu: ", i);
      std::printf("out: %" PRIu64 " packets, %" PRIu64 " bytes; in: %" PRIu64 " packets, %" PRIu64 " bytes\n",
                  c.packets_out, c.bytes_out, c.packets_in, c.bytes_in);
      std::printf("not ESP %" PRIu64 ", no peer yet %" PRIu64 ", peer moved %" PRIu64 ", path MTU learnt %" PRIu64
                  " and refused %" PRIu64 ", not taken by TUN %" PRIu64 " and outside %" PRIu64 "\n",
                  c.not_esp, c.no_peer, c.moves, c.path_mtus, c.path_mtus_refused, c.inner_dropped, c.outer_dropped);
    }
    for (std::size_t i = 1; i < static_cast<std::size_t>(esp::Drop::kCount); ++i) {
      const auto drop = static_cast<esp::Drop>(i);
      std::uint64_t count = 0;
      for (const auto& worker : workers_) count += worker->drops(drop);
      if (count != 0) std::printf("dropped, %s: %" PRIu64 "\n", std::string(esp::to_string(drop)).c_str(), count);
    }
  }

  const Parameters& p_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::unique_ptr<asio::steady_timer> rates_;
  std::uint64_t last_out_ = 0, last_in_ = 0;
  std::atomic<int> status_{0};
};

std::string check(const Parameters& p) {
  if (p.raw && p.tcp) return "--raw and --tcp exclude each other";
  if (p.tcp && !p.chain.empty() && p.peer.empty()) return "--chain needs --peer, whom it leads to";
  if (p.threads > 1 && (p.raw || p.tcp)) return "--threads is for UDP";
  for (const auto* keys : {&p.out_keys, &p.in_keys, &p.out_auths, &p.in_auths}) {
    if (!keys->empty() && keys->size() != p.threads) {
      return "as many keys as threads are wanted, separated by commas: no two SAs may have one key";
    }
  }
  return {};
}

}  // namespace
}  // namespace esp_tunnel

int main(int argc, char** argv) {
  esp_tunnel::Parameters p;
  CLI::App app(
      "IP packets of a TUN interface as ESP (RFC 4303), in UDP (RFC 3948), in TCP (RFC 9329) or by itself, with manual "
      "keys.");
  auto* way = app.add_option_group("The way out");
  way->add_option("--local", p.local, "Address and port of this end")->capture_default_str();
  way->add_option("--peer", p.peer, "The other end's; without it, where the first authentic packet comes from");
  way->add_flag("--raw", p.raw, "ESP as IP protocol 50, without UDP; ports then mean nothing");
  way->add_flag("--tcp", p.tcp,
                "ESP in TCP: dials --peer, and again when the stream ends, or takes streams at --local");
  way->add_option("--chain", p.chain,
                  "V2Ray configuration whose first outbound leads to --peer: ESP in TCP through a proxy chain");
  way->add_option("--mark", p.mark, "Firewall mark of what goes out");
  way->add_option("--mtu", p.mtu, "MTU of the path outside; the interface gets what fits into it (TCP: all of it)")
      ->check(CLI::Range(576, 65535))
      ->capture_default_str();
  way->add_option("--keepalive", p.keepalive, "Seconds between NAT keepalives when idle; 0: none")
      ->capture_default_str();

  auto* associations = app.add_option_group("The security associations");
  associations->add_option("--suite", p.suite, "Algorithms")
      ->check(CLI::IsMember(esp_tunnel::suite_names()))
      ->capture_default_str();
  associations->add_option("--icv", p.icv, "Bytes of an AEAD's ICV: 8, 12, 16")->capture_default_str();
  associations->add_option("--out-spi", p.out_spi, "SPI of what goes out")->required();
  associations->add_option("--in-spi", p.in_spi, "SPI of what comes in")->required();
  associations->add_option("--out-key", p.out_keys, "Encryption key in hex, with the salt of an AEAD behind it")
      ->delimiter(',');
  associations->add_option("--in-key", p.in_keys, "The same of the other direction")->delimiter(',');
  associations->add_option("--out-auth", p.out_auths, "Integrity key in hex, where the suite has one")->delimiter(',');
  associations->add_option("--in-auth", p.in_auths, "The same of the other direction")->delimiter(',');
  associations->add_flag("--legacy", p.legacy, "Allow algorithms that are no longer safe");
  associations->add_flag("--esn", p.esn, "64-bit sequence numbers (both ends must agree)");
  associations->add_option("--replay-window", p.replay_window, "Packets")->capture_default_str();
  associations
      ->add_option("--mode", p.mode,
                   "tunnel: whole packets; transport: packets between --local and --peer themselves, which a routing "
                   "rule must bring to the interface, but not those with --mark")
      ->check(CLI::IsMember({"tunnel", "transport"}))
      ->capture_default_str();
  associations->add_option("--here", p.here,
                           "Selectors of this end's packets, such as 10.0.0.0/8 or 10.0.0.1[tcp/80]; default: all");
  associations->add_option("--there", p.there, "Selectors of the other end's");

  auto* interface = app.add_option_group("The interface");
  interface->add_option("--interface", p.interface, "Its name; default: the kernel's choice");
  interface->add_option("--address", p.addresses, "ADDRESS/BITS to give it");
  interface->add_option("--route", p.routes, "ADDRESS/BITS to route to it");
  interface->add_flag("--no-offload", p.no_offload, "One packet a call: without UDP_SEGMENT, UDP_GRO and TUN offloads");
  app.add_option(
         "--threads", p.threads,
         "Threads, each with a queue of the interface and SAs of its own (RFC 9611), on the SPIs from --out-spi "
         "and --in-spi on; each of the key options then has as many keys, separated by commas")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app.add_option("--statistics", p.statistics, "Seconds between throughput lines; 0: none")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  p.tcp = p.tcp || !p.chain.empty();
  if (const std::string what = esp_tunnel::check(p); !what.empty()) {
    std::fprintf(stderr, "esp_tunnel: %s\n", what.c_str());
    return 2;
  }
  return esp_tunnel::Tunnel(p).run();
}
