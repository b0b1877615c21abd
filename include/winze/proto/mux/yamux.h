// yamux version 0.
//
//   frame   u8 version = 0 | u8 type | u16 flags | u32 id | u32 length | data (length, of type 0)
//   type    0 data, 1 window update (length: so many bytes more), 2 ping (length: echoed), 3 go away (length: 0 normal)
//   flags   1 SYN, 2 ACK, 4 FIN, 8 RST
//
// Ids are a client's odd ones. Only clients open here. The first frame of a sub-stream has SYN, the first answer ACK;
// at most kUnanswered wait for that, because peers refuse what comes beyond. Each direction of a sub-stream ends by
// itself (FIN), and may hold kWindow bytes that its reader has not taken. What comes for a sub-stream that is closed is
// answered with RST, as TCP does: an orderly close sends FIN alone, so that the peer reads what is on its way. Pings
// are answered, not sent: a session keeps no time. The protocol is that of hashicorp/yamux's spec.md.
#pragma once

#include <absl/container/flat_hash_map.h>

#include "winze/proto/mux/frame_cutter.h"
#include "winze/proto/mux/session.h"

namespace winze::mux {

class YamuxSession final : public Session {
 public:
  static constexpr std::uint32_t kWindow = 256 << 10;
  static constexpr std::size_t kUnanswered = 200;

  explicit YamuxSession(Role role) : role_(role) {}

  std::error_code receive(std::span<const std::uint8_t> bytes, Events& events) override;
  std::optional<StreamId> open(const Opening& opening) override;
  bool may_open() const override;
  Overhead overhead() const override { return {.front = kHeadSize, .back = 0}; }
  bool has_windows() const override { return true; }
  std::size_t window(StreamId id) const override;
  void seal(StreamId id, Buffer& data) override;
  bool is_unannounced(StreamId id) const override;
  void end(StreamId id) override;
  bool end_closes() const override { return false; }
  void close(StreamId id, bool failed) override;
  void consumed(StreamId id, std::size_t bytes) override;

 private:
  static constexpr std::size_t kHeadSize = 12;
  struct Stream {
    std::uint32_t send_window = kWindow;
    std::uint32_t receive_window = kWindow;
    std::uint32_t consumed = 0;  // and not given back to the window yet
    bool announced = false;
    bool unanswered = false;
    bool ended = false;  // by us
    bool peer_ended = false;
  };
  struct Head {
    std::uint8_t type;
    std::uint16_t flags;
    StreamId id;
    std::uint32_t length;
  };

  std::error_code begin_frame(const std::uint8_t* bytes, std::size_t& length, Events& events);
  std::error_code stream_frame(const Head& head, std::size_t& length, Events& events);
  std::error_code begin_stream(StreamId id, Events& events);
  std::error_code widen(Stream& stream, const Head& head, Events& events);
  void end_by_peer(StreamId id, Events& events);
  std::error_code fail(std::error_code error);
  void put(std::uint8_t type, std::uint16_t flags, StreamId id, std::uint32_t length);
  std::uint16_t announce(Stream& stream);
  void answered(Stream& stream);
  void refuse(StreamId id);

  Role role_;
  StreamId next_id_ = 1;
  std::size_t unanswered_ = 0;
  bool waits_for_answers_ = false;  // writers of new sub-streams do
  bool leaving_ = false;            // the peer takes no more
  absl::flat_hash_map<StreamId, Stream> streams_;
  FrameCutter<kHeadSize> cutter_;
  StreamId target_ = 0;   // whose data comes
  bool ends_ = false;     // with it the peer's direction ends
  StreamId refused_ = 0;  // the last to be answered with RST
};

}  // namespace winze::mux
