#include "proto/shadowsocks/datagram_parts.h"

#include <array>
#include <cstring>

#include "proto/shadowsocks/wire.h"
#include "winze/base/bytes.h"
#include "winze/proto/socks/address.h"

namespace winze::shadowsocks {
namespace {

constexpr std::uint8_t kZeroNonce[24]{};

// What is asked of name servers tells by its length what it is.
std::size_t datagram_padding(std::size_t payload, std::uint16_t port, Random& random) {
  if (port != 53 || payload >= kMaxPadding) return 0;
  return 1 + static_cast<std::size_t>(random.below(kMaxPadding - payload));
}

Drop take_address(Reader& reader, Destination& peer) {
  Destination decoded;
  decoded.network = Network::kUdp;
  if (socks::decode_address(reader, decoded) != socks::AddressResult::kDone) return Drop::kMalformed;
  peer = std::move(decoded);
  return Drop::kNone;
}

}  // namespace

// --- 2017 ---

SaltedCipher::SaltedCipher(Method method, const Secret& key)
    : method_(method),
      key_(key),
      aead_(session_aead(method, key.span(), {kZeroNonce, 16})),
      nonce_size_(method == Method::kXChaCha20Poly1305 ? 24 : 12) {}

void SaltedCipher::rekey(std::span<const std::uint8_t> salt) {
  std::array<std::uint8_t, kMaxKeySize> derived;
  derive_session_key(method_, key_.span(), salt, std::span(derived).first(key_.size()));
  (void)aead_.rekey(std::span(derived).first(key_.size()));
  secure_wipe(derived);
}

void SaltedCipher::seal(Buffer& datagram, const Destination& peer, Random& random) {
  socks::prepend_address(peer, datagram);
  const std::size_t size = datagram.size();
  datagram.append(kTagSize);
  std::uint8_t* salt = datagram.prepend(key_.size());
  random.fill({salt, key_.size()});
  rekey({salt, key_.size()});
  std::uint8_t* plain = salt + key_.size();
  (void)aead_.seal({kZeroNonce, nonce_size_}, {}, {plain, size}, plain + size);
}

Drop SaltedCipher::open(Buffer& datagram, Destination& peer) {
  if (datagram.size() < key_.size() + 1 + 4 + 2 + kTagSize) return Drop::kShort;
  rekey(datagram.span().first(key_.size()));
  datagram.trim_front(key_.size());
  const std::size_t size = datagram.size() - kTagSize;
  if (!aead_.open({kZeroNonce, nonce_size_}, {}, datagram.span().first(size), datagram.data() + size)) {
    return Drop::kBadTag;
  }
  datagram.trim_back(kTagSize);
  Reader reader(datagram.span());
  if (const Drop drop = take_address(reader, peer); drop != Drop::kNone) return drop;
  datagram.trim_front(reader.consumed());
  return Drop::kNone;
}

// --- 2022 ---

void put_body(Buffer& datagram, const Destination& peer, std::uint8_t type, std::optional<std::uint64_t> about,
              const Surroundings& around) {
  const std::size_t padding = datagram_padding(datagram.size(), peer.port, around.random);
  socks::prepend_address(peer, datagram);
  if (padding != 0) std::memset(datagram.prepend(padding), 0, padding);
  store_u16(datagram.prepend(2), static_cast<std::uint16_t>(padding));
  if (about) store_u64(datagram.prepend(8), *about);
  store_u64(datagram.prepend(8), static_cast<std::uint64_t>(around.clock.unix_now()));
  *datagram.prepend(1) = type;
}

Drop take_body(Buffer& datagram, Destination& peer, std::uint8_t type, std::optional<std::uint64_t> about,
               UnixTime now) {
  Reader reader(datagram.span());
  if (reader.u8() != type) return Drop::kWrongType;
  if (!is_timely(reader.u64(), now)) return Drop::kBadTime;
  if (about && reader.u64() != *about) return Drop::kForeign;
  reader.skip(reader.u16());
  if (const Drop drop = take_address(reader, peer); drop != Drop::kNone) return drop;
  datagram.trim_front(reader.consumed());
  return Drop::kNone;
}

SessionCipher::SessionCipher(Method method, const Secret& key, std::uint64_t session_id) : id(session_id) {
  std::uint8_t bytes[8];
  store_u64(bytes, session_id);
  if (method != Method::k2022ChaCha20Poly1305) aead = session_aead(method, key.span(), bytes);
}

// The key has one of the algorithms' sizes, so that creating cannot fail.
HeadCipher::HeadCipher(Method method, const Secret& key) {
  if (method == Method::k2022ChaCha20Poly1305) {
    aead_ = *Aead::create(AeadAlgorithm::kXChaCha20Poly1305, key.span());
  } else {
    block_ = *AesBlock::create(key.span());
  }
}

void HeadCipher::seal(Buffer& body, const SessionCipher& session, std::uint64_t number, std::size_t identities,
                      Random& random) {
  std::size_t size = body.size();
  body.append(kTagSize);
  if (is_aes()) {
    std::uint8_t* head = body.prepend(kHeadSize + identities);
    store_u64(head, session.id);
    store_u64(head + 8, number);
    std::uint8_t* plain = head + kHeadSize + identities;
    (void)session.aead->seal({head + 4, 12}, {}, {plain, size}, plain + size);
    return;
  }
  std::uint8_t* nonce = body.prepend(kLongNonceSize + kHeadSize);
  random.fill({nonce, kLongNonceSize});
  std::uint8_t* plain = nonce + kLongNonceSize;
  store_u64(plain, session.id);
  store_u64(plain + 8, number);
  size += kHeadSize;
  (void)aead_->seal({nonce, kLongNonceSize}, {}, {plain, size}, plain + size);
}

void HeadCipher::hide_head(Buffer& datagram) const {
  if (is_aes()) block_->encrypt(datagram.data(), datagram.data());
}

Drop HeadCipher::open_head(Buffer& datagram, std::uint64_t& session, std::uint64_t& number) {
  const std::size_t least = (is_aes() ? 0 : kLongNonceSize) + kHeadSize + kBodyStartSize + kTagSize;
  if (datagram.size() < least) return Drop::kShort;
  if (is_aes()) {
    block_->decrypt(datagram.data(), datagram.data());
    session = load_u64(datagram.data());
    number = load_u64(datagram.data() + 8);
    return Drop::kNone;
  }
  const std::span<const std::uint8_t> nonce = datagram.span().first(kLongNonceSize);
  datagram.trim_front(kLongNonceSize);
  const std::size_t size = datagram.size() - kTagSize;
  if (!aead_->open(nonce, {}, datagram.span().first(size), datagram.data() + size)) return Drop::kBadTag;
  session = load_u64(datagram.data());
  number = load_u64(datagram.data() + 8);
  datagram.trim_front(kHeadSize);
  datagram.trim_back(kTagSize);
  return Drop::kNone;
}

Drop HeadCipher::open_body(Buffer& datagram, const SessionCipher& session, std::size_t identities) const {
  if (!is_aes()) return Drop::kNone;
  if (datagram.size() < kHeadSize + identities + kBodyStartSize + kTagSize) return Drop::kShort;
  const std::uint8_t* nonce = datagram.data() + 4;
  datagram.trim_front(kHeadSize + identities);
  const std::size_t size = datagram.size() - kTagSize;
  if (!session.aead->open({nonce, 12}, {}, datagram.span().first(size), datagram.data() + size)) return Drop::kBadTag;
  datagram.trim_back(kTagSize);
  return Drop::kNone;
}

}  // namespace winze::shadowsocks
