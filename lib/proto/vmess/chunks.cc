#include "winze/proto/vmess/chunks.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "kdf.h"
#include "winze/base/bytes.h"
#include "winze/base/error.h"
#include "winze/base/secret.h"
#include "winze/crypto/mac.h"
#include "winze/proto/vless/datagram.h"
#include "winze/proto/vmess/error.h"

namespace winze::vmess {
namespace {

// Room left around opened bytes, for the headers of layers above.
constexpr Overhead kOpenedRoom{.front = 64, .back = 64};

bool is_aead(Security security) { return security == Security::kAes128Gcm || security == Security::kChaCha20Poly1305; }

std::array<std::uint8_t, 16> digest_of(HashAlgorithm algorithm, std::span<const std::uint8_t> bytes) {
  const auto hash = hash_of(algorithm, {bytes});
  std::array<std::uint8_t, 16> out;
  std::copy_n(hash.begin(), out.size(), out.begin());
  return out;
}

// ChaCha20's key is made of the 16 bytes by MD5.
Aead make_aead(Security security, const std::array<std::uint8_t, 16>& key) {
  if (security == Security::kAes128Gcm) return *Aead::create(AeadAlgorithm::kAesGcm, key);
  std::array<std::uint8_t, 32> expanded;
  auto half = digest_of(HashAlgorithm::kMd5, key);
  std::copy(half.begin(), half.end(), expanded.begin());
  half = digest_of(HashAlgorithm::kMd5, half);
  std::copy(half.begin(), half.end(), expanded.begin() + 16);
  Aead aead = *Aead::create(AeadAlgorithm::kChaCha20Poly1305, expanded);
  secure_wipe(half);
  secure_wipe(expanded);
  return aead;
}

}  // namespace

bool is_valid(const BodyFormat& format) {
  const bool padding_without_mask = (format.options & (kGlobalPadding | kChunkMasking)) == kGlobalPadding;
  const bool unbounded = format.datagrams && !is_aead(format.security) && (format.options & kChunkStream) == 0;
  return !padding_without_mask && !unbounded;
}

BodyKeys::~BodyKeys() {
  secure_wipe(key);
  secure_wipe(iv);
}

BodyKeys response_keys(const BodyKeys& request) {
  return {.key = digest_of(HashAlgorithm::kSha256, request.key), .iv = digest_of(HashAlgorithm::kSha256, request.iv)};
}

ChunkKeys::ChunkKeys(const BodyFormat& format, const BodyKeys& keys, const BodyKeys& request)
    : iv_(keys.iv),
      size_iv_(request.iv),
      datagrams_(format.datagrams),
      ends_((format.options & kChunkStream) != 0),
      raw_(!is_aead(format.security) && !ends_),
      masks_((format.options & kChunkMasking) != 0),
      pads_((format.options & kGlobalPadding) != 0 && (is_aead(format.security) || datagrams_)) {
  if (masks_ && !raw_) shake_.emplace(iv_);
  if (!is_aead(format.security)) return;
  aead_.emplace(make_aead(format.security, keys.key));
  if ((format.options & kAuthenticatedLength) == 0) return;
  auto size_key = Kdf().derive_key(request.key, {as_bytes("auth_len")});
  size_aead_.emplace(make_aead(format.security, size_key));
  secure_wipe(size_key);
  masks_ = false;
}

std::uint16_t ChunkKeys::draw() {
  std::uint8_t word[2];
  shake_->read(word);
  return load_u16(word);
}

std::array<std::uint8_t, 12> ChunkKeys::nonce(const std::array<std::uint8_t, 16>& iv) const {
  std::array<std::uint8_t, 12> out;
  std::copy_n(iv.begin(), out.size(), out.begin());
  store_u16(out.data(), number_);
  return out;
}

// --- sealing ---

Overhead ChunkSealer::overhead() const {
  if (is_raw()) return {};
  // A datagram comes with the two bytes of its length, in whose place the size goes.
  return {.front = size_field() - (datagrams_ ? 2 : 0), .back = tag_size() + kMaxPadding};
}

void ChunkSealer::seal(Buffer& data, std::size_t room) {
  if (is_raw() || data.empty()) return;
  if (datagrams_) return seal_datagrams(data, room);
  data.size() <= kMaxChunkData ? seal_one(data, draw_padding()) : seal_many(data, room);
}

void ChunkSealer::seal_one(Buffer& data, std::size_t padding) {
  const std::size_t size = data.size();
  data.prepend(size_field());
  data.append(tag_size() + padding);
  write({data.data() + size_field(), size}, padding, data.data());
}

void ChunkSealer::seal_many(Buffer& data, std::size_t room) {
  const std::size_t chunks = (data.size() + kMaxChunkData - 1) / kMaxChunkData;
  Buffer out = pool_.acquire(room + data.size() + chunks * (size_field() + tag_size() + kMaxPadding), room);
  while (!data.empty()) {
    const std::size_t n = std::min(data.size(), kMaxChunkData);
    append_chunk(data.span().first(n), out);
    data.trim_front(n);
  }
  data = std::move(out);
}

void ChunkSealer::seal_datagrams(Buffer& data, std::size_t room) {
  if (!rest_.empty()) {
    rest_.append(data.span());
    data = std::move(rest_);
  }
  const std::size_t first = data.size() < 2 ? 0 : load_u16(data.data());
  if (first != 0 && first <= kMaxChunkDatagram && data.size() == 2 + first) {
    data.trim_front(2);
    return seal_one(data, draw_padding());
  }
  std::size_t count = 0;
  auto bytes = std::as_const(data).span();
  while (vless::decode_datagram(bytes)) ++count;
  Buffer out = pool_.acquire(room + data.size() + count * (size_field() + tag_size() + kMaxPadding), room);
  bytes = std::as_const(data).span();
  while (const auto datagram = vless::decode_datagram(bytes)) {
    if (datagram->size() <= kMaxChunkDatagram) append_chunk(*datagram, out);
  }
  if (!bytes.empty()) rest_ = Buffer::copy_of(bytes);
  data = std::move(out);
}

void ChunkSealer::seal_end(Buffer& out) {
  if (ends_) append_chunk({}, out);
}

void ChunkSealer::append_chunk(std::span<const std::uint8_t> data, Buffer& out) {
  const std::size_t padding = draw_padding();
  write(data, padding, out.append(size_field() + data.size() + tag_size() + padding));
}

// `data` may lie where it comes to lie in `out`.
void ChunkSealer::write(std::span<const std::uint8_t> data, std::size_t padding, std::uint8_t* out) {
  std::uint8_t* body = out + size_field();
  std::uint8_t* tag = body + data.size();
  if (size_aead_) {
    store_u16(out, static_cast<std::uint16_t>(data.size() + padding));
    (void)size_aead_->seal(nonce(size_iv_), {}, {out, 2}, out + 2);
  } else {
    store_u16(out, static_cast<std::uint16_t>((data.size() + tag_size() + padding) ^ draw_mask()));
  }
  if (aead_) {
    (void)aead_->seal(nonce(iv_), {}, data, body, tag);
  } else if (!data.empty() && data.data() != body) {
    std::memcpy(body, data.data(), data.size());
  }
  if (padding != 0) random_.fill({tag + tag_size(), padding});
  ++number_;
}

// --- opening ---

std::error_code ChunkOpener::open(Buffer& data) {
  if (is_raw()) return {};
  // One whole chunk and nothing else: the usual case of a short message.
  if (partial_.empty() && !sized_ && data.size() > size_field()) {
    if (std::error_code error = read_size(data.span().first(size_field()))) {
      data.clear();
      return error;
    }
    data.trim_front(size_field());
    if (data.size() == chunk_) return open_in_place(data);
  }
  Buffer plain;
  bool more = true;
  std::error_code error;
  while (more && !error) error = open_next(data, plain, more);
  data = std::move(plain);
  return error;
}

// The bytes that `field` held before are still there: a length goes where the size has been.
std::error_code ChunkOpener::open_in_place(Buffer& data) {
  const std::size_t size = data_size();
  const std::error_code error = open_one(data.span(), data.data());
  if (error) {
    data.clear();
    return error;
  }
  data.trim_back(data.size() - size);
  if (datagrams_) store_u16(data.prepend(2), static_cast<std::uint16_t>(size));
  return {};
}

// Opens the next chunk, if it is all there, to the end of `plain`.
std::error_code ChunkOpener::open_next(Buffer& data, Buffer& plain, bool& more) {
  more = false;
  if (!sized_) {
    const auto field = take(data, size_field());
    if (field.empty()) return {};
    const std::error_code error = read_size(field);
    partial_.release();
    if (error) return error;
  }
  if (chunk_ == 0) return winze::Errc::kEof;
  const auto chunk = take(data, chunk_);
  if (chunk.empty()) return {};
  if (plain.capacity() == 0) {
    plain = pool_.acquire(kOpenedRoom.front + size_field() + chunk.size() + data.size() + kOpenedRoom.back,
                          kOpenedRoom.front);
  }
  const std::size_t size = data_size();
  if (datagrams_) store_u16(plain.append(2), static_cast<std::uint16_t>(size));
  const std::error_code error = open_one(chunk, plain.append(size));
  partial_.release();
  if (error) {
    plain.trim_back(size + (datagrams_ ? 2 : 0));
    return error;
  }
  more = true;
  return {};
}

// `n` bytes in one piece; nothing while they are not all there, and what is there is kept.
std::span<std::uint8_t> ChunkOpener::take(Buffer& data, std::size_t n) {
  if (partial_.empty() && data.size() >= n) {
    const auto bytes = data.span().first(n);
    data.trim_front(n);
    return bytes;
  }
  if (partial_.empty() && !data.empty()) partial_ = pool_.acquire(n);
  const std::size_t missing = std::min(n - partial_.size(), data.size());
  partial_.append(data.span().first(missing));
  data.trim_front(missing);
  return partial_.size() == n ? partial_.span() : std::span<std::uint8_t>();
}

std::error_code ChunkOpener::read_size(std::span<std::uint8_t> field) {
  padding_ = draw_padding();
  if (size_aead_) {
    if (!size_aead_->open(nonce(size_iv_), {}, field.first(2), field.data() + 2)) return Errc::kBadChunk;
    chunk_ = load_u16(field.data()) + tag_size();
  } else {
    chunk_ = static_cast<std::uint16_t>(load_u16(field.data()) ^ draw_mask());
  }
  if (chunk_ < tag_size() + padding_) return Errc::kBadChunk;
  sized_ = true;
  return {};
}

// An end is believed for its tag, not for its size, which may be anybody's.
std::error_code ChunkOpener::open_one(std::span<const std::uint8_t> chunk, std::uint8_t* out) {
  sized_ = false;
  const auto data = chunk.first(data_size());
  if (aead_) {
    if (!aead_->open(nonce(iv_), {}, data, out, chunk.data() + data.size())) return Errc::kBadChunk;
  } else if (!data.empty() && data.data() != out) {
    std::memcpy(out, data.data(), data.size());
  }
  ++number_;
  return data.empty() ? std::error_code(winze::Errc::kEof) : std::error_code();
}

std::error_code ChunkOpener::open_end() const {
  return partial_.empty() && !sized_ ? winze::Errc::kEof : winze::Errc::kTruncated;
}

}  // namespace winze::vmess
