// mux.cool, V2Ray's multiplexing, and its extension XUDP. Runs in a connection to the host "v1.mux.cool"; of VLESS and
// VMess it is a command of its own.
//
//   frame   u16 size | meta (size) | [ u16 length | data (length) ]    data: when option 1 is set
//   meta    u16 id | u8 status | u8 option | ...                       status: 1 New, 2 Keep, 3 End, 4 KeepAlive
//   New     ... u8 network | u16 port | u8 type | address | [ global id (8) ]      network: 1 TCP, 2 UDP
//   Keep    ... [ u8 2 | u16 port | u8 type | address ]                XUDP: whom this datagram is for, or from
//
// Ids are the client's, from 1 on, never used twice on a carrier; 0 is that of a carrier for one flow of datagrams.
// Option 2 on End: the sender's side failed. Of New and Keep what follows the known fields is passed over.
//
// There is no flow control: who cannot take more of one sub-stream stops reading the carrier.
// An End ends both directions for V2Ray, and what was to come is lost (end_closes()). A server here takes the client's
// End for the end of its direction, sends what is left, and answers with an End of its own.
// The protocol has no standard; this follows what V2Ray 4.34 and Xray send and accept.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <string_view>

#include "winze/proto/mux/session.h"

namespace winze::mux {

// What a carrier is dialed to. The host alone counts.
inline Destination cool_destination() { return Destination("v1.mux.cool", 9527); }
bool is_cool(const Destination& destination);

class CoolSession final : public Session {
 public:
  // After so many sub-streams V2Ray's clients open another carrier. Its servers, and Xray's, take as many as there are
  // ids.
  static constexpr std::uint16_t kLifetime = 128;
  // Peers refuse the whole carrier for a longer one.
  static constexpr std::size_t kLargestDatagram = 2048;

  // `lone`: a client's carrier for one flow of datagrams, the first to be opened.
  // `lifetime`: how many sub-streams a client opens at most.
  explicit CoolSession(Role role, bool lone = false, std::uint16_t lifetime = kLifetime)
      : role_(role), lone_(lone), lifetime_(lone ? 1 : lifetime) {}

  std::error_code receive(std::span<const std::uint8_t> bytes, Events& events) override;
  std::optional<StreamId> open(const Opening& opening) override;
  bool may_open() const override { return role_ == Role::kClient && opened_ < lifetime_; }
  Overhead overhead() const override { return {.front = 64, .back = 0}; }
  void seal(StreamId id, Buffer& data) override;
  bool seal_datagram(StreamId id, Buffer& payload, const Destination* peer) override;
  std::size_t largest_datagram() const override { return kLargestDatagram; }
  bool is_unannounced(StreamId id) const override;
  void end(StreamId id) override;
  bool end_closes() const override { return role_ == Role::kClient; }
  void close(StreamId id, bool failed) override;

 private:
  struct Stream {
    Opening opening;
    bool announced = false;
    bool ended = false;       // by us: our End is on its way
    bool peer_ended = false;  // a client's End, after which a server goes on
  };
  struct Head {
    StreamId id = 0;
    std::uint8_t status = 0;
    std::uint8_t option = 0;
    std::size_t length = 0;  // of the data
    Opening opening;         // of New
    bool has_peer = false;
    Destination peer;  // of Keep
  };

  // The head at the front of `bytes`; its size, or 0 while it is incomplete.
  std::size_t parse_head(std::span<const std::uint8_t> bytes, Head& head, std::error_code& error) const;
  std::error_code begin_frame(Head head, Events& events);
  void take_data(std::span<const std::uint8_t> bytes, Events& events);
  void begin_stream(Head& head, Events& events);
  void end_stream(const Head& head, Events& events);
  void put_end(StreamId id, bool failed);

  Role role_;
  bool lone_;
  std::uint16_t lifetime_;
  std::uint32_t opened_ = 0;
  absl::flat_hash_map<StreamId, Stream> streams_;
  // Receiving.
  Buffer partial_;        // the beginning of a head, or of a datagram
  std::size_t left_ = 0;  // bytes of data still to come
  StreamId target_ = 0;   // whose they are
  enum class Kind : std::uint8_t { kDiscard, kBytes, kDatagram } kind_ = Kind::kDiscard;
  bool has_peer_ = false;
  Destination peer_;
};

}  // namespace winze::mux
