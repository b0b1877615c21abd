// A client's streamSettings, as layers over a dialer.
#pragma once

#include <absl/status/statusor.h>

#include <memory>

#include "winze/io/dialer.h"
#include "winze/layer/tls.h"
#include "winze/node/options.h"

namespace winze::node {

// TLS and the network of `outbound` over `below`, which connects to `server`: that gives the names which the settings
// leave open. `context`: null without TLS. Errors begin with the path in the configuration.
absl::StatusOr<DialerPtr> over_transports(Environment& environment, const OutboundOptions& outbound,
                                          std::shared_ptr<tls::ClientContext> context, const Destination& server,
                                          DialerPtr below);

// The same for an outbound without a server: what is dialed gives the names. It opens no conduits unless there is
// nothing to put around `below`: datagrams would go without the protection that the configuration asks for. `outbound`
// must outlive the dialer.
absl::StatusOr<DialerPtr> over_transports(Environment& environment, const OutboundOptions& outbound,
                                          std::shared_ptr<tls::ClientContext> context, DialerPtr below);

// Whether the flow xtls-rprx-vision, which leaves TLS for the connection below, can run over these.
bool fits_vision(const StreamSettings& stream);
inline constexpr std::string_view kVisionNeeds =
    "\"xtls-rprx-vision\" needs the security \"tls\" on the network \"tcp\"";

}  // namespace winze::node
