// From InboundOptions to what a chain::Server serves.
#pragma once

#include <absl/status/statusor.h>

#include <memory>
#include <vector>

#include "winze/chain/session.h"
#include "winze/node/ledger.h"
#include "winze/node/options.h"
#include "winze/node/salt_files.h"
#include "winze/node/tls_contexts.h"

namespace winze::node {

// The inbound at `index`, with the users that `ledger` has. Its router and on_end are the caller's to set.
absl::StatusOr<std::shared_ptr<chain::Inbound>> make_inbound(Environment& environment, const NodeOptions& options,
                                                             std::size_t index, const TlsContexts& contexts,
                                                             Ledger& ledger, const SaltFiles& salts);

}  // namespace winze::node
