// An IPsec gateway: takes the clients that swanctl.conf (or the "ipsec" section of winze's JSON) says, and carries
// their packets to and from a TUN interface; or, with --echo, answers their pings itself, without any interface.
//
// SIGUSR1 rekeys everything, SIGINT and SIGTERM end.
#include <winze/base/status.h>
#include <winze/io/callback_conduit.h>
#include <winze/io/system.h>
#include <winze/node/ipsec.h>

#include <CLI/CLI.hpp>
#include <asio/io_context.hpp>
#include <asio/signal_set.hpp>
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
  std::string file, key_log, interface;
  std::optional<std::uint16_t> port, nat_port;
  bool echo = false;
};

class Gateway {
 public:
  explicit Gateway(const Arguments& arguments) : arguments_(arguments) {}

  int run() {
    if (absl::Status status = start(); !status.ok()) {
      std::fprintf(stderr, "ipsec_gateway: %s\n", std::string(message_of(status)).c_str());
      return 1;
    }
    std::printf("listening at %s and %s\n", ipsec_->host().local().to_string().c_str(),
                ipsec_->host().nat_local().to_string().c_str());
    std::fflush(stdout);
    wait_for_signal();
    context_.run();
    return 0;
  }

 private:
  absl::Status start() {
    auto options = load(arguments_.file);
    if (!options.ok()) return options.status();
    node::IpsecOptions& ipsec = options->ipsec;
    if (!arguments_.key_log.empty()) ipsec.key_log_file = arguments_.key_log;
    if (!arguments_.interface.empty()) ipsec.interface = arguments_.interface;
    node::IpsecSettings settings{.port = arguments_.port, .nat_port = arguments_.nat_port};
    if (arguments_.echo) {
      auto pair = make_callback_conduit(environment_, {}, [this](std::span<Datagram> packets) {
        for (Datagram& packet : packets) {
          if (answer_echo(packet.payload)) feed_->deliver(std::span(&packet.payload, 1));
        }
      });
      settings.inner = std::move(pair.conduit);
      feed_.emplace(std::move(pair.feed));
    }
    auto made = node::Ipsec::create(environment_, ipsec, std::move(settings),
                                    {.on_message =
                                         [](Severity, std::string_view text) {
                                           std::printf("%.*s\n", static_cast<int>(text.size()), text.data());
                                           std::fflush(stdout);
                                         },
                                     .on_end = nullptr});
    if (!made.ok()) return made.status();
    ipsec_ = std::move(*made);
    return absl::OkStatus();
  }

  void wait_for_signal() {
    signals_.async_wait([this](std::error_code error, int signal) {
      if (error) return;
      if (signal != SIGUSR1) return ipsec_->stop(std::chrono::seconds(3), [this] { context_.stop(); });
      (void)ipsec_->rekey_all();
      wait_for_signal();
    });
  }

  const Arguments& arguments_;
  asio::io_context context_{1};
  SystemEnvironment system_{context_.get_executor()};
  Environment& environment_ = system_;
  asio::signal_set signals_{context_, SIGINT, SIGTERM, SIGUSR1};
  std::optional<PacketFeed> feed_;
  std::unique_ptr<node::Ipsec> ipsec_;
};

}  // namespace
}  // namespace ipsec_example

int main(int argc, char** argv) {
  ipsec_example::Arguments arguments;
  CLI::App app("Serves IKEv2 clients.");
  app.add_option("-c,--config", arguments.file, "swanctl.conf, or winze's JSON (*.json) with an \"ipsec\" section")
      ->required();
  app.add_flag("--echo", arguments.echo, "Answer pings, and nothing else; needs no privileges");
  app.add_option("--interface", arguments.interface, "Name of the TUN interface");
  app.add_option("--port", arguments.port, "Local port for IKE; 500 by default");
  app.add_option("--nat-port", arguments.nat_port, "Local port for IKE and ESP; 4500 by default");
  app.add_option("--key-log", arguments.key_log, "Write the keys of IKE, for Wireshark's ikev2_decryption_table");
  CLI11_PARSE(app, argc, argv);
  return ipsec_example::Gateway(arguments).run();
}
