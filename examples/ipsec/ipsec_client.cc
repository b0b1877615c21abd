// An IPsec client: connects to a gateway as swanctl.conf (or the "ipsec" section of winze's JSON) says, and carries the
// packets of a TUN interface; or, with --once, asks a host behind the gateway for an echo, without any interface.
//
// SIGUSR1 rekeys everything, SIGHUP says that the network has changed, SIGINT and SIGTERM end.
#include <winze/base/status.h>
#include <winze/io/callback_conduit.h>
#include <winze/io/system.h>
#include <winze/node/ipsec.h>

#include <CLI/CLI.hpp>
#include <asio/io_context.hpp>
#include <asio/signal_set.hpp>
#include <cinttypes>
#include <csignal>
#include <cstdio>
#include <memory>
#include <optional>

#include "echo.h"
#include "load.h"

namespace ipsec_example {
namespace {

using namespace winze;

struct Arguments {
  std::string file, connection, once, key_log, interface;
  std::optional<std::uint16_t> port, nat_port;
  unsigned seconds = 10;
};

class Client {
 public:
  explicit Client(const Arguments& arguments) : arguments_(arguments) {}

  int run() {
    if (absl::Status status = start(); !status.ok()) {
      std::fprintf(stderr, "ipsec_client: %s\n", std::string(message_of(status)).c_str());
      return 1;
    }
    signals_.add(SIGUSR1);
    signals_.async_wait([this](std::error_code error, int signal) { on_signal(error, signal); });
    context_.run();
    return status_;
  }

 private:
  absl::Status start() {
    auto options = load(arguments_.file);
    if (!options.ok()) return options.status();
    node::IpsecOptions& ipsec = options->ipsec;
    if (!arguments_.key_log.empty()) ipsec.key_log_file = arguments_.key_log;
    if (!arguments_.interface.empty()) ipsec.interface = arguments_.interface;
    node::IpsecSettings settings{
        .port = arguments_.port,
        .nat_port = arguments_.nat_port,
        .initiate = arguments_.connection.empty() ? ipsec.connections.front().name : arguments_.connection,
        .respond = false,
        .keep = arguments_.once.empty()};
    if (!arguments_.once.empty()) {
      auto pair = make_callback_conduit(environment_, {}, [this](std::span<Datagram> packets) { on_packets(packets); });
      settings.inner = std::move(pair.conduit);
      feed_.emplace(std::move(pair.feed));
      timer_->arm(environment_.clock.now() + std::chrono::seconds(arguments_.seconds), [this] {
        std::printf("no echo from %s within %u s\n", arguments_.once.c_str(), arguments_.seconds);
        finish(1);
      });
    }
    auto made = node::Ipsec::create(environment_, ipsec, std::move(settings),
                                    {.on_event = [this](const ike::Event& event) { on_event(event); },
                                     .on_message =
                                         [](Severity, std::string_view text) {
                                           std::printf("%.*s\n", static_cast<int>(text.size()), text.data());
                                           std::fflush(stdout);
                                         },
                                     .on_end = [this] { finish(1); }});
    if (!made.ok()) return made.status();
    ipsec_ = std::move(*made);
    return absl::OkStatus();
  }

  void on_signal(std::error_code error, int signal) {
    if (error) return;
    if (signal == SIGUSR1) {
      (void)ipsec_->rekey_all();
    } else if (signal == SIGHUP) {
      ipsec_->host().on_network_changed();
    } else {
      return finish(0);
    }
    signals_.async_wait([this](std::error_code e, int s) { on_signal(e, s); });
  }

  void on_event(const ike::Event& event) {
    if (const auto* up = std::get_if<ike::Up>(&event)) configuration_ = up->configuration;
    const auto* child = std::get_if<ike::ChildUp>(&event);
    if (child != nullptr && feed_) ping(child->selectors);
  }

  // From an address of ours that the child takes.
  void ping(const ip::SelectorPair& selectors) {
    const auto to = IpAddress::parse(arguments_.once);
    if (!to) return;
    for (const ip::Selector& local : selectors.local) {
      if (local.first.is_v6() != to->is_v6()) continue;
      IpAddress from = local.first;
      for (const Prefix& own : configuration_.addresses) {
        if (local.covers(own.address)) from = own.address;
      }
      Buffer packet = make_echo_request(from, *to, 1, 56);
      sent_ = environment_.clock.now();
      feed_->deliver(std::span(&packet, 1));
      return;
    }
    std::printf("the tunnel has no traffic selectors of %s's IP version\n", arguments_.once.c_str());
    finish(1);
  }

  void on_packets(std::span<Datagram> packets) {
    for (const Datagram& packet : packets) {
      if (!echo_reply_of(packet.payload)) continue;
      const auto took = std::chrono::duration<double, std::milli>(environment_.clock.now() - sent_);
      std::printf("echo from %s in %.1f ms\n", arguments_.once.c_str(), took.count());
      return finish(0);
    }
  }

  void finish(int status) {
    if (std::exchange(finishing_, true)) return;
    status_ = status;
    timer_->disarm();
    if (!ipsec_) return signals_.cancel(), context_.stop();
    ipsec_->stop(std::chrono::seconds(3), [this] { context_.stop(); });
  }

  const Arguments& arguments_;
  asio::io_context context_{1};
  SystemEnvironment system_{context_.get_executor()};
  Environment& environment_ = system_;
  asio::signal_set signals_{context_, SIGINT, SIGTERM, SIGHUP};
  TimerPtr timer_ = environment_.clock.make_timer();
  ike::Configuration configuration_;
  std::optional<PacketFeed> feed_;
  std::unique_ptr<node::Ipsec> ipsec_;
  TimePoint sent_{};
  bool finishing_ = false;
  int status_ = 0;
};

}  // namespace
}  // namespace ipsec_example

int main(int argc, char** argv) {
  ipsec_example::Arguments arguments;
  CLI::App app("Connects to an IKEv2 gateway.");
  app.add_option("-c,--config", arguments.file, "swanctl.conf, or winze's JSON (*.json) with an \"ipsec\" section")
      ->required();
  app.add_option("--connection", arguments.connection, "Which of its connections; the first by default");
  app.add_option("--once", arguments.once,
                 "Ask this address for an echo, print the answer, and end; needs no privileges");
  app.add_option("--seconds", arguments.seconds, "How long --once waits")->capture_default_str();
  app.add_option("--interface", arguments.interface, "Name of the TUN interface");
  app.add_option("--port", arguments.port, "Local port for IKE; any by default");
  app.add_option("--nat-port", arguments.nat_port, "Local port for IKE and ESP; any by default");
  app.add_option("--key-log", arguments.key_log, "Write the keys of IKE, for Wireshark's ikev2_decryption_table");
  CLI11_PARSE(app, argc, argv);
  return ipsec_example::Client(arguments).run();
}
