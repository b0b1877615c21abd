// Who takes UDP sessions in: all that comes from one endpoint is a conduit of its own.
#pragma once

#include <absl/functional/any_invocable.h>

#include <memory>
#include <system_error>

#include "winze/io/conduit.h"
#include "winze/io/udp.h"

namespace winze {

class PacketListener {
 public:
  using Handler = absl::AnyInvocable<void(std::error_code, ConduitPtr, const Endpoint& source)>;

  virtual ~PacketListener() = default;

  // Takes the next session, with its first datagram in it. One accept is pending at most (Errc::kBusy). The handler is
  // called exactly once, never inside this call. The conduits have one peer, the source; they may outlive the listener.
  virtual void accept(Handler handler) = 0;
  // Takes no more sessions: a pending accept gets Errc::kAborted. Those there are go on. So does destruction.
  virtual void close() = 0;
  virtual Endpoint local() const = 0;
};

using PacketListenerPtr = std::unique_ptr<PacketListener>;

// A source may send again as soon as its conduit is gone; that is another session.
struct SessionLimits {
  std::size_t sessions = 2048;    // at once; what other sources send is dropped
  std::size_t bytes = 512 << 10;  // that wait in one session, in buffers, their room included
};

struct PacketListenResult {
  std::error_code error;
  std::string what;  // failed
  PacketListenerPtr listener;
};
PacketListenResult udp_listen(Environment& environment, const UdpOptions& options, const SessionLimits& limits = {});

}  // namespace winze
