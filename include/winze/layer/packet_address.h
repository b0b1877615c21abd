// Datagrams with their addresses (winze/proto/packet_address.h) over a conduit of one stream.
#pragma once

#include "winze/io/conduit.h"

namespace winze {

// A conduit for everyone(), of either side. What is for a host name is dropped.
ConduitPtr packet_address_conduit(ConduitPtr stream);

}  // namespace winze
