// The parts of a V2Ray configuration, each from its object.
#pragma once

#include "object_reader.h"
#include "winze/node/ipsec_options.h"
#include "winze/node/options.h"

namespace winze::config {

enum class Side { kInbound, kOutbound };

node::InboundOptions read_inbound(ObjectReader& object);
node::OutboundOptions read_outbound(ObjectReader& object);
node::StreamSettings read_stream(ObjectReader object, Side side);
// "expiry" and "limits" of a user of an inbound.
chain::UserTerms read_terms(ObjectReader& object);
node::MuxOptions read_mux(ObjectReader object);
node::InboundMuxOptions read_inbound_mux(ObjectReader object);
node::LogOptions read_log(ObjectReader object);
void read_policy(ObjectReader object, std::vector<std::pair<std::uint32_t, node::PolicyLevel>>& levels);
// connections, pools, secrets and authorities of `object`.
void read_ipsec_keys(ObjectReader& object, node::IpsecOptions& out);
// The section "ipsec": those, and winze's own keys.
node::IpsecOptions read_ipsec(ObjectReader object);

}  // namespace winze::config
