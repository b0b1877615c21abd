// A plain HTTP proxy connection: requests in absolute form, one after the other on one client stream, each with a
// connection of its own to its origin (winze/proto/http/forward_request.h).
#pragma once

#include <absl/functional/any_invocable.h>

#include <memory>

#include "winze/chain/session.h"

namespace winze::chain {

// `connection` is the template of the record that each request leaves through the inbound's on_end. `done` is called
// when the client's stream has ended. Dropping the Pending ends it.
Pending forward(Environment& environment, std::shared_ptr<const Inbound> inbound, const Connection& connection,
                StreamPtr client, absl::AnyInvocable<void()> done);

}  // namespace winze::chain
