// From MuxOptions to a dialer.
#pragma once

#include <memory>

#include "winze/io/dialer.h"
#include "winze/layer/mux_client.h"
#include "winze/node/options.h"

namespace winze::node {

// `shared`: with those of the same outbound on other executors.
DialerPtr over_mux(Environment& environment, const MuxOptions& options, std::shared_ptr<mux::sing::SharedLimit> shared,
                   DialerPtr below);

}  // namespace winze::node
