#include "winze/node/plugins.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <list>
#include <utility>

#include "winze/base/status.h"
#include "winze/io/child_process.h"

namespace winze::node {
namespace {

constexpr Duration kRest = std::chrono::seconds(1);

// One that is free now: SIP003 knows no other way.
std::optional<Endpoint> free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return std::nullopt;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  const bool bound = ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
                     ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  ::close(fd);
  if (!bound) return std::nullopt;
  return Endpoint{*IpAddress::parse("127.0.0.1"), ntohs(address.sin_port)};
}

absl::Status invalid(const std::string& where, std::string_view message) {
  return absl::InvalidArgumentError(where + ".settings.plugin: " + std::string(message));
}

// A plugin is a transport of its own.
absl::Status check(const std::string& path, const StreamSettings& stream) {
  const bool plain = stream.network == StreamSettings::Network::kTcp && !stream.tls;
  return plain ? absl::OkStatus() : invalid(path, "a plugin takes the place of streamSettings' network and security");
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Plugins>> Plugins::create(const NodeOptions& options) {
  auto out = std::make_shared<Plugins>();
  const auto add = [&](const auto& place, const Plugin& plugin, std::string host, std::uint16_t port,
                       std::optional<Endpoint>& local) {
    if (absl::Status status = check(place.path, place.stream); !status.ok()) return status;
    local = free_port();
    if (!local) return invalid(place.path, "there is no free port for it on 127.0.0.1");
    out->programs_.push_back({place.path, plugin, std::move(host), port, *local});
    return absl::OkStatus();
  };
  for (const InboundOptions& inbound : options.inbounds) {
    std::optional<Endpoint>& local = out->inbounds_.emplace_back();
    const auto* settings = std::get_if<ShadowsocksInbound>(&inbound.settings);
    if (settings == nullptr || settings->plugin.program.empty()) continue;
    if (!IpAddress::parse(inbound.listen) || inbound.port_from != inbound.port_to) {
      return invalid(inbound.path, "a plugin listens on one IP address and port");
    }
    if (absl::Status s = add(inbound, settings->plugin, inbound.listen, inbound.port_from, local); !s.ok()) return s;
  }
  for (const OutboundOptions& outbound : options.outbounds) {
    std::optional<Endpoint>& local = out->outbounds_.emplace_back();
    const auto* settings = std::get_if<ShadowsocksOutbound>(&outbound.settings);
    if (settings == nullptr || settings->plugin.program.empty()) continue;
    if (!outbound.proxy_tag.empty()) return invalid(outbound.path, "a plugin dials by itself, not through an outbound");
    const Destination& server = settings->server;
    if (absl::Status s = add(outbound, settings->plugin, server.host_text(), server.port, local); !s.ok()) return s;
  }
  return out;
}

class Plugins::Runner final : public Running {
 public:
  Runner(Environment& environment, Log& log, const std::vector<Program>& programs)
      : environment_(environment), log_(log) {
    for (const Program& program : programs) {
      programs_.push_back({.program = program, .child = nullptr, .timer = environment.clock.make_timer()});
    }
  }

  absl::Status start() {
    for (Entry& entry : programs_) {
      if (std::string failure = begin(entry); !failure.empty()) return invalid(entry.program.path, failure);
    }
    return absl::OkStatus();
  }

 private:
  struct Entry {
    Program program;
    std::unique_ptr<ChildProcess> child;
    TimerPtr timer;
  };

  // Why it could not; empty when it runs.
  std::string begin(Entry& entry) {
    const Program& p = entry.program;
    ChildOptions options{.program = p.plugin.program,
                         .arguments = p.plugin.arguments,
                         .environment = {{"SS_REMOTE_HOST", p.remote_host},
                                         {"SS_REMOTE_PORT", std::to_string(p.remote_port)},
                                         {"SS_LOCAL_HOST", p.local.address.to_string()},
                                         {"SS_LOCAL_PORT", std::to_string(p.local.port)}}};
    if (!p.plugin.options.empty()) options.environment.emplace_back("SS_PLUGIN_OPTIONS", p.plugin.options);
    ChildResult result = start_child(environment_, options, [this, &entry](std::string_view how) {
      report(entry, how);
      rest(entry);
    });
    entry.child = std::move(result.child);
    return entry.child ? std::string() : "cannot run \"" + p.plugin.program + "\": " + result.failure;
  }

  void rest(Entry& entry) {
    entry.timer->arm(environment_.clock.now() + kRest, [this, &entry] {
      const std::string failure = begin(entry);
      if (failure.empty()) return;
      report(entry, failure);
      rest(entry);
    });
  }

  void report(const Entry& entry, std::string_view what) {
    log_.message(Severity::kError, entry.program.path + ": the plugin \"" + entry.program.plugin.program + "\" " +
                                       std::string(what) + "; it is begun again");
  }

  Environment& environment_;
  Log& log_;
  std::list<Entry> programs_;
};

absl::StatusOr<std::unique_ptr<Plugins::Running>> Plugins::run(Environment& environment, Log& log) const {
  auto runner = std::make_unique<Runner>(environment, log, programs_);
  if (absl::Status status = runner->start(); !status.ok()) return status;
  return runner;
}

}  // namespace winze::node
