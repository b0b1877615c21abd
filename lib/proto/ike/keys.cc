#include "keys.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "../esp/transform.h"
#include "winze/crypto/aead.h"
#include "winze/crypto/cipher.h"

namespace winze::ike {
namespace {

constexpr std::size_t kNumbersSize = 4;  // of an SKF payload

// Deals key material out in the order in which the RFC names it.
class Dealer {
 public:
  explicit Dealer(Bytes material) : rest_(material) {}
  Secret next(std::size_t size) {
    const Bytes taken = rest_.first(size);
    rest_ = rest_.subspan(size);
    return Secret(taken);
  }

 private:
  Bytes rest_;
};

Prf must_prf(PrfAlgorithm algorithm, Bytes key) { return *Prf::create(algorithm, key); }

bool is_aead(const Suite& suite) { return suite.integrity == esp::Integrity::kNone; }

std::size_t iv_size(const Suite& suite) { return suite.encryption.encryption == esp::Encryption::kAesCbc ? 16 : 8; }

std::size_t block_size(const Suite& suite) {
  switch (suite.encryption.encryption) {
    case esp::Encryption::kAesCbc:
      return 16;
    case esp::Encryption::kTripleDesCbc:
      return 8;
    default:
      return 1;
  }
}

std::size_t icv_size(const Suite& suite) {
  return is_aead(suite) ? suite.encryption.icv_size : esp::icv_size_of(suite.integrity);
}

// The salt or nonce lies behind the key, as in ESP.
std::size_t salt_size(const Suite& suite) {
  switch (suite.encryption.encryption) {
    case esp::Encryption::kAesCcm:
      return 3;
    case esp::Encryption::kAesGcm:
    case esp::Encryption::kChaCha20Poly1305:
    case esp::Encryption::kAesCtr:
      return 4;
    default:
      return 0;
  }
}

// Where the parts of a sealed message lie.
struct Layout {
  std::span<std::uint8_t> associated;  // header and payload header, with a fragment's numbers
  std::span<std::uint8_t> iv, text, icv;
};

bool apply_aead(const Suite& suite, const MessageKeys& keys, const Layout& at, bool seal) {
  const Bytes key = keys.encryption.span();
  const std::size_t salt = salt_size(suite);
  const auto algorithm = suite.encryption.encryption == esp::Encryption::kAesCcm   ? AeadAlgorithm::kAesCcm
                         : suite.encryption.encryption == esp::Encryption::kAesGcm ? AeadAlgorithm::kAesGcm
                                                                                   : AeadAlgorithm::kChaCha20Poly1305;
  const auto aead = Aead::create(algorithm, key.first(key.size() - salt), icv_size(suite));
  if (!aead.ok()) return false;
  std::array<std::uint8_t, 12> nonce;
  std::memcpy(nonce.data(), key.last(salt).data(), salt);
  std::memcpy(nonce.data() + salt, at.iv.data(), 8);
  const Bytes used(nonce.data(), salt + 8);
  return seal ? aead->seal(used, at.associated, at.text, at.icv.data())
              : aead->open(used, at.associated, at.text, at.icv.data());
}

bool apply_cipher(const Suite& suite, const MessageKeys& keys, const Layout& at, Cipher::Direction direction) {
  const Bytes key = keys.encryption.span();
  const std::size_t salt = salt_size(suite);
  const auto algorithm = suite.encryption.encryption == esp::Encryption::kAesCbc   ? CipherAlgorithm::kAesCbc
                         : suite.encryption.encryption == esp::Encryption::kAesCtr ? CipherAlgorithm::kAesCtr
                                                                                   : CipherAlgorithm::kTripleDesCbc;
  auto cipher = Cipher::create(algorithm, key.first(key.size() - salt), direction);
  if (!cipher.ok()) return false;
  if (algorithm != CipherAlgorithm::kAesCtr) return cipher->apply(at.iv, at.text);
  // RFC 5930 section 2: as in ESP, nonce | IV | block counter from one.
  std::array<std::uint8_t, 16> block{};
  std::memcpy(block.data(), key.last(salt).data(), 4);
  std::memcpy(block.data() + 4, at.iv.data(), 8);
  block[15] = 1;
  return cipher->apply(block, at.text);
}

std::optional<Layout> layout_of(const Suite& suite, std::span<std::uint8_t> message, std::size_t body_at) {
  const std::size_t iv = iv_size(suite), icv = icv_size(suite);
  if (message.size() < body_at + iv + icv + 1) return std::nullopt;
  const std::size_t text = message.size() - body_at - iv - icv;
  if (text % block_size(suite) != 0) return std::nullopt;
  return Layout{message.first(body_at), message.subspan(body_at, iv), message.subspan(body_at + iv, text),
                message.last(icv)};
}

absl::StatusOr<Mac> mac_of(const Suite& suite, const MessageKeys& keys) {
  // What the peers agreed on was judged there; here it only has to be done.
  return esp::create_mac(suite.integrity, keys.integrity, true);
}

void make_iv(const Suite& suite, MessageKeys& keys, Random& random, std::span<std::uint8_t> iv) {
  ++keys.sealed;
  if (block_size(suite) > 1) {
    random.fill(iv);
  } else {
    store_u64(iv.data(), keys.sealed);
  }
}

}  // namespace

std::optional<Suite> Suite::of(const Proposal& proposal) noexcept {
  const Transform* const encryption = proposal.find(TransformType::kEncryption);
  const Transform* const prf = proposal.find(TransformType::kPrf);
  const Transform* const integrity = proposal.find(TransformType::kIntegrity);
  if (encryption == nullptr || prf == nullptr) return std::nullopt;
  const auto choice = encryption_of(*encryption);
  const auto function = prf_of(prf->id);
  if (!choice || !function) return std::nullopt;
  Suite suite{*function, *choice, esp::Integrity::kNone, encryption->key_bits};
  if (!ike::is_aead(*encryption)) {
    const auto mac = integrity != nullptr ? integrity_of(integrity->id) : std::nullopt;
    if (!mac) return std::nullopt;
    suite.integrity = *mac;
  }
  return suite;
}

std::size_t Suite::encryption_key_size() const noexcept {
  return esp::encryption_key_size(encryption.encryption, aes_key_bits / 8);
}

Secret skeyseed(PrfAlgorithm prf, Bytes shared, Bytes nonce_i, Bytes nonce_r) {
  // Section 2.14: a PRF with a key of fixed size takes half of it from each nonce.
  const std::size_t cut = is_fixed_key(prf) ? 8 : SIZE_MAX;
  const Bytes i = nonce_i.first(std::min(cut, nonce_i.size())), r = nonce_r.first(std::min(cut, nonce_r.size()));
  Secret key(i.size() + r.size());
  std::ranges::copy(i, key.span().begin());
  std::ranges::copy(r, key.span().begin() + static_cast<std::ptrdiff_t>(i.size()));
  return must_prf(prf, key.span()).sum({shared});
}

Secret skeyseed_of_rekey(PrfAlgorithm old_prf, const Secret& old_d, Bytes shared, Bytes nonce_i, Bytes nonce_r,
                         Bytes further) {
  return must_prf(old_prf, old_d.span()).sum({shared, nonce_i, nonce_r, further});
}

Secret skeyseed_of_resumption(PrfAlgorithm prf, const Secret& old_d, Bytes nonce_i, Bytes nonce_r) {
  return must_prf(prf, old_d.span()).sum({as_bytes("Resumption"), nonce_i, nonce_r});
}

IkeKeys derive_keys(const Suite& suite, const Secret& seed, Bytes nonce_i, Bytes nonce_r, const SpiPair& spis) {
  const std::size_t p = prf_size(suite.prf), e = suite.encryption_key_size();
  const std::size_t a = esp::integrity_key_size(suite.integrity);
  std::vector<std::uint8_t> seeds(nonce_i.begin(), nonce_i.end());
  seeds.insert(seeds.end(), nonce_r.begin(), nonce_r.end());
  const std::size_t at = seeds.size();
  seeds.resize(at + 16);
  store_u64(seeds.data() + at, spis.i);
  store_u64(seeds.data() + at + 8, spis.r);
  Secret material(3 * p + 2 * a + 2 * e);
  if (!must_prf(suite.prf, seed.span()).expand(seeds, material.span())) return {};
  Dealer deal(std::as_const(material).span());
  IkeKeys keys;
  keys.d = deal.next(p);
  keys.i.integrity = deal.next(a);
  keys.r.integrity = deal.next(a);
  keys.i.encryption = deal.next(e);
  keys.r.encryption = deal.next(e);
  keys.pi = deal.next(p);
  keys.pr = deal.next(p);
  return keys;
}

std::optional<ChildKeys> derive_child_keys(PrfAlgorithm prf, const Secret& d, const Proposal& proposal, Bytes shared,
                                           Bytes nonce_i, Bytes nonce_r, Bytes further, bool legacy) {
  const Transform* const encryption = proposal.find(TransformType::kEncryption);
  const Transform* const integrity = proposal.find(TransformType::kIntegrity);
  const Transform* const esn = proposal.find(TransformType::kEsn);
  if (encryption == nullptr) return std::nullopt;
  const auto choice = encryption_of(*encryption);
  const auto mac = integrity != nullptr ? integrity_of(integrity->id) : esp::Integrity::kNone;
  if (!choice || !mac) return std::nullopt;
  const std::size_t e = esp::encryption_key_size(choice->encryption, encryption->key_bits / 8);
  const std::size_t a = esp::integrity_key_size(*mac);
  Secret seeds(shared.size() + nonce_i.size() + nonce_r.size() + further.size());
  auto end = std::ranges::copy(shared, seeds.span().begin()).out;
  end = std::ranges::copy(nonce_i, end).out;
  end = std::ranges::copy(nonce_r, end).out;
  std::ranges::copy(further, end);
  Secret material(2 * (e + a));
  if (!must_prf(prf, d.span()).expand(seeds.span(), material.span())) return std::nullopt;
  Dealer deal(std::as_const(material).span());
  ChildKeys keys;
  for (esp::Algorithms* const side : {&keys.from_initiator, &keys.from_responder}) {
    side->encryption = choice->encryption;
    side->icv_size = choice->icv_size;
    side->integrity = *mac;
    side->legacy = legacy;
    side->encryption_key = deal.next(e);
    side->integrity_key = deal.next(a);
  }
  keys.esn = esn != nullptr && esn->id == id::kEsn;
  return keys;
}

Secret shared_secret_auth(PrfAlgorithm prf, Bytes secret, Bytes octets) {
  const Secret key = must_prf(prf, secret).sum({as_bytes("Key Pad for IKEv2")});
  return must_prf(prf, key.span()).sum({octets});
}

Secret mac_of_id(PrfAlgorithm prf, const Secret& sk_p, Bytes id_body) {
  return must_prf(prf, sk_p.span()).sum({id_body});
}

std::size_t sealed_overhead(const Suite& suite, bool fragment) noexcept {
  return kHeaderSize + kPayloadHeaderSize + (fragment ? kNumbersSize : 0) + iv_size(suite) + block_size(suite) +
         icv_size(suite);
}

Buffer seal_message(const Suite& suite, MessageKeys& keys, Random& random, Header header, PayloadType inner_first,
                    Bytes inner, std::optional<FragmentNumber> fragment, std::size_t room) {
  const std::size_t block = block_size(suite), iv = iv_size(suite), icv = icv_size(suite);
  const std::size_t padding = (block - (inner.size() + 1) % block) % block;
  const std::size_t numbers = fragment ? kNumbersSize : 0;
  const std::size_t body = numbers + iv + inner.size() + padding + 1 + icv;
  Buffer message(room + kHeaderSize + kPayloadHeaderSize + body, room + kHeaderSize);
  Writer out(message);
  out.u8(static_cast<std::uint8_t>(inner_first));
  out.u8(0);
  out.u16(static_cast<std::uint16_t>(kPayloadHeaderSize + body));
  if (fragment) {
    out.u16(fragment->number);
    out.u16(fragment->total);
  }
  make_iv(suite, keys, random, {message.append(iv), iv});
  out.bytes(inner);
  out.zeros(padding);
  out.u8(static_cast<std::uint8_t>(padding));
  out.zeros(icv);
  header.first = fragment ? PayloadType::kFragment : PayloadType::kEncrypted;
  prepend_header(message, header);

  const auto at = *layout_of(suite, message.span(), kHeaderSize + kPayloadHeaderSize + numbers);
  if (is_aead(suite)) {
    (void)apply_aead(suite, keys, at, true);
  } else {
    (void)apply_cipher(suite, keys, at, Cipher::Direction::kEncrypt);
    mac_of(suite, keys)->sum({std::as_const(message).span().first(message.size() - icv)}, at.icv);
  }
  return message;
}

std::optional<Bytes> open_message(const Suite& suite, const MessageKeys& keys, std::span<std::uint8_t> message,
                                  Bytes body) {
  const auto at = layout_of(suite, message, static_cast<std::size_t>(body.data() - message.data()));
  if (!at) return std::nullopt;
  if (is_aead(suite)) {
    if (!apply_aead(suite, keys, *at, false)) return std::nullopt;
  } else {
    const auto mac = mac_of(suite, keys);
    if (!mac.ok() || !mac->verify({message.first(message.size() - at->icv.size())}, at->icv)) return std::nullopt;
    if (!apply_cipher(suite, keys, *at, Cipher::Direction::kDecrypt)) return std::nullopt;
  }
  const std::size_t padding = at->text.back();
  if (padding >= at->text.size()) return std::nullopt;
  return at->text.first(at->text.size() - padding - 1);
}

}  // namespace winze::ike
