#include "winze/proto/mux/yamux.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "winze/base/bytes.h"
#include "winze/base/error.h"
#include "winze/proto/mux/error.h"

namespace winze::mux {
namespace {

enum Type : std::uint8_t { kData = 0, kWindowUpdate = 1, kPing = 2, kGoAway = 3 };
enum Flag : std::uint16_t { kSyn = 1, kAck = 2, kFin = 4, kRst = 8 };
constexpr std::uint32_t kNormal = 0, kProtocolError = 1;
constexpr StreamId kLastId = 0xfffffffd;

void put_head(std::uint8_t* at, std::uint8_t type, std::uint16_t flags, StreamId id, std::uint32_t length) {
  at[0] = 0;
  at[1] = type;
  store_u16(at + 2, flags);
  store_u32(at + 4, id);
  store_u32(at + 8, length);
}

}  // namespace

void YamuxSession::put(std::uint8_t type, std::uint16_t flags, StreamId id, std::uint32_t length) {
  put_head(control_.append(kHeadSize), type, flags, id, length);
}

// --- sending ---

std::optional<StreamId> YamuxSession::open(const Opening& opening) {
  if (!may_open() || opening.datagrams) return std::nullopt;
  const StreamId id = std::exchange(next_id_, next_id_ + 2);
  streams_.emplace(id, Stream{});
  return id;
}

bool YamuxSession::may_open() const { return role_ == Role::kClient && !leaving_ && next_id_ <= kLastId; }

bool YamuxSession::is_unannounced(StreamId id) const {
  const auto found = streams_.find(id);
  return found != streams_.end() && !found->second.announced;
}

std::size_t YamuxSession::window(StreamId id) const {
  const auto found = streams_.find(id);
  if (found == streams_.end()) return kNoWindow;  // seal() drops it
  return !found->second.announced && unanswered_ >= kUnanswered ? 0 : found->second.send_window;
}

std::uint16_t YamuxSession::announce(Stream& stream) {
  if (std::exchange(stream.announced, true)) return 0;
  stream.unanswered = true;
  if (++unanswered_ >= kUnanswered) waits_for_answers_ = true;
  return kSyn;
}

void YamuxSession::seal(StreamId id, Buffer& data) {
  const auto found = streams_.find(id);
  if (found == streams_.end()) return data.clear();
  Stream& stream = found->second;
  const std::uint16_t flags = announce(stream);
  const auto size = static_cast<std::uint32_t>(data.size());
  if (size == 0 && flags == 0) return;
  stream.send_window -= size;
  put_head(data.prepend(kHeadSize), size != 0 ? kData : kWindowUpdate, flags, id, size);
}

void YamuxSession::end(StreamId id) {
  const auto found = streams_.find(id);
  if (found == streams_.end() || std::exchange(found->second.ended, true)) return;
  put(kWindowUpdate, announce(found->second) | kFin, id, 0);
}

void YamuxSession::close(StreamId id, bool failed) {
  const auto found = streams_.find(id);
  if (found == streams_.end()) return;
  Stream& stream = found->second;
  answered(stream);
  const bool over = stream.ended && stream.peer_ended;
  if (stream.announced && !over) {
    if (failed) {
      put(kWindowUpdate, kRst, id, 0);
    } else if (!stream.ended) {
      put(kWindowUpdate, kFin, id, 0);
    }
  }
  streams_.erase(found);
}

// In halves, so that not each read costs a frame.
void YamuxSession::consumed(StreamId id, std::size_t bytes) {
  const auto found = streams_.find(id);
  if (found == streams_.end()) return;
  Stream& stream = found->second;
  stream.consumed += static_cast<std::uint32_t>(bytes);
  if (stream.consumed < kWindow / 2 || stream.peer_ended) return;
  stream.receive_window += stream.consumed;
  put(kWindowUpdate, 0, id, std::exchange(stream.consumed, 0));
}

// --- receiving ---

std::error_code YamuxSession::receive(std::span<const std::uint8_t> bytes, Events& events) {
  const std::error_code error = cutter_.cut(
      bytes, [&](const std::uint8_t* head, std::size_t& length) { return begin_frame(head, length, events); },
      [&](std::span<const std::uint8_t> data, bool last) {
        if (!streams_.contains(target_)) return;
        events.on_data(target_, data);
        if (last && ends_) end_by_peer(target_, events);
      });
  // An answer has come, or who waited for it has closed.
  if (waits_for_answers_ && unanswered_ <= kUnanswered / 2) {
    waits_for_answers_ = false;
    events.on_writable(0);
  }
  return error;
}

std::error_code YamuxSession::begin_frame(const std::uint8_t* bytes, std::size_t& length, Events& events) {
  const Head head{bytes[1], load_u16(bytes + 2), load_u32(bytes + 4), load_u32(bytes + 8)};
  if (bytes[0] != 0 || head.type > kGoAway) return fail(Errc::kBadFrame);
  std::error_code error;
  if (head.type == kPing) {
    if ((head.flags & kSyn) != 0) put(kPing, kAck, 0, head.length);
  } else if (head.type == kGoAway) {
    leaving_ = true;
    if (head.length != kNormal) return Errc::kCarrierEnded;
  } else {
    error = stream_frame(head, length, events);
  }
  if (!error && control_.size() > kControlLimit) return Errc::kFlood;
  return error;
}

std::error_code YamuxSession::stream_frame(const Head& head, std::size_t& length, Events& events) {
  if ((head.flags & kSyn) != 0) {
    if (const std::error_code error = begin_stream(head.id, events)) return error;
  }
  if (head.type == kData) length = head.length;
  target_ = head.id;
  ends_ = false;
  const auto found = streams_.find(head.id);
  if (found == streams_.end()) {
    if (length != 0) refuse(head.id);
    return {};
  }
  Stream& stream = found->second;
  if ((head.flags & kAck) != 0) answered(stream);
  if ((head.flags & kRst) != 0) {
    answered(stream);
    streams_.erase(found);
    events.on_close(head.id, Errc::kReset);
    return {};
  }
  if (head.type == kWindowUpdate) {
    if (const std::error_code error = widen(stream, head, events)) return error;
  } else if (length != 0) {
    if (stream.peer_ended) return fail(Errc::kBadFrame);
    if (length > stream.receive_window) return fail(Errc::kWindowExceeded);
    stream.receive_window -= head.length;
  }
  if ((head.flags & kFin) != 0) {
    if (length == 0) {
      end_by_peer(head.id, events);
    } else {
      ends_ = true;
    }
  }
  return {};
}

std::error_code YamuxSession::begin_stream(StreamId id, Events& events) {
  if (role_ == Role::kClient || id == 0 || streams_.contains(id)) return fail(Errc::kBadFrame);
  streams_.emplace(id, Stream{.announced = true});
  events.on_open(id, {});
  if (streams_.contains(id)) put(kWindowUpdate, kAck, id, 0);
  return {};
}

std::error_code YamuxSession::widen(Stream& stream, const Head& head, Events& events) {
  if (head.length > std::numeric_limits<std::uint32_t>::max() - stream.send_window) return fail(Errc::kBadFrame);
  const bool was_full = stream.send_window == 0;
  stream.send_window += head.length;
  if (was_full && head.length != 0) events.on_writable(head.id);
  return {};
}

void YamuxSession::end_by_peer(StreamId id, Events& events) {
  const auto found = streams_.find(id);
  if (found == streams_.end() || std::exchange(found->second.peer_ended, true)) return;
  events.on_end(id);
}

void YamuxSession::answered(Stream& stream) {
  if (std::exchange(stream.unanswered, false)) --unanswered_;
}

// Once for a run of frames: it takes the peer a while to hear it.
void YamuxSession::refuse(StreamId id) {
  if (std::exchange(refused_, id) != id) put(kWindowUpdate, kRst, id, 0);
}

std::error_code YamuxSession::fail(std::error_code error) {
  put(kGoAway, 0, 0, kProtocolError);
  return error;
}

}  // namespace winze::mux
