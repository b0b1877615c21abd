// h2mux of sing-box: HTTP/2 (RFC 9113) without TLS of its own, framed by nghttp2. Each sub-stream is a request CONNECT
// to "localhost" whose answer is 200; its bytes are the DATA of both.
//
// Each direction of a sub-stream ends by itself (END_STREAM), and may hold kWindow bytes that its reader has not taken.
// The window of the whole connection is opened again at once: what bounds it is the driver's limit of all sub-streams.
// An orderly close that the peer has not matched is END_STREAM and RST_STREAM, a failure RST_STREAM alone.
// A client has as many sub-streams as the server's SETTINGS allow, up to 100 before those have come.
// Frames that carry nothing (SETTINGS, PING, RST_STREAM, empty DATA, requests that are reset before a byte has come)
// end the carrier with Errc::kFlood when there are more than kMostIdleFrames without a byte of DATA, in either
// direction, between them, and so do the parts of one head (CONTINUATION) when they are more than 8. A head longer than
// 8 KiB resets its sub-stream.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <vector>

#include "winze/proto/mux/session.h"

struct nghttp2_session;

namespace winze::mux {

class H2Session final : public Session {
 public:
  static constexpr std::uint32_t kWindow = 256 << 10;
  static constexpr std::uint32_t kMostStreams = 1024;  // that a client may have open here
  static constexpr std::uint32_t kMostIdleFrames = 4096;

  explicit H2Session(Role role);
  ~H2Session() override;

  std::error_code receive(std::span<const std::uint8_t> bytes, Events& events) override;
  std::optional<StreamId> open(const Opening& opening) override;
  bool may_open() const override;
  Overhead overhead() const override { return {.front = 256, .back = 0}; }
  bool has_windows() const override { return true; }
  std::size_t window(StreamId id) const override;
  void seal(StreamId id, Buffer& data) override;
  bool is_unannounced(StreamId id) const override;
  void end(StreamId id) override;
  bool end_closes() const override { return false; }
  void close(StreamId id, bool failed) override;
  void consumed(StreamId id, std::size_t bytes) override;

 private:
  struct Stream {
    std::int32_t number = 0;  // HTTP/2's; 0: not announced
    bool ended = false;       // by us
    bool peer_ended = false;
    std::span<const std::uint8_t> source;  // what seal() is framing
  };
  struct Callbacks;

  Stream* find(StreamId id);
  Stream* find_number(std::int32_t number, StreamId* id = nullptr);
  void announce(StreamId id, Stream& stream);
  void begin_stream(std::int32_t number);
  void forget(StreamId id, std::error_code error);
  std::error_code cause_of(std::uint32_t reset) const;
  void leave();
  // Has nghttp2 write what it has to say, to control_ or, of a sub-stream's bytes, to `to_`.
  void pump();

  Role role_;
  nghttp2_session* session_ = nullptr;
  StreamId next_id_ = 1;
  absl::flat_hash_map<StreamId, Stream> streams_;
  std::uint8_t* to_ = nullptr;  // where seal() puts the next frame
  Events* events_ = nullptr;    // within receive()
  bool reading_ = false;        // nghttp2 does
  std::vector<StreamId> lost_;  // whose data nghttp2 has not taken; receive() says so
  std::uint32_t idle_frames_ = 0;
  bool head_is_wanted_ = false;  // the head that comes is one of ours: CONNECT, or 200
  std::size_t head_size_ = 0;
  std::error_code failure_;    // why we end the carrier
  bool has_settings_ = false;  // the peer's have come
  bool leaving_ = false;       // the peer takes no more
};

}  // namespace winze::mux
