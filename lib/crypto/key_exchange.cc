#include "winze/crypto/key_exchange.h"

#include <absl/status/status.h>
#include <openssl/bn.h>
#include <openssl/curve25519.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/ecdh.h>
#include <openssl/err.h>
#include <openssl/nid.h>

#include <algorithm>
#include <string>
#include <utility>

#include "ml_kem.h"
#include "modp_group.h"

namespace winze {
namespace {

absl::Status bad_value(std::string_view why) {
  ERR_clear_error();
  return absl::InvalidArgumentError("key exchange: " + std::string(why));
}

absl::Status wrong_size(std::size_t got, std::size_t wanted) {
  return bad_value("the peer's value has " + std::to_string(got) + " bytes instead of " + std::to_string(wanted));
}

// --- primes ---

class Modp final : public KeyExchange {
 public:
  Modp(KeyExchangeMethod method, const ModpGroup& group, Random& random)
      : KeyExchange(method), group_(group), exponent_(BN_new()), context_(BN_CTX_new()) {
    Secret bytes(group.exponent_size);
    do {
      random.fill(bytes.span());
      BN_bin2bn(bytes.span().data(), bytes.size(), exponent_.get());
    } while (BN_is_zero(exponent_.get()) || BN_is_one(exponent_.get()));
    public_value_.resize(group.size);
    power(group.generator.get(), public_value_);
  }
  ~Modp() override { BN_clear(exponent_.get()); }

  absl::StatusOr<Secret> derive(std::span<const std::uint8_t> peer_value) const override {
    if (peer_value.size() != group_.size) return wrong_size(peer_value.size(), group_.size);
    bssl::UniquePtr<BIGNUM> value(BN_bin2bn(peer_value.data(), peer_value.size(), nullptr));
    if (BN_cmp_word(value.get(), 1) <= 0) return bad_value("the peer's value is 0 or 1");
    if (BN_cmp(value.get(), group_.last.get()) >= 0) return bad_value("the peer's value is not below p - 1");
    Secret shared(group_.size);
    power(value.get(), shared.span());
    return shared;
  }

 private:
  void power(const BIGNUM* base, std::span<std::uint8_t> out) const {
    bssl::UniquePtr<BIGNUM> result(BN_new());
    BN_mod_exp_mont_consttime(result.get(), base, exponent_.get(), group_.prime.get(), context_.get(),
                              group_.montgomery.get());
    BN_bn2bin_padded(out.data(), out.size(), result.get());
    BN_clear(result.get());
  }

  const ModpGroup& group_;
  bssl::UniquePtr<BIGNUM> exponent_;
  bssl::UniquePtr<BN_CTX> context_;
};

// --- curves ---

// The values on the wire have no 0x04 in front, as the encoding of X9.62 has.
constexpr std::uint8_t kUncompressed = 4;

class Ecp final : public KeyExchange {
 public:
  Ecp(KeyExchangeMethod method, int nid, std::size_t size, Random& random)
      : KeyExchange(method), size_(size), key_(EC_KEY_new_by_curve_name(nid)) {
    const EC_GROUP* group = EC_KEY_get0_group(key_.get());
    bssl::UniquePtr<BIGNUM> scalar = draw_scalar(EC_GROUP_get0_order(group), random);
    bssl::UniquePtr<EC_POINT> point(EC_POINT_new(group));
    EC_POINT_mul(group, point.get(), scalar.get(), nullptr, nullptr, nullptr);
    EC_KEY_set_private_key(key_.get(), scalar.get());
    BN_clear(scalar.get());
    std::vector<std::uint8_t> encoded(1 + 2 * size_);
    EC_POINT_point2oct(group, point.get(), POINT_CONVERSION_UNCOMPRESSED, encoded.data(), encoded.size(), nullptr);
    public_value_.assign(encoded.begin() + 1, encoded.end());
  }

  absl::StatusOr<Secret> derive(std::span<const std::uint8_t> peer_value) const override {
    if (peer_value.size() != 2 * size_) return wrong_size(peer_value.size(), 2 * size_);
    std::vector<std::uint8_t> encoded{kUncompressed};
    encoded.insert(encoded.end(), peer_value.begin(), peer_value.end());
    const EC_GROUP* group = EC_KEY_get0_group(key_.get());
    bssl::UniquePtr<EC_POINT> point(EC_POINT_new(group));
    if (EC_POINT_oct2point(group, point.get(), encoded.data(), encoded.size(), nullptr) != 1) {
      return bad_value("the peer's point is not on the curve");
    }
    Secret shared(size_);
    if (ECDH_compute_key(shared.span().data(), size_, point.get(), key_.get(), nullptr) != static_cast<int>(size_)) {
      return bad_value("the shared point is at infinity");
    }
    return shared;
  }

 private:
  // Uniform in [1, order): draws until one fits.
  static bssl::UniquePtr<BIGNUM> draw_scalar(const BIGNUM* order, Random& random) {
    bssl::UniquePtr<BIGNUM> scalar(BN_new());
    const unsigned bits = BN_num_bits(order);
    Secret bytes((bits + 7) / 8);
    do {
      random.fill(bytes.span());
      bytes.span()[0] &= static_cast<std::uint8_t>(0xff >> (bytes.size() * 8 - bits));
      BN_bin2bn(bytes.span().data(), bytes.size(), scalar.get());
    } while (BN_is_zero(scalar.get()) || BN_cmp(scalar.get(), order) >= 0);
    return scalar;
  }

