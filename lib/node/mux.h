// From MuxOptions to a dialer.
#pragma once

#include "winze/io/dialer.h"
#include "winze/node/options.h"

namespace winze::node {

DialerPtr over_mux(Environment& environment, const MuxOptions& options, DialerPtr below);

}  // namespace winze::node
