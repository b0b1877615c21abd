#include "ml_kem.h"

#include <absl/status/status.h>

#if WINZE_HAS_ML_KEM
#  include <openssl/bytestring.h>
#  include <openssl/mlkem.h>

#  include <memory>
#endif

namespace winze {

#if WINZE_HAS_ML_KEM

namespace {

// BoringSSL's two families of functions under one name each.
struct Kem768 {
  using Public = MLKEM768_public_key;
  using Private = MLKEM768_private_key;
  static constexpr auto kMethod = KeyExchangeMethod::kMlKem768;
  static constexpr std::size_t kPublicSize = MLKEM768_PUBLIC_KEY_BYTES;
  static constexpr std::size_t kCiphertextSize = MLKEM768_CIPHERTEXT_BYTES;
  static constexpr auto kFromSeed = MLKEM768_private_key_from_seed;
  static constexpr auto kPublicOf = MLKEM768_public_from_private;
  static constexpr auto kMarshal = MLKEM768_marshal_public_key;
  static constexpr auto kParse = MLKEM768_parse_public_key;
  static constexpr auto kEncapsulate = MLKEM768_encap;
  static constexpr auto kDecapsulate = MLKEM768_decap;
};
struct Kem1024 {
  using Public = MLKEM1024_public_key;
  using Private = MLKEM1024_private_key;
  static constexpr auto kMethod = KeyExchangeMethod::kMlKem1024;
  static constexpr std::size_t kPublicSize = MLKEM1024_PUBLIC_KEY_BYTES;
  static constexpr std::size_t kCiphertextSize = MLKEM1024_CIPHERTEXT_BYTES;
  static constexpr auto kFromSeed = MLKEM1024_private_key_from_seed;
  static constexpr auto kPublicOf = MLKEM1024_public_from_private;
  static constexpr auto kMarshal = MLKEM1024_marshal_public_key;
  static constexpr auto kParse = MLKEM1024_parse_public_key;
  static constexpr auto kEncapsulate = MLKEM1024_encap;
  static constexpr auto kDecapsulate = MLKEM1024_decap;
};

template <typename Kem>
class MlKem final : public KeyExchange {
 public:
  explicit MlKem(Random& random) : KeyExchange(Kem::kMethod) {
    Secret seed(MLKEM_SEED_BYTES);
    random.fill(seed.span());
    Kem::kFromSeed(&private_, seed.span().data(), seed.size());
    auto own = std::make_unique<typename Kem::Public>();
    Kem::kPublicOf(own.get(), &private_);
    public_value_.resize(Kem::kPublicSize);
    CBB out;
    CBB_init_fixed(&out, public_value_.data(), public_value_.size());
    Kem::kMarshal(&out, own.get());
  }
  ~MlKem() override { secure_wipe({reinterpret_cast<std::uint8_t*>(&private_), sizeof private_}); }

  // A ciphertext of the right size always gives a secret; one that was not made for this key gives another than the
  // peer's (implicit rejection, FIPS 203 section 6.3), and the messages under it do not verify.
  absl::StatusOr<Secret> derive(std::span<const std::uint8_t> peer_value) const override {
    Secret shared(MLKEM_SHARED_SECRET_BYTES);
    if (Kem::kDecapsulate(shared.span().data(), peer_value.data(), peer_value.size(), &private_) != 1) {
      return absl::InvalidArgumentError("key exchange: the ciphertext has " + std::to_string(peer_value.size()) +
                                        " bytes instead of " + std::to_string(Kem::kCiphertextSize));
    }
    return shared;
  }

 private:
  typename Kem::Private private_;
};

template <typename Kem>
absl::StatusOr<KeyExchangeAnswer> answer(std::span<const std::uint8_t> peer_value) {
  CBS in;
  CBS_init(&in, peer_value.data(), peer_value.size());
  auto theirs = std::make_unique<typename Kem::Public>();
  if (Kem::kParse(theirs.get(), &in) != 1 || CBS_len(&in) != 0) {
    return absl::InvalidArgumentError("key exchange: the peer's encapsulation key is not a valid one");
  }
  KeyExchangeAnswer out{std::vector<std::uint8_t>(Kem::kCiphertextSize), Secret(MLKEM_SHARED_SECRET_BYTES)};
  Kem::kEncapsulate(out.public_value.data(), out.shared.span().data(), theirs.get());
  return out;
}

}  // namespace

absl::StatusOr<std::unique_ptr<KeyExchange>> make_ml_kem(KeyExchangeMethod method, Random& random) {
  if (method == KeyExchangeMethod::kMlKem768) return std::make_unique<MlKem<Kem768>>(random);
  return std::make_unique<MlKem<Kem1024>>(random);
}

absl::StatusOr<KeyExchangeAnswer> answer_ml_kem(KeyExchangeMethod method, std::span<const std::uint8_t> peer_value) {
  return method == KeyExchangeMethod::kMlKem768 ? answer<Kem768>(peer_value) : answer<Kem1024>(peer_value);
}

#else

absl::StatusOr<std::unique_ptr<KeyExchange>> make_ml_kem(KeyExchangeMethod, Random&) {
  return absl::UnimplementedError("key exchange: built without ML-KEM");
}

absl::StatusOr<KeyExchangeAnswer> answer_ml_kem(KeyExchangeMethod, std::span<const std::uint8_t>) {
  return absl::UnimplementedError("key exchange: built without ML-KEM");
}

#endif

}  // namespace winze
