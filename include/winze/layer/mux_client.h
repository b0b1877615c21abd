// Multiplexing, the client's side, as a layer over that of a proxy protocol: what it dials shares connections.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "winze/layer/client.h"
#include "winze/proto/mux/cool.h"
#include "winze/proto/mux/sing.h"

namespace winze::mux {

// mux.cool (winze/proto/mux/cool.h). A carrier ends when it has been without sub-streams for 16 seconds.
struct CoolOptions {
  std::size_t concurrency = 8;  // sub-streams at once on a carrier; 0: streams are not multiplexed
  // ... and in all. V2Ray's clients have 128, so 5,000 at once take 40 carriers; servers do not count.
  std::uint16_t lifetime = CoolSession::kLifetime;
  // Datagrams. A conduit for one destination is a sub-stream; one for everyone() is as follows. By XUDP either outlasts
  // its carrier: when that ends the next datagram opens another sub-stream.
  enum class Packets : std::uint8_t {
    kBelow,     // is the dialer's below, as is one for one destination: datagrams are not multiplexed
    kPlain,     // has a sub-stream for each destination, as V2Ray's servers understand it
    kXudp,      // is one sub-stream, whose datagrams have addresses (Xray, sing-box)
    kXudpOwn,   // the same, on carriers of their own, with at most `xudp_concurrency` at once on each
    kXudpLone,  // the same, and each is a carrier's only one
  } packets = Packets::kPlain;
  std::size_t xudp_concurrency = 8;
  // Each conduit says a random id of its own with its sub-streams, by which a server knows them again: the conduit's
  // peers then see it come from one address and port, whichever carrier it goes by. (Xray takes a keyed hash of the
  // source, which is as stable, and as hard to guess.) Without, the server has a new association for each sub-stream.
  bool global_ids = true;
  // What is done with datagrams to port 443 (QUIC), which is better off as TCP through a proxy.
  enum class Udp443 : std::uint8_t { kAllow, kReject, kSkip } udp443 = Udp443::kAllow;
};
Layer cool(const CoolOptions& options);

// sing-box's (winze/proto/mux/sing.h). An idle carrier ends likewise.
namespace sing {

// What the clients of one server on several executors (the threads of a node) share, so that `max_connections` holds
// for all of them together: each may always have one carrier, and what is left goes to who needs more first.
// Thread-safe.
class SharedLimit {
 public:
  void join() noexcept { ++clients_; }
  void leave() noexcept { --clients_; }
  // One more than a client's first.
  bool take(std::size_t most) noexcept {
    if (++further_ + clients_ <= most) return true;
    --further_;
    return false;
  }
  // The same whatever the limit: those that are there take no more streams.
  void take() noexcept { ++further_; }
  void give_back(std::size_t carriers) noexcept { further_ -= carriers; }

 private:
  std::atomic<std::size_t> clients_{0}, further_{0};
};

struct ClientOptions {
  static constexpr std::size_t kMinStreams = 8;  // where none of the three is set

  Protocol protocol = Protocol::kSmux;
  bool padding = false;
  // A stream goes to the carrier that has the fewest, unless that has `min_streams` and there are fewer than
  // `max_connections` (0: no limit). Or to the first with fewer than `max_streams` (0: no limit).
  std::size_t max_connections = 0;
  std::size_t min_streams = 0;
  std::size_t max_streams = 0;
  std::shared_ptr<SharedLimit> shared;  // null: the limit is this client's own
};
// A conduit is a sub-stream, whose datagrams have addresses where it is for everyone().
Layer client(const ClientOptions& options);

}  // namespace sing

}  // namespace winze::mux
