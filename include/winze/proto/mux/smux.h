// smux version 1, as sing-box speaks it: without its keep-alive.
//
//   frame   u8 version = 1 | u8 command | u16 length (LE) | u32 id (LE) | data (length)
//   command 0 SYN, 1 FIN, 2 PSH (data), 3 NOP
//
// Ids are odd, from 3 on. Only clients open here.
// There is no flow control: who cannot take more of one sub-stream stops reading the carrier.
// A FIN ends both directions for the peers there are, and what was to come is lost (end_closes()). A server here takes
// it for the end of the client's direction, sends what is left, and answers with a FIN of its own. There is no word for
// a failure: what breaks off looks ended. The protocol has no standard; this follows what xtaci/smux 1.5 sends and
// accepts.
#pragma once

#include <absl/container/flat_hash_map.h>

#include "winze/proto/mux/frame_cutter.h"
#include "winze/proto/mux/session.h"

namespace winze::mux {

class SmuxSession final : public Session {
 public:
  explicit SmuxSession(Role role) : role_(role) {}

  std::error_code receive(std::span<const std::uint8_t> bytes, Events& events) override;
  std::optional<StreamId> open(const Opening& opening) override;
  bool may_open() const override;
  // A SYN, and heads for the chunks of one read of 288 KiB; more moves the bytes.
  Overhead overhead() const override { return {.front = 10 * kHeadSize, .back = 0}; }
  void seal(StreamId id, Buffer& data) override;
  bool is_unannounced(StreamId id) const override;
  void end(StreamId id) override;
  bool end_closes() const override { return role_ == Role::kClient; }
  void close(StreamId id, bool failed) override;

 private:
  static constexpr std::size_t kHeadSize = 8;
  struct Stream {
    bool announced = false;
    bool ended = false;       // by us: our FIN is on its way
    bool peer_ended = false;  // a client's FIN, after which a server goes on
  };
  std::error_code begin_frame(const std::uint8_t* head, std::size_t& length, Events& events);

  Role role_;
  StreamId last_id_ = 1;
  absl::flat_hash_map<StreamId, Stream> streams_;
  FrameCutter<kHeadSize> cutter_;
  StreamId target_ = 0;  // whose data comes
};

}  // namespace winze::mux
