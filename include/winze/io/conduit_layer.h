// What one layer does to datagrams on their way through a conduit: the header of a SOCKS5 association, a host name that
// becomes an address. A layer over a conduit is a conduit again.
#pragma once

#include <cstdint>
#include <memory>
#include <system_error>

#include "winze/io/conduit.h"

namespace winze {

// Used from one executor. A layer that waits for something itself (a resolver, a stream) does so by weak pointers.
class DatagramLayer {
 public:
  virtual ~DatagramLayer() = default;

  // Room that outgoing() would like around the payloads.
  virtual Overhead overhead() const { return {}; }

  enum class Verdict : std::uint8_t {
    kPass,
    kTake,  // the layer has moved it out, to send it later
    kDrop,  // counted
  };
  virtual Verdict outgoing(Datagram& datagram) = 0;
  // False: dropped, and counted.
  virtual bool incoming(Datagram& datagram) = 0;

  // Datagrams that the layer took and dropped later.
  virtual std::uint64_t dropped() const { return 0; }
  // Why the layer has closed the conduit below: what receive() then says. None: it has not.
  virtual std::error_code ended() const { return {}; }
};

// `layer` may refer to `below`, which outlives it.
ConduitPtr layered_conduit(ConduitPtr below, std::shared_ptr<DatagramLayer> layer);

}  // namespace winze
