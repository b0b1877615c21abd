// Sub-connections of a carrier (multiplexing), and the carrier itself.
#pragma once

#include "winze/chain/session.h"
#include "winze/proto/mux/session.h"

namespace winze::chain {

// Whether a connection to `destination` is a carrier. Within another one it is refused.
bool is_carrier(const Destination& destination);

// Serves the sub-streams of `stream`, each as a connection of its own: with its route, its policy's timers, its record.
// `carrier` is what is known of the connection that carries them, `request` what its client has asked for. `done` is
// called with the carrier's error, none where it ended in order, when the last of them has ended. Dropping the Pending
// ends them all.
Pending serve_carrier(Environment& environment, const std::shared_ptr<const Inbound>& inbound,
                      const Connection& carrier, const ProxyRequest& request, StreamPtr stream,
                      absl::AnyInvocable<void(std::error_code)> done);

// One of them. `known`: of its carrier, and its destination where the carrier has said it.
Pending serve_carried(Environment& environment, std::shared_ptr<const Inbound> inbound, Connection known,
                      StreamPtr stream, absl::AnyInvocable<void()> done);
Pending serve_carried(Environment& environment, std::shared_ptr<const Inbound> inbound, Connection known,
                      const mux::Opening& opening, ConduitPtr conduit, absl::AnyInvocable<void()> done);

}  // namespace winze::chain
