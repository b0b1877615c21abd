#include "site.h"

#include <winze/base/status.h>

#include <csignal>
#include <cstdio>
#include <utility>

#include "load.h"

namespace ipsec_example {

using namespace winze;

Site::Site(CLI::App& app, const char* program) : program_(program) {
  app.add_option("-c,--config", file_, "swanctl.conf, or winze's JSON (*.json) with an \"ipsec\" section")->required();
  app.add_option("--interface", interface_, "Name of the TUN interface");
  app.add_option("--port", port_, "Local port for IKE; 500 by default, of a client any");
  app.add_option("--nat-port", nat_port_, "Local port for IKE and ESP; 4500 by default, of a client any");
  app.add_option("--key-log", key_log_, "Write the keys of IKE, for Wireshark's ikev2_decryption_table");
}

int Site::run(Prepare prepare, absl::AnyInvocable<void(const ike::Event&)> on_event) {
  if (absl::Status status = start(std::move(prepare), std::move(on_event)); !status.ok()) {
    std::fprintf(stderr, "%s: %s\n", program_, std::string(message_of(status)).c_str());
    return 1;
  }
  signals_.add(SIGUSR1);
  wait_for_signal();
  context_.run();
  return status_;
}

absl::Status Site::start(Prepare prepare, absl::AnyInvocable<void(const ike::Event&)> on_event) {
  auto options = load(file_);
  if (!options.ok()) return options.status();
  node::IpsecOptions& ipsec = options->ipsec;
  if (!key_log_.empty()) ipsec.key_log_file = key_log_;
  if (!interface_.empty()) ipsec.interface = interface_;
  node::IpsecSettings settings{.port = port_, .nat_port = nat_port_};
  prepare(ipsec, settings);
  const bool responds = settings.respond;
  auto made = node::Ipsec::create(environment_, ipsec, std::move(settings),
                                  {.on_event = std::move(on_event),
                                   .on_message =
                                       [](Severity, std::string_view text) {
                                         std::printf("%.*s\n", static_cast<int>(text.size()), text.data());
                                         std::fflush(stdout);
                                       },
                                   .on_end = [this] { finish(1); }});
  if (!made.ok()) return made.status();
  ipsec_ = std::move(*made);
  if (responds) {
    std::printf("listening at %s and %s\n", ipsec_->host().local().to_string().c_str(),
                ipsec_->host().nat_local().to_string().c_str());
    std::fflush(stdout);
  }
  return absl::OkStatus();
}

ConduitPtr Site::packets(absl::AnyInvocable<void(std::span<Datagram>)> on_packets) {
  auto pair = make_callback_conduit(environment_, {}, std::move(on_packets));
  feed_.emplace(std::move(pair.feed));
  return std::move(pair.conduit);
}

void Site::wait_for_signal() {
  signals_.async_wait([this](std::error_code error, int signal) {
    if (error) return;
    if (signal == SIGUSR1) {
      (void)ipsec_->rekey_all();
    } else if (signal == SIGHUP) {
      ipsec_->host().on_network_changed();
    } else {
      return finish(0);
    }
    wait_for_signal();
  });
}

void Site::finish(int status) {
  if (std::exchange(finishing_, true)) return;
  status_ = status;
  if (!ipsec_) return signals_.cancel(), context_.stop();
  ipsec_->stop(std::chrono::seconds(3), [this] { context_.stop(); });
}

}  // namespace ipsec_example
