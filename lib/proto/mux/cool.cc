#include "winze/proto/mux/cool.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "winze/base/bytes.h"
#include "winze/base/error.h"
#include "winze/proto/mux/error.h"
#include "winze/proto/port_address.h"

namespace winze::mux {
namespace {

enum Status : std::uint8_t { kNew = 1, kKeep = 2, kEnd = 3, kKeepAlive = 4 };
enum Option : std::uint8_t { kData = 1, kFailed = 2 };
enum Net : std::uint8_t { kTcp = 1, kUdp = 2 };

constexpr std::size_t kLeastMeta = 4;
constexpr std::size_t kLargestMeta = 512;
constexpr std::size_t kKeepSize = 2 + kLeastMeta + 2;  // with the length of the data
constexpr std::size_t kLargestChunk = 65535;

// How long a head is of which `bytes` are there; grows with them until it is known.
std::size_t head_size_of(std::span<const std::uint8_t> bytes) {
  if (bytes.size() < 2) return 2;
  const std::size_t meta = load_u16(bytes.data());
  if (bytes.size() < 2 + kLeastMeta) return 2 + kLeastMeta;
  return 2 + meta + ((bytes[5] & kData) != 0 ? 2 : 0);
}

// Encodes a head at the end of `out`; `length` bytes of data follow it, or none and no length.
struct HeadWriter {
  HeadWriter(StreamId id, Status status, std::uint8_t option) {
    Writer writer(bytes);
    writer.u16(0);
    writer.u16(static_cast<std::uint16_t>(id));
    writer.u8(status);
    writer.u8(option);
  }
  void finish(std::size_t length) {
    store_u16(bytes.data(), static_cast<std::uint16_t>(bytes.size() - 2));
    if (length != 0) Writer(bytes).u16(static_cast<std::uint16_t>(length));
  }
  Buffer bytes{2 + kLeastMeta + 1 + kMaxPortAddressSize + sizeof(GlobalId) + 2};
};

Buffer new_head(StreamId id, const Opening& opening, std::size_t length) {
  HeadWriter head(id, kNew, length != 0 ? kData : 0);
  Writer(head.bytes).u8(opening.datagrams ? kUdp : kTcp);
  (void)encode_port_address(opening.destination, head.bytes);
  // By its place alone a server knows that the datagrams will have addresses.
  if (opening.any_peer) Writer(head.bytes).bytes(opening.global_id);
  head.finish(length);
  return std::move(head.bytes);
}

void put_keep(std::uint8_t* at, StreamId id, std::size_t length) {
  store_u16(at, kLeastMeta);
  store_u16(at + 2, static_cast<std::uint16_t>(id));
  at[4] = kKeep;
  at[5] = kData;
  store_u16(at + 6, static_cast<std::uint16_t>(length));
}

}  // namespace

bool is_cool(const Destination& destination) {
  return destination.is_name() && *destination.name() == "v1.mux.cool" && destination.network == Network::kTcp;
}

// --- sending ---

std::optional<StreamId> CoolSession::open(const Opening& opening) {
  if (!may_open()) return std::nullopt;
  ++opened_;
  const StreamId id = lone_ ? 0 : opened_;
  streams_.emplace(id, Stream{.opening = opening});
  return id;
}

bool CoolSession::is_unannounced(StreamId id) const {
  const auto found = streams_.find(id);
  return found != streams_.end() && !found->second.announced;
}

void CoolSession::seal(StreamId id, Buffer& data) {
  const auto found = streams_.find(id);
  if (found == streams_.end()) return data.clear();
  const std::size_t size = data.size();
  const std::size_t first = std::min(size, kLargestChunk);
  Buffer opening;
  if (!std::exchange(found->second.announced, true)) opening = new_head(id, found->second.opening, first);
  if (size == 0) {
    data = std::move(opening);
    return;
  }
  // Heads of later chunks stand between the payload, which moves to make room: all but the last chunk.
  const std::size_t later = (size - 1) / kLargestChunk;
  const std::size_t head = opening.empty() ? kKeepSize : opening.size();
  std::uint8_t* to = data.prepend(head + later * kKeepSize);
  const std::uint8_t* from = to + head + later * kKeepSize;
  if (opening.empty()) {
    put_keep(to, id, first);
  } else {
    std::memcpy(to, opening.data(), head);
  }
  to += head;
  for (std::size_t left = size, chunk = first; left != 0; chunk = std::min(left, kLargestChunk)) {
    if (left != size) {
      put_keep(to, id, chunk);
      to += kKeepSize;
    }
    if (to != from) std::memmove(to, from, chunk);
    to += chunk;
    from += chunk;
    left -= chunk;
  }
}

bool CoolSession::seal_datagram(StreamId id, Buffer& payload, const Destination* peer) {
  const auto found = streams_.find(id);
  if (found == streams_.end() || payload.empty() || payload.size() > kLargestDatagram) return false;
  Stream& stream = found->second;
  const bool addressed = stream.opening.any_peer && peer != nullptr;
  Buffer head;
  if (!stream.announced) {
    if (addressed) stream.opening.destination = *peer;
    Buffer encoded;
    if (!encode_port_address(stream.opening.destination, encoded)) return false;
    stream.announced = true;
    head = new_head(id, stream.opening, payload.size());
  } else if (addressed) {
    HeadWriter keep(id, kKeep, kData);
    Writer(keep.bytes).u8(kUdp);
    if (!encode_port_address(*peer, keep.bytes)) return false;
    keep.finish(payload.size());
    head = std::move(keep.bytes);
  } else {
    const std::size_t size = payload.size();
    put_keep(payload.prepend(kKeepSize), id, size);
    return true;
  }
  std::memcpy(payload.prepend(head.size()), head.data(), head.size());
  return true;
}

void CoolSession::put_end(StreamId id, bool failed) {
  HeadWriter head(id, kEnd, failed ? kFailed : 0);
  head.finish(0);
  control_.append(std::as_const(head.bytes).span());
}

void CoolSession::end(StreamId id) {
  const auto found = streams_.find(id);
  if (found == streams_.end() || std::exchange(found->second.ended, true)) return;
  if (!std::exchange(found->second.announced, true)) {
    const Buffer head = new_head(id, found->second.opening, 0);
    control_.append(head.span());
  }
  put_end(id, false);
}

void CoolSession::close(StreamId id, bool failed) {
  const auto found = streams_.find(id);
  if (found == streams_.end()) return;
  if (found->second.announced && !found->second.ended) put_end(id, failed);
  streams_.erase(found);
}

// --- receiving ---

std::error_code CoolSession::receive(std::span<const std::uint8_t> bytes, Events& events) {
  while (!bytes.empty()) {
    if (left_ != 0) {
      const std::size_t n = std::min(left_, bytes.size());
      take_data(bytes.first(n), events);
      bytes = bytes.subspan(n);
      continue;
    }
    Head head;
    std::error_code error;
    std::size_t size = 0;
    if (partial_.empty()) {
      size = parse_head(bytes, head, error);
      if (size == 0 && !error) partial_.append(bytes);
      bytes = bytes.subspan(size == 0 ? bytes.size() : size);
    } else {
      const std::size_t n = std::min(head_size_of(std::as_const(partial_).span()) - partial_.size(), bytes.size());
      partial_.append(bytes.first(n));
      bytes = bytes.subspan(n);
      size = parse_head(std::as_const(partial_).span(), head, error);
      if (size != 0) partial_.release();
    }
    if (error) return error;
    if (size == 0) continue;
    if (std::error_code failed = begin_frame(std::move(head), events)) return failed;
  }
  return {};
}

std::size_t CoolSession::parse_head(std::span<const std::uint8_t> bytes, Head& head, std::error_code& error) const {
  if (bytes.size() < 2) return 0;
  const std::size_t meta = load_u16(bytes.data());
  if (meta < kLeastMeta || meta > kLargestMeta) {
    error = Errc::kBadFrame;
    return 0;
  }
  const std::size_t size = head_size_of(bytes);
  if (bytes.size() < 2 + kLeastMeta || bytes.size() < size) return 0;
  Reader reader(bytes.subspan(2, meta));
  head.id = reader.u16();
  head.status = reader.u8();
  head.option = reader.u8();
  if ((head.option & kData) != 0) head.length = load_u16(bytes.data() + 2 + meta);
  if (head.status == kNew) {
    const std::uint8_t network = reader.u8();
    if (network != kTcp && network != kUdp) {
      error = Errc::kBadFrame;
      return 0;
    }
    head.opening.datagrams = network == kUdp;
    head.opening.destination.network = head.opening.datagrams ? Network::kUdp : Network::kTcp;
    head.has_peer = decode_port_address(reader, head.opening.destination) == PortAddressError::kNone;
    if (head.opening.datagrams && head.length != 0 && reader.remaining() >= sizeof(GlobalId)) {
      std::ranges::copy(reader.bytes(sizeof(GlobalId)), head.opening.global_id.begin());
      head.opening.any_peer = true;
    }
    if (head.opening.datagrams && head.id == 0) head.opening.any_peer = true;
  } else if (head.status == kKeep && meta > kLeastMeta && reader.u8() == kUdp) {
    head.peer.network = Network::kUdp;
    head.has_peer = decode_port_address(reader, head.peer) == PortAddressError::kNone;
  }
  return size;
}

std::error_code CoolSession::begin_frame(Head head, Events& events) {
  left_ = head.length;
  target_ = head.id;
  kind_ = Kind::kDiscard;
  has_peer_ = false;
  switch (head.status) {
    case kNew:
      if (role_ == Role::kClient || streams_.contains(head.id)) return Errc::kBadFrame;
      begin_stream(head, events);
      break;
    case kKeep:
      if (!streams_.contains(head.id)) {
        put_end(head.id, false);
        break;
      }
      has_peer_ = head.has_peer;
      peer_ = std::move(head.peer);
      break;
    case kEnd:
      end_stream(head, events);
      return {};
    case kKeepAlive:
      return {};
    default:
      return Errc::kBadFrame;
  }
  const auto found = streams_.find(head.id);
  if (found != streams_.end() && !found->second.peer_ended) {
    kind_ = found->second.opening.datagrams ? Kind::kDatagram : Kind::kBytes;
  }
  return control_.size() > kControlLimit ? std::error_code(Errc::kFlood) : std::error_code();
}

void CoolSession::begin_stream(Head& head, Events& events) {
  // The destination that cannot be read is nobody's: the others on this carrier need not suffer.
  if (!head.has_peer) return put_end(head.id, true);
  streams_.emplace(head.id, Stream{.opening = head.opening, .announced = true});
  events.on_open(head.id, std::move(head.opening));
}

void CoolSession::end_stream(const Head& head, Events& events) {
  const auto found = streams_.find(head.id);
  if (found == streams_.end()) return;
  Stream& stream = found->second;
  const bool failed = (head.option & kFailed) != 0;
  // An answer to our End has option 2 although nothing has failed.
  if (stream.ended || stream.peer_ended || failed) {
    const std::error_code error = failed && !stream.ended ? Errc::kReset : winze::make_error_code(winze::Errc::kEof);
    if (!stream.ended) put_end(head.id, false);
    streams_.erase(found);
    return events.on_close(head.id, error);
  }
  stream.peer_ended = true;
  events.on_end(head.id);
}

void CoolSession::take_data(std::span<const std::uint8_t> bytes, Events& events) {
  left_ -= bytes.size();
  // A stream that has been closed meanwhile takes no more.
  if (kind_ == Kind::kDiscard || !streams_.contains(target_)) return partial_.release();
  if (kind_ == Kind::kBytes) return events.on_data(target_, bytes);
  if (left_ == 0 && partial_.empty()) {
    return events.on_datagram(target_, has_peer_ ? &peer_ : nullptr, bytes);
  }
  partial_.append(bytes);
  if (left_ != 0) return;
  const Buffer whole = std::move(partial_);
  events.on_datagram(target_, has_peer_ ? &peer_ : nullptr, whole.span());
}

}  // namespace winze::mux