  std::size_t size_;  // bytes of a coordinate
  bssl::UniquePtr<EC_KEY> key_;
};

class Curve25519 final : public KeyExchange {
 public:
  explicit Curve25519(Random& random) : KeyExchange(KeyExchangeMethod::kX25519), private_(X25519_PRIVATE_KEY_LEN) {
    random.fill(private_.span());
    public_value_.resize(X25519_PUBLIC_VALUE_LEN);
    X25519_public_from_private(public_value_.data(), private_.span().data());
  }

  absl::StatusOr<Secret> derive(std::span<const std::uint8_t> peer_value) const override {
    if (peer_value.size() != X25519_PUBLIC_VALUE_LEN) return wrong_size(peer_value.size(), X25519_PUBLIC_VALUE_LEN);
    Secret shared(X25519_SHARED_KEY_LEN);
    if (X25519(shared.span().data(), private_.span().data(), peer_value.data()) != 1) {
      return bad_value("the peer's point has a small order");
    }
    return shared;
  }

 private:
  Secret private_;
};

struct Curve {
  int nid = NID_undef;
  std::size_t size = 0;  // bytes of a coordinate
};

Curve curve_of(KeyExchangeMethod method) {
  switch (method) {
    case KeyExchangeMethod::kEcp256:
      return {NID_X9_62_prime256v1, 32};
    case KeyExchangeMethod::kEcp384:
      return {NID_secp384r1, 48};
    case KeyExchangeMethod::kEcp521:
      return {NID_secp521r1, 66};
    default:
      return {};
  }
}

absl::Status no_ml_kem() {
  return absl::UnimplementedError(
      "key exchange: ML-KEM needs a BoringSSL from late 2024 or newer (openssl/mlkem.h), and this library was built "
      "with "
      "an older one");
}

}  // namespace

absl::Status check_key_exchange(KeyExchangeMethod method) {
  if (initiator_value_size(method) == 0) {
    return absl::InvalidArgumentError("key exchange: unknown method " + std::to_string(static_cast<int>(method)));
  }
  return is_kem(method) && !kHasMlKem ? no_ml_kem() : absl::OkStatus();
}

bool is_legacy(KeyExchangeMethod method) noexcept {
  return method == KeyExchangeMethod::kModp1024 || method == KeyExchangeMethod::kModp1536;
}

bool is_kem(KeyExchangeMethod method) noexcept {
  return method == KeyExchangeMethod::kMlKem768 || method == KeyExchangeMethod::kMlKem1024;
}

std::size_t initiator_value_size(KeyExchangeMethod method) noexcept {
  switch (method) {
    case KeyExchangeMethod::kModp1024:
      return 128;
    case KeyExchangeMethod::kModp1536:
      return 192;
    case KeyExchangeMethod::kModp2048:
      return 256;
    case KeyExchangeMethod::kModp3072:
      return 384;
    case KeyExchangeMethod::kModp4096:
      return 512;
    case KeyExchangeMethod::kModp6144:
      return 768;
    case KeyExchangeMethod::kModp8192:
      return 1024;
    case KeyExchangeMethod::kEcp256:
    case KeyExchangeMethod::kEcp384:
    case KeyExchangeMethod::kEcp521:
      return 2 * curve_of(method).size;
    case KeyExchangeMethod::kX25519:
      return X25519_PUBLIC_VALUE_LEN;
    case KeyExchangeMethod::kMlKem768:
      return 1184;
    case KeyExchangeMethod::kMlKem1024:
      return 1568;
  }
  return 0;
}

std::size_t responder_value_size(KeyExchangeMethod method) noexcept {
  return method == KeyExchangeMethod::kMlKem768 ? 1088 : initiator_value_size(method);
}

absl::StatusOr<std::unique_ptr<KeyExchange>> KeyExchange::create(KeyExchangeMethod method, Random& random) {
  if (auto status = check_key_exchange(method); !status.ok()) return status;
  if (is_kem(method)) return make_ml_kem(method, random);
  if (const ModpGroup* group = modp_group(method)) return std::make_unique<Modp>(method, *group, random);
  if (const Curve curve = curve_of(method); curve.nid != NID_undef) {
    return std::make_unique<Ecp>(method, curve.nid, curve.size, random);
  }
  return std::make_unique<Curve25519>(random);
}

absl::StatusOr<KeyExchangeAnswer> answer_key_exchange(KeyExchangeMethod method,
                                                      std::span<const std::uint8_t> peer_value, Random& random) {
  if (auto status = check_key_exchange(method); !status.ok()) return status;
  // The size first: it costs nothing to refuse.
  if (const std::size_t size = initiator_value_size(method); peer_value.size() != size) {
    return wrong_size(peer_value.size(), size);
  }
  if (is_kem(method)) return answer_ml_kem(method, peer_value);
  auto ours = KeyExchange::create(method, random);
  if (!ours.ok()) return ours.status();
  auto shared = (*ours)->derive(peer_value);
  if (!shared.ok()) return shared.status();
  const auto value = (*ours)->public_value();
  return KeyExchangeAnswer{{value.begin(), value.end()}, *std::move(shared)};
}

}  // namespace winze
