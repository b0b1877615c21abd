#include "transports.h"

#include <asio/post.hpp>
#include <string>
#include <utility>
#include <vector>

#include "winze/base/error.h"
#include "winze/base/status.h"
#include "winze/layer/client.h"

namespace winze::node {
namespace {

// As V2Ray has it: the server as it is configured, without the port where it is HTTP's or HTTPS's own.
std::string host_field(const std::string& configured, const Destination& server) {
  if (!configured.empty()) return configured;
  std::string host = server.to_string();
  if (server.port == 80 || server.port == 443) host.resize(host.rfind(':'));
  return host;
}

std::vector<http::Field> to_fields(const std::vector<std::pair<std::string, std::string>>& headers) {
  std::vector<http::Field> out;
  for (const auto& [name, value] : headers) out.push_back({name, value});
  return out;
}

absl::Status at(const OutboundOptions& outbound, std::string_view settings, const absl::Status& status) {
  return absl::InvalidArgumentError(outbound.path + ".streamSettings." + std::string(settings) + ": " +
                                    std::string(message_of(status)));
}

absl::StatusOr<DialerPtr> over_ws(Environment& environment, const OutboundOptions& outbound, const Destination& server,
                                  DialerPtr below) {
  const WebSocketOptions& o = outbound.stream.ws;
  const bool xray = o.early_data_header == ws::kProtocolField;
  ws::ClientOptions client{.host = host_field(o.host, server),
                           .path = o.path,
                           .fields = to_fields(o.headers),
                           .early_data = {.max = o.early_data, .field = o.early_data_header, .all_or_nothing = xray},
                           .ending = o.half_close ? ws::Ending::kHalf : ws::Ending::kBoth};
  if (const absl::Status status = ws::validate(client); !status.ok()) return at(outbound, "wsSettings", status);
  return ws::client(std::move(client))(environment, std::move(below));
}

absl::StatusOr<DialerPtr> over_http_upgrade(Environment& environment, const OutboundOptions& outbound,
                                            const Destination& server, DialerPtr below) {
  const HttpUpgradeOptions& o = outbound.stream.http_upgrade;
  httpupgrade::ClientOptions client{.host = host_field(o.host, server), .path = o.path, .fields = to_fields(o.headers)};
  if (const absl::Status status = httpupgrade::validate(client); !status.ok()) {
    return at(outbound, "httpupgradeSettings", status);
  }
  return httpupgrade::client(std::move(client))(environment, std::move(below));
}

// Puts the transports around each connection as it is dialed.
class TransportDialer final : public Dialer {
 public:
  TransportDialer(Environment& environment, const OutboundOptions& outbound,
                  std::shared_ptr<tls::ClientContext> context, DialerPtr below)
      : environment_(environment), outbound_(outbound), context_(std::move(context)), below_(std::move(below)) {}

  Pending dial(const Destination& destination, Handler handler) override {
    auto layers = over_transports(environment_, outbound_, context_, destination, below_);
    if (!layers.ok()) {  // a name that no Host header can hold
      asio::post(environment_.executor,
                 [handler = std::move(handler)]() mutable { handler(Errc::kUnsupported, nullptr); });
      return {};
    }
    return (*layers)->dial(destination,
                           [layers = *layers, handler = std::move(handler)](DialError error, StreamPtr stream) mutable {
                             handler(std::move(error), std::move(stream));
                           });
  }
  const Executor& executor() const override { return environment_.executor; }

 private:
  Environment& environment_;
  const OutboundOptions& outbound_;
  std::shared_ptr<tls::ClientContext> context_;
  DialerPtr below_;
};

}  // namespace

absl::StatusOr<DialerPtr> over_transports(Environment& environment, const OutboundOptions& outbound,
                                          std::shared_ptr<tls::ClientContext> context, const Destination& server,
                                          DialerPtr below) {
  if (context) {
    std::string name = outbound.stream.tls->server_name;
    if (name.empty()) name = server.host_text();
    below = tls::client(std::move(context), std::move(name))(environment, std::move(below));
  }
  switch (outbound.stream.network) {
    case StreamSettings::Network::kTcp:
      return below;
    case StreamSettings::Network::kWebSocket:
      return over_ws(environment, outbound, server, std::move(below));
    case StreamSettings::Network::kHttpUpgrade:
      return over_http_upgrade(environment, outbound, server, std::move(below));
  }
  return below;
}

absl::StatusOr<DialerPtr> over_transports(Environment& environment, const OutboundOptions& outbound,
                                          std::shared_ptr<tls::ClientContext> context, DialerPtr below) {
  if (!context && outbound.stream.network == StreamSettings::Network::kTcp) return below;
  // Whatever is wrong with the settings shows with any server.
  auto probe = over_transports(environment, outbound, context, Destination("server.example", 443), below);
  if (!probe.ok()) return probe.status();
  return std::make_shared<TransportDialer>(environment, outbound, std::move(context), std::move(below));
}

bool fits_vision(const StreamSettings& stream) {
  return stream.tls.has_value() && stream.network == StreamSettings::Network::kTcp;
}

}  // namespace winze::node
