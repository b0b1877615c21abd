// The one driver of all multiplexing protocols: a mux::Session over a Stream. Its sub-streams are Streams, its
// sub-streams of datagrams conduits.
//
// What waits, and where the bound is:
// - Writing: a sub-stream holds the one buffer of its pending write; the next is taken when that one has gone into the
//   carrier. Those that wait take turns, and what they have goes out as one write of the carrier. On a slow path a
//   write is one turn, 64 KiB, and of what has been written the system holds kUnsentLimit beyond what is on its way:
//   nobody waits behind megabytes of a bulk transfer.
// - Reading: what the reader of a sub-stream has not taken. With windows (yamux, h2mux) at most a window (256 KiB), and
//   nobody else suffers, until all of them together hold kWindowsLimit. Without (mux.cool, smux): when a sub-stream
//   holds kStreamLimit bytes, or all of them kCarrierLimit. Then the carrier is not read until that is less; its other
//   sub-streams wait too, as these protocols force. One read of the carrier (512 KiB) may come on top.
// - Datagrams: 512 KiB towards the reader, 128 KiB towards the carrier, of each sub-stream; what comes beyond is
//   dropped and counted.
// A sub-stream with nothing under way holds no buffer.
#pragma once

#include <absl/functional/any_invocable.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "winze/base/time.h"
#include "winze/io/conduit.h"
#include "winze/io/environment.h"
#include "winze/io/stream.h"
#include "winze/proto/mux/session.h"

namespace winze::mux {

inline constexpr std::size_t kStreamLimit = 512 << 10;
inline constexpr std::size_t kCarrierLimit = 4 << 20;
inline constexpr std::size_t kWindowsLimit = 32 << 20;
// Where the end of one direction is the end of both (Session::end_closes()), it is said when nothing has come for so
// long, or the sub-stream is closed.
inline constexpr Duration kEndDelay = std::chrono::seconds(2);

struct CarrierOptions {
  std::size_t max_streams = 1024;  // that the peer may have open; more are refused
  Duration idle{0};                // a carrier without sub-streams ends after so long; zero: never
};

class Carrier {
 public:
  // A sub-stream that the peer has opened: `conduit` where it is for datagrams, else `stream`.
  struct Accepted {
    Opening opening;
    StreamPtr stream;
    ConduitPtr conduit;
  };
  // Called on the executor, never within another call of the carrier's.
  using AcceptHandler = absl::AnyInvocable<void(Accepted)>;
  // Called once, when the carrier takes no more: its connection has failed or ended (winze::Errc::kEof), or it was idle
  // (kEof as well). Its sub-streams have failed before. Not called after close().
  using EndHandler = absl::AnyInvocable<void(std::error_code)>;

  // Without `on_accept` what the peer opens is refused.
  Carrier(Environment& environment, StreamPtr below, std::unique_ptr<Session> session, const CarrierOptions& options,
          AcceptHandler on_accept, EndHandler on_end);
  // Ends all sub-streams.
  ~Carrier();
  Carrier(const Carrier&) = delete;
  Carrier& operator=(const Carrier&) = delete;

  // Null where the carrier opens no more (Session::may_open()).
  StreamPtr open_stream(const Opening& opening);
  ConduitPtr open_conduit(const Opening& opening);
  bool may_open() const;
  // Sub-streams now open.
  std::size_t streams() const;
  // Bytes that wait for the readers of sub-streams.
  std::size_t held() const;

  struct State;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace winze::mux
