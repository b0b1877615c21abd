// EAP of a configuration: the client's answers, the gateway's questions, and who may come in by them.
#pragma once

#include <absl/status/status.h>

#include <string_view>

#include "ipsec_credentials.h"
#include "winze/base/random.h"
#include "winze/base/time.h"
#include "winze/node/ipsec_options.h"
#include "winze/proto/ike/config.h"

namespace winze::node {

// What methods need of the host; must outlive the connections. Null in a configuration that is only checked.
struct EapSurroundings {
  Random* random = nullptr;
  const WallClock* clock = nullptr;
};

// The client's side of `connection`, whose round `local` is EAP: LocalAuth::eap and eap_only. No eap where it can be a
// gateway's end alone. The gateway has to prove itself by its first round.
absl::Status set_local_eap(const IpsecOptions& options, const IpsecCredentials& credentials,
                           const EapSurroundings& around, const IpsecConnection& connection, const IpsecAuth& local,
                           ike::LocalAuth& out);
// The gateway's, whose round `remote` is EAP: RemoteAuth::eap.
absl::Status set_remote_eap(const IpsecOptions& options, const IpsecCredentials& credentials,
                            const EapSurroundings& around, const IpsecConnection& connection, const IpsecAuth& remote,
                            ike::RemoteAuth& out);

// Whether `remote` takes whom EAP has proved: eap_id, or, where there is none, id. A client may say any IDi, so that
// alone is worth nothing.
bool takes_eap_identity(const IpsecAuth& remote, std::string_view identity);

}  // namespace winze::node
