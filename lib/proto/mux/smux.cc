#include "winze/proto/mux/smux.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "winze/base/error.h"
#include "winze/proto/mux/error.h"

namespace winze::mux {
namespace {

enum Command : std::uint8_t { kSyn = 0, kFin = 1, kPsh = 2, kNop = 3 };
constexpr std::uint8_t kVersion = 1;
// What peers themselves send at most; they take up to 65535.
constexpr std::size_t kLargestChunk = 32768;
constexpr StreamId kLastId = 0xfffffffd;

void put_head(std::uint8_t* at, Command command, std::size_t length, StreamId id) {
  at[0] = kVersion;
  at[1] = command;
  at[2] = static_cast<std::uint8_t>(length);
  at[3] = static_cast<std::uint8_t>(length >> 8);
  for (int i = 0; i < 4; ++i) at[4 + i] = static_cast<std::uint8_t>(id >> (8 * i));
}

}  // namespace

// --- sending ---

std::optional<StreamId> SmuxSession::open(const Opening& opening) {
  if (!may_open() || opening.datagrams) return std::nullopt;
  last_id_ += 2;
  streams_.emplace(last_id_, Stream{});
  return last_id_;
}

bool SmuxSession::may_open() const { return role_ == Role::kClient && last_id_ < kLastId; }

bool SmuxSession::is_unannounced(StreamId id) const {
  const auto found = streams_.find(id);
  return found != streams_.end() && !found->second.announced;
}

void SmuxSession::seal(StreamId id, Buffer& data) {
  const auto found = streams_.find(id);
  if (found == streams_.end()) return data.clear();
  const std::size_t size = data.size();
  const std::size_t chunks = (size + kLargestChunk - 1) / kLargestChunk;
  const std::size_t syn = std::exchange(found->second.announced, true) ? 0 : kHeadSize;
  if (syn + chunks == 0) return;
  // Heads stand between the payload's chunks, which move to make room: all but the last.
  std::uint8_t* to = data.prepend(syn + chunks * kHeadSize);
  const std::uint8_t* from = to + syn + chunks * kHeadSize;
  if (syn != 0) put_head(to, kSyn, 0, id);
  to += syn;
  for (std::size_t left = size; left != 0;) {
    const std::size_t chunk = std::min(left, kLargestChunk);
    put_head(to, kPsh, chunk, id);
    to += kHeadSize;
    if (to != from) std::memmove(to, from, chunk);
    to += chunk;
    from += chunk;
    left -= chunk;
  }
}

void SmuxSession::end(StreamId id) {
  const auto found = streams_.find(id);
  if (found == streams_.end() || std::exchange(found->second.ended, true)) return;
  if (!std::exchange(found->second.announced, true)) put_head(control_.append(kHeadSize), kSyn, 0, id);
  put_head(control_.append(kHeadSize), kFin, 0, id);
}

void SmuxSession::close(StreamId id, bool) {
  const auto found = streams_.find(id);
  if (found == streams_.end()) return;
  if (found->second.announced && !found->second.ended) put_head(control_.append(kHeadSize), kFin, 0, id);
  streams_.erase(found);
}

// --- receiving ---

std::error_code SmuxSession::receive(std::span<const std::uint8_t> bytes, Events& events) {
  return cutter_.cut(
      bytes, [&](const std::uint8_t* head, std::size_t& length) { return begin_frame(head, length, events); },
      [&](std::span<const std::uint8_t> data, bool) {
        const auto found = streams_.find(target_);
        if (found != streams_.end() && !found->second.peer_ended) events.on_data(target_, data);
      });
}

std::error_code SmuxSession::begin_frame(const std::uint8_t* head, std::size_t& length, Events& events) {
  length = head[2] | std::size_t{head[3]} << 8;
  if (head[0] != kVersion || head[1] > kNop || (head[1] != kPsh && length != 0)) return Errc::kBadFrame;
  const StreamId id = head[4] | StreamId{head[5]} << 8 | StreamId{head[6]} << 16 | StreamId{head[7]} << 24;
  target_ = id;
  const auto found = streams_.find(id);
  if (head[1] == kSyn) {
    if (role_ == Role::kClient || found != streams_.end() || id == 0) return Errc::kBadFrame;
    streams_.emplace(id, Stream{.announced = true});
    events.on_open(id, {});
  } else if (head[1] == kFin && found != streams_.end() && !found->second.peer_ended) {
    if (!found->second.ended) {
      found->second.peer_ended = true;
      events.on_end(id);
    } else {
      streams_.erase(found);
      events.on_close(id, winze::Errc::kEof);
    }
  }
  return control_.size() > kControlLimit ? std::error_code(Errc::kFlood) : std::error_code();
}

}  // namespace winze::mux
