#include "transform.h"

#include <absl/status/status.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "winze/base/bytes.h"

namespace winze::esp {
namespace {

struct IntegrityRow {
  MacAlgorithm mac;
  std::uint8_t key_size;
  std::uint8_t icv_size;
  bool legacy;
};
// By Integrity; kNone has no row.
constexpr IntegrityRow kIntegrities[] = {
    {MacAlgorithm::kHmacSha1, 20, 12, false},   {MacAlgorithm::kHmacSha256, 32, 16, false},
    {MacAlgorithm::kHmacSha384, 48, 24, false}, {MacAlgorithm::kHmacSha512, 64, 32, false},
    {MacAlgorithm::kAesXcbcMac, 16, 12, false}, {MacAlgorithm::kAesCmac, 16, 12, false},
    {MacAlgorithm::kHmacMd5, 16, 12, true},     {MacAlgorithm::kHmacSha256, 32, 12, true},
};
const IntegrityRow& row_of(Integrity integrity) { return kIntegrities[static_cast<std::size_t>(integrity) - 1]; }

std::size_t salt_size_of(Encryption encryption) {
  switch (encryption) {
    case Encryption::kAesGcm:
    case Encryption::kAesGmac:
    case Encryption::kChaCha20Poly1305:
    case Encryption::kAesCtr:
      return 4;
    case Encryption::kAesCcm:
      return 3;
    default:
      return 0;
  }
}

AeadAlgorithm aead_of(Encryption encryption) {
  switch (encryption) {
    case Encryption::kAesCcm:
      return AeadAlgorithm::kAesCcm;
    case Encryption::kChaCha20Poly1305:
      return AeadAlgorithm::kChaCha20Poly1305;
    default:
      return AeadAlgorithm::kAesGcm;
  }
}

}  // namespace

std::size_t integrity_key_size(Integrity integrity) noexcept {
  return integrity == Integrity::kNone ? 0 : row_of(integrity).key_size;
}

std::size_t icv_size_of(Integrity integrity) noexcept {
  return integrity == Integrity::kNone ? 0 : row_of(integrity).icv_size;
}

std::size_t encryption_key_size(Encryption encryption, std::size_t aes_key_size) noexcept {
  switch (encryption) {
    case Encryption::kNull:
      return 0;
    case Encryption::kTripleDesCbc:
      return 24;
    case Encryption::kChaCha20Poly1305:
      return 36;
    default:
      return aes_key_size + salt_size_of(encryption);
  }
}

bool is_aead(Encryption encryption) noexcept {
  return encryption == Encryption::kAesGcm || encryption == Encryption::kAesCcm ||
         encryption == Encryption::kChaCha20Poly1305 || encryption == Encryption::kAesGmac;
}

absl::StatusOr<Mac> create_mac(Integrity integrity, const Secret& key, bool legacy) {
  if (integrity == Integrity::kNone) return absl::InvalidArgumentError("integrity: needed with this encryption");
  const IntegrityRow& row = row_of(integrity);
  if (row.legacy && !legacy) return absl::InvalidArgumentError("integrity: legacy, and legacy is not allowed");
  if (key.size() != row.key_size) return absl::InvalidArgumentError("integrity_key: wrong size for the algorithm");
  return Mac::create(row.mac, key.span());
}

Transform::~Transform() { secure_wipe(salt_); }

absl::StatusOr<std::unique_ptr<Transform>> Transform::create(const Algorithms& algorithms, bool esn, Random* random) {
  std::unique_ptr<Transform> t(new Transform);
  t->esn_ = esn;
  t->implicit_iv_ = algorithms.implicit_iv;
  const Encryption encryption = algorithms.encryption;
  if (algorithms.implicit_iv && (!is_aead(encryption) || encryption == Encryption::kAesGmac)) {
    return absl::InvalidArgumentError("implicit_iv: only with AES-GCM, AES-CCM and ChaCha20-Poly1305 (RFC 8750)");
  }
  const std::size_t salt_size = salt_size_of(encryption);
  const std::span<const std::uint8_t> key = algorithms.encryption_key.span();
  if (key.size() < salt_size) return absl::InvalidArgumentError("encryption_key: too short");
  t->salt_size_ = static_cast<std::uint8_t>(salt_size);
  if (salt_size != 0) std::memcpy(t->salt_.data(), key.last(salt_size).data(), salt_size);
  absl::Status status = is_aead(encryption) ? t->init_aead(algorithms) : t->init_cipher(algorithms, random != nullptr);
  if (!status.ok()) return status;
  if (random != nullptr && t->iv_size_ >= t->cipher_block_ && t->cipher_block_ > 1) {
    // RFC 3602 section 3: a CBC IV must be unpredictable. A counter encrypted under a key that nobody knows is.
    Secret iv_key(16);
    random->fill(iv_key.span());
    auto maker = AesBlock::create(iv_key.span());
    if (!maker.ok()) return maker.status();
    t->iv_maker_ = std::move(*maker);
  }
  return t;
}

absl::Status Transform::init_aead(const Algorithms& algorithms) {
  const Encryption encryption = algorithms.encryption;
  if (algorithms.integrity != Integrity::kNone) {
    return absl::InvalidArgumentError("integrity: the encryption authenticates already");
  }
  const std::size_t icv = algorithms.icv_size;
  const bool cut = encryption == Encryption::kAesGcm || encryption == Encryption::kAesCcm;
  if (icv != 16 && !(cut && (icv == 8 || icv == 12))) {
    return absl::InvalidArgumentError("icv_size: the encryption has no such size");
  }
  const auto key = algorithms.encryption_key.span();
  auto aead = Aead::create(aead_of(encryption), key.first(key.size() - salt_size_), icv);
  if (!aead.ok()) return absl::InvalidArgumentError("encryption_key: wrong size for the algorithm");
  aead_ = std::move(*aead);
  kind_ = encryption == Encryption::kAesGmac ? Kind::kGmac : Kind::kAead;
  icv_size_ = static_cast<std::uint8_t>(icv);
  if (implicit_iv_) iv_size_ = 0;
  return absl::OkStatus();
}

absl::Status Transform::init_cipher(const Algorithms& algorithms, bool outbound) {
  kind_ = Kind::kCipherAndMac;
  const auto key = algorithms.encryption_key.span();
  const auto direction = outbound ? Cipher::Direction::kEncrypt : Cipher::Direction::kDecrypt;
  CipherAlgorithm cipher = CipherAlgorithm::kAesCbc;
  switch (algorithms.encryption) {
    case Encryption::kNull:
      iv_size_ = 0;
      if (!key.empty()) return absl::InvalidArgumentError("encryption_key: NULL encryption has none");
      return init_mac(algorithms);
    case Encryption::kAesCtr:
      counter_mode_ = true;
      cipher = CipherAlgorithm::kAesCtr;
      break;
    case Encryption::kTripleDesCbc:
      if (!algorithms.legacy) return absl::InvalidArgumentError("encryption: legacy, and legacy is not allowed");
      cipher = CipherAlgorithm::kTripleDesCbc;
      iv_size_ = alignment_ = cipher_block_ = 8;
      break;
    default:
      iv_size_ = alignment_ = cipher_block_ = 16;
  }
  auto made = Cipher::create(cipher, key.first(key.size() - salt_size_), direction);
  if (!made.ok()) return absl::InvalidArgumentError("encryption_key: wrong size for the algorithm");
  cipher_ = std::move(*made);
  return init_mac(algorithms);
}

absl::Status Transform::init_mac(const Algorithms& algorithms) {
  auto mac = create_mac(algorithms.integrity, algorithms.integrity_key, algorithms.legacy);
  if (!mac.ok()) return mac.status();
  mac_ = std::move(*mac);
  icv_size_ = static_cast<std::uint8_t>(icv_size_of(algorithms.integrity));
  return absl::OkStatus();
}

void Transform::write_iv(std::uint8_t* iv, std::uint64_t sequence) const {
  if (iv_maker_) {
    std::uint8_t block[AesBlock::kSize]{};
    store_u64(block + 8, sequence);
    iv_maker_->encrypt(block, block);
    std::memcpy(iv, block, iv_size_);
  } else if (iv_size_ != 0) {
    // Counter modes need a nonce that does not repeat under the key, and the sequence number is one.
    store_u64(iv, sequence);
  }
}

std::size_t Transform::make_nonce(std::span<std::uint8_t, 16> nonce, const std::uint8_t* iv,
                                  std::uint64_t sequence) const {
  std::memcpy(nonce.data(), salt_.data(), 4);
  if (implicit_iv_) {
    store_u64(nonce.data() + salt_size_, sequence);
  } else {
    std::memcpy(nonce.data() + salt_size_, iv, 8);
  }
  return std::size_t{salt_size_} + 8;
}

std::size_t Transform::make_associated(std::span<std::uint8_t, 12> out, const std::uint8_t* packet,
                                       std::uint64_t sequence) const {
  std::memcpy(out.data(), packet, 4);
  if (!esn_) {
    std::memcpy(out.data() + 4, packet + 4, 4);
    return 8;
  }
  store_u64(out.data() + 4, sequence);
  return 12;
}

bool Transform::seal(Buffer& packet, std::uint64_t sequence) {
  write_iv(packet.data() + kHeaderSize, sequence);
  switch (kind_) {
    case Kind::kAead:
      return apply_aead(packet, sequence, true);
    case Kind::kGmac:
      return apply_gmac(packet, sequence, true);
    case Kind::kCipherAndMac:
      break;
  }
  if (!apply_cipher(packet)) return false;
  const std::size_t covered = packet.size() - icv_size_;
  sum(packet, covered, sequence, packet.span().subspan(covered));
  return true;
}

bool Transform::open(Buffer& packet, std::uint64_t sequence) {
  switch (kind_) {
    case Kind::kAead:
      return apply_aead(packet, sequence, false);
    case Kind::kGmac:
      return apply_gmac(packet, sequence, false);
    case Kind::kCipherAndMac:
      break;
  }
  return verify(packet, sequence) && apply_cipher(packet);
}

bool Transform::apply_aead(Buffer& packet, std::uint64_t sequence, bool seal) const {
  std::uint8_t nonce[16], associated[12];
  std::uint8_t* const p = packet.data();
  const std::size_t nonce_size = make_nonce(nonce, p + kHeaderSize, sequence);
  const std::size_t associated_size = make_associated(associated, p, sequence);
  const std::size_t front = kHeaderSize + iv_size_;
  std::uint8_t* const icv = p + packet.size() - icv_size_;
  const std::span<std::uint8_t> text(p + front, packet.size() - icv_size_ - front);
  return seal ? aead_->seal({nonce, nonce_size}, {associated, associated_size}, text, icv)
              : aead_->open({nonce, nonce_size}, {associated, associated_size}, text, icv);
}

// RFC 4543 section 3.3: all of it is associated data, the IV too. With ESN the high half of the number stands between
// the SPI and the low half; the packet is made to read so, and back, rather than copied.
bool Transform::apply_gmac(Buffer& packet, std::uint64_t sequence, bool seal) const {
  std::uint8_t nonce[16];
  const std::size_t nonce_size = make_nonce(nonce, packet.data() + kHeaderSize, sequence);
  std::uint8_t spi[4];
  std::memcpy(spi, packet.data(), sizeof spi);
  if (esn_) {
    std::memcpy(packet.prepend(4), spi, sizeof spi);
    store_u64(packet.data() + 4, sequence);
  }
  const std::size_t covered = packet.size() - icv_size_;
  const std::span<const std::uint8_t> associated = std::as_const(packet).span().first(covered);
  std::uint8_t* const icv = packet.data() + covered;
  const bool done = seal ? aead_->seal({nonce, nonce_size}, associated, {}, icv)
                         : aead_->open({nonce, nonce_size}, associated, {}, icv);
  if (esn_) {
    packet.trim_front(4);
    std::memcpy(packet.data(), spi, sizeof spi);
  }
  return done;
}

bool Transform::apply_cipher(Buffer& packet) {
  if (!cipher_) return true;
  std::uint8_t* const iv = packet.data() + kHeaderSize;
  const std::size_t front = kHeaderSize + iv_size_;
  const std::span<std::uint8_t> text(packet.data() + front, packet.size() - icv_size_ - front);
  if (!counter_mode_) return cipher_->apply({iv, iv_size_}, text);
  // RFC 3686 section 4: nonce | IV | block counter, which begins at one.
  std::uint8_t block[16]{};
  std::memcpy(block, salt_.data(), 4);
  std::memcpy(block + 4, iv, 8);
  block[15] = 1;
  return cipher_->apply(block, text);
}

// With ESN the high half of the number follows what is authenticated, though it does not travel (RFC 4303
// section 2.2.1).
void Transform::sum(const Buffer& packet, std::size_t size, std::uint64_t sequence, std::span<std::uint8_t> out) const {
  std::uint8_t high[4];
  store_u32(high, static_cast<std::uint32_t>(sequence >> 32));
  mac_->sum({packet.span().first(size), std::span<const std::uint8_t>(high, esn_ ? 4u : 0u)}, out);
}

bool Transform::verify(const Buffer& packet, std::uint64_t sequence) const {
  const std::size_t covered = packet.size() - icv_size_;
  std::uint8_t expected[kMaxHashSize];
  sum(packet, covered, sequence, {expected, icv_size_});
  return constant_time_equal({expected, icv_size_}, packet.span().subspan(covered));
}

}  // namespace winze::esp
