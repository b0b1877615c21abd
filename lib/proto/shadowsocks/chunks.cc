#include "proto/shadowsocks/chunks.h"

#include <algorithm>
#include <utility>

#include "winze/base/bytes.h"
#include "winze/base/error.h"
#include "winze/proto/shadowsocks/error.h"

namespace winze::shadowsocks {
namespace {

std::size_t nonce_size(Method method) { return method == Method::kXChaCha20Poly1305 ? 24 : 12; }

}  // namespace

// --- sealing ---

ChunkSealer::ChunkSealer(Method method, std::span<const std::uint8_t> key, std::span<const std::uint8_t> salt,
                         BufferPool& pool)
    : aead_(session_aead(method, key, salt)), nonce_size_(nonce_size(method)), max_(max_chunk(method)), pool_(pool) {}

void ChunkSealer::seal_unit(std::uint8_t* data, std::size_t size) {
  (void)aead_.seal(counter_.next(nonce_size_), {}, {data, size}, data + size);
}

void ChunkSealer::seal(Buffer& data, std::size_t front) {
  const std::size_t size = data.size();
  if (size == 0) return;
  if (size <= max_) {
    data.ensure_room({front + kLengthSize, kTagSize});
    std::uint8_t* chunk = data.prepend(kLengthSize);
    data.append(kTagSize);
    return write({chunk + kLengthSize, size}, chunk);
  }
  const std::size_t chunks = (size + max_ - 1) / max_;
  Buffer out = pool_.acquire(front + size + chunks * kChunkOverhead, front);
  while (!data.empty()) {
    const std::size_t n = std::min(data.size(), max_);
    write(data.span().first(n), out.append(n + kChunkOverhead));
    data.trim_front(n);
  }
  data = std::move(out);
}

// `payload` is in its place in the chunk, or elsewhere.
void ChunkSealer::write(std::span<const std::uint8_t> payload, std::uint8_t* chunk) {
  store_u16(chunk, static_cast<std::uint16_t>(payload.size()));
  seal_unit(chunk, 2);
  std::uint8_t* sealed = chunk + kLengthSize;
  (void)aead_.seal(counter_.next(nonce_size_), {}, payload, sealed, sealed + payload.size());
}

// --- opening ---

ChunkOpener::ChunkOpener(Method method, std::span<const std::uint8_t> key, std::span<const std::uint8_t> salt,
                         BufferPool& pool)
    : aead_(session_aead(method, key, salt)), nonce_size_(nonce_size(method)), pool_(pool) {}

bool ChunkOpener::open_unit(std::span<std::uint8_t> unit) {
  const std::size_t size = unit.size() - kTagSize;
  begun_ = aead_.open(counter_.next(nonce_size_), {}, unit.first(size), unit.data() + size);
  return begun_;
}

std::error_code ChunkOpener::open_length(std::span<std::uint8_t> unit) {
  if (!open_unit(unit)) return Errc::kBadChunk;
  length_ = load_u16(unit.data());
  return {};
}

// The unit of `size` bytes that comes next, or nothing, and `data` empty, while it is incomplete.
std::span<std::uint8_t> ChunkOpener::take(Buffer& data, std::size_t size) {
  if (std::exchange(taken_, false)) partial_.release();
  if (partial_.empty()) {
    if (data.size() >= size) {
      std::uint8_t* unit = data.data();
      data.trim_front(size);
      return {unit, size};
    }
    if (data.empty()) return {};
    partial_ = pool_.acquire(size);
  }
  const std::size_t n = std::min(size - partial_.size(), data.size());
  partial_.append(std::as_const(data).span().first(n));
  data.trim_front(n);
  if (partial_.size() < size) return {};
  taken_ = true;
  return partial_.span();
}

// A chunk that has come whole and alone is opened where it stands. Of several the first could be, but those behind it
// would have to move up: they are opened into a second buffer, which costs no copy.
std::error_code ChunkOpener::open(Buffer& data) {
  Buffer plain;
  std::error_code error;
  while (!error) {
    if (!length_) {
      const auto unit = take(data, kLengthSize);
      if (unit.empty()) break;
      error = open_length(unit);
    } else if (plain.capacity() == 0 && (partial_.empty() || taken_) && data.size() == *length_ + kTagSize) {
      return open_in_place(data);
    } else {
      if (plain.capacity() == 0) plain = acquire(data);
      const auto unit = take(data, *length_ + kTagSize);
      if (unit.empty()) break;
      error = open_into(plain, unit);
    }
  }
  data = std::move(plain);
  return error;
}

std::error_code ChunkOpener::open_in_place(Buffer& data) {
  if (std::exchange(taken_, false)) partial_.release();
  length_.reset();
  if (!open_unit(data.span())) {
    data.clear();
    return Errc::kBadChunk;
  }
  data.trim_back(kTagSize);
  return {};
}

std::error_code ChunkOpener::open_into(Buffer& plain, std::span<const std::uint8_t> unit) {
  const std::size_t length = *std::exchange(length_, std::nullopt);
  std::uint8_t* out = plain.append(length);
  begun_ = aead_.open(counter_.next(nonce_size_), {}, unit.first(length), out, unit.data() + length);
  if (begun_) return {};
  plain.trim_back(length);
  return Errc::kBadChunk;
}

// Room for all that `data` and what is kept can yield, with as much around it as `data` has.
Buffer ChunkOpener::acquire(const Buffer& data) {
  const std::size_t front = data.headroom();
  return pool_.acquire(front + partial_.size() + data.size() + data.tailroom(), front);
}

}  // namespace winze::shadowsocks
