// IpsecOptions as the IKE engine takes them.
#pragma once

#include <absl/status/statusor.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ipsec_credentials.h"
#include "ipsec_eap.h"
#include "winze/node/ipsec_options.h"
#include "winze/proto/ike/config.h"
#include "winze/tunnel/ipsec_host.h"

namespace winze::node {

// Errors begin with the path in the configuration.
absl::StatusOr<std::shared_ptr<ike::Connection>> make_connection(const IpsecOptions& options,
                                                                 const IpsecCredentials& credentials,
                                                                 const EapSurroundings& around,
                                                                 const IpsecConnection& connection);
// The pools, by the names of the connections that use them; those of one name are shared.
absl::StatusOr<std::map<std::string, std::vector<std::shared_ptr<tunnel::AddressPool>>>> make_pools(
    const IpsecOptions& options);

// The secret that two identities share: of those that name both, or else one of them, or nobody. Null: there is none.
const Secret* find_secret(const IpsecOptions& options, IpsecSecret::Kind kind, const ike::Identity& local,
                          const ike::Identity& remote);

}  // namespace winze::node
