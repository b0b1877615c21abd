// Children that wait for traffic (swanctl's "trap"): the first packet that no tunnel takes, but one of these would,
// begins it. That packet is lost; whoever sent it sends again.
#pragma once

#include <absl/status/statusor.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "winze/base/time.h"
#include "winze/node/ipsec_options.h"
#include "winze/proto/ip/selector.h"

namespace winze::node {

class IpsecTraps {
 public:
  struct Trap {
    std::string connection, child;
    ip::SelectorPair selectors;
    TimePoint sprung{};
  };

  // Waits for the traffic of a child from now on, if it does not yet; null: it does. Fails where that is not known
  // before the tunnel is up.
  absl::StatusOr<const Trap*> add(const IpsecConnection& connection, const IpsecChild& child);
  // The child that a packet without one is to begin; null: none, or it has been begun a moment ago.
  const Trap* spring(const ip::Flow& flow, TimePoint now);
  // What was begun is up: traffic may begin it again as soon as it has ended.
  void came_up(std::string_view connection, std::string_view child);
  bool empty() const { return traps_.empty(); }

 private:
  std::vector<Trap> traps_;
};

// What is to follow the end of a connection's tunnel: because the peer has vanished, or has ended it. `keep`: where the
// configuration does not say.
IpsecChild::Start after_end(const IpsecConnection& connection, bool lost, bool keep);
// The same for one child.
IpsecChild::Start after_end(const IpsecChild& child, bool lost, bool keep);

}  // namespace winze::node
