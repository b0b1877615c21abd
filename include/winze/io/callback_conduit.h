// IP packets of a host that has no descriptor for them, in batches: iOS' NEPacketTunnelFlow, a network stack in the
// process, a test.
#pragma once

#include <absl/functional/any_invocable.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "winze/io/conduit.h"
#include "winze/io/environment.h"

namespace winze {

struct CallbackConduitOptions {
  std::size_t mtu = 1400;
  // Packets from the host that wait for a receive(), in buffers of so many bytes together; more are dropped and
  // counted.
  std::size_t backlog = 4 << 20;
};

// The host's end.
class PacketFeed {
 public:
  // Gives packets to the conduit; on its executor. Returns how many were taken: none once the conduit has gone.
  std::size_t deliver(std::span<Buffer> packets);
  // Packets that were not taken, so far.
  std::uint64_t dropped() const;

  struct State;

 private:
  friend struct CallbackPair make_callback_conduit(Environment&, const CallbackConduitOptions&,
                                                   absl::AnyInvocable<void(std::span<Datagram>)>);
  explicit PacketFeed(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

struct CallbackPair {
  ConduitPtr conduit;
  PacketFeed feed;
};

// `on_packets`: what send() was given, for the host, which may move the payloads out; called inside send().
CallbackPair make_callback_conduit(Environment& environment, const CallbackConduitOptions& options,
                                   absl::AnyInvocable<void(std::span<Datagram>)> on_packets);

}  // namespace winze
