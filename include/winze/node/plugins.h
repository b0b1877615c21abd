// SIP003 plugins: programs that carry the TCP connections of Shadowsocks, one for each inbound or outbound that names
// one.
//
//   outbound   we dial 127.0.0.1:P  ->  plugin  ~~>  the server            SS_LOCAL_*  127.0.0.1:P   SS_REMOTE_*  the
//   server inbound    the inbound's address and port  <~~  plugin  ->  127.0.0.1:P, where we listen
//              SS_REMOTE_*  the inbound's    SS_LOCAL_*  127.0.0.1:P
//
// Datagrams do not go through them. Connections of an inbound with one come from the loopback address.
#pragma once

#include <absl/status/statusor.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "winze/base/address.h"
#include "winze/io/environment.h"
#include "winze/node/log.h"
#include "winze/node/options.h"

namespace winze::node {

// Where they listen is shared by the instances of a node; one of them runs the programs.
class Plugins {
 public:
  // Chooses a free port for each. Errors begin with the path in the configuration.
  static absl::StatusOr<std::shared_ptr<const Plugins>> create(const NodeOptions& options);

  // P above, by the place in NodeOptions; none without a plugin.
  const std::optional<Endpoint>& inbound(std::size_t index) const { return inbounds_[index]; }
  const std::optional<Endpoint>& outbound(std::size_t index) const { return outbounds_[index]; }

  // Runs them until it is destroyed. What ends by itself is logged, and a second later begun again.
  class Running {
   public:
    virtual ~Running() = default;
  };
  // Fails when one cannot be begun.
  absl::StatusOr<std::unique_ptr<Running>> run(Environment& environment, Log& log) const;

 private:
  struct Program {
    std::string path;  // in the configuration
    Plugin plugin;
    std::string remote_host;
    std::uint16_t remote_port = 0;
    Endpoint local;
  };
  class Runner;
  std::vector<std::optional<Endpoint>> inbounds_, outbounds_;
  std::vector<Program> programs_;
};

}  // namespace winze::node
