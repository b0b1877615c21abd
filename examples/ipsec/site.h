// What the client and the gateway have in common: an event loop, a configuration file, the IPsec host that it
// describes, and signals. SIGUSR1 rekeys everything, SIGHUP says that the network has changed, SIGINT and SIGTERM end.
#pragma once

#include <absl/functional/any_invocable.h>
#include <absl/status/statusor.h>
#include <winze/io/callback_conduit.h>
#include <winze/io/system.h>
#include <winze/node/ipsec.h>

#include <CLI/CLI.hpp>
#include <asio/io_context.hpp>
#include <asio/signal_set.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace ipsec_example {

class Site {
 public:
  Site(CLI::App& app, const char* program);

  // Reads the file; `prepare` says what is not in it. Then runs until finish(), and returns its status.
  using Prepare = absl::AnyInvocable<void(winze::node::IpsecOptions&, winze::node::IpsecSettings&)>;
  int run(Prepare prepare, absl::AnyInvocable<void(const winze::ike::Event&)> on_event = nullptr);
  // Closes the tunnels in order, and then ends.
  void finish(int status);

  // Packets of the program's own, in place of a TUN interface: for `prepare`.
  winze::ConduitPtr packets(absl::AnyInvocable<void(std::span<winze::Datagram>)> on_packets);
  winze::PacketFeed& feed() { return *feed_; }

  winze::Environment& environment() { return environment_; }
  winze::node::Ipsec& ipsec() { return *ipsec_; }

 private:
  absl::Status start(Prepare prepare, absl::AnyInvocable<void(const winze::ike::Event&)> on_event);
  void wait_for_signal();

  const char* program_;
  std::string file_, key_log_, interface_;
  std::optional<std::uint16_t> port_, nat_port_;
  asio::io_context context_{1};
  winze::SystemEnvironment system_{context_.get_executor()};
  winze::Environment& environment_ = system_;
  asio::signal_set signals_{context_, SIGINT, SIGTERM, SIGHUP};
  std::optional<winze::PacketFeed> feed_;
  std::unique_ptr<winze::node::Ipsec> ipsec_;
  bool finishing_ = false;
  int status_ = 0;
};

}  // namespace ipsec_example
