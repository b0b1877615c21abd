// Keys of an IKE SA and of its children, and what is done with them (RFC 7296 sections 2.13 to 2.18, 3.14; RFC 5282;
// RFC 7383 section 2.5).
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "transforms.h"
#include "winze/base/buffer.h"
#include "winze/base/random.h"
#include "winze/base/secret.h"
#include "winze/crypto/prf.h"
#include "winze/proto/esp/sa.h"
#include "wire.h"

namespace winze::ike {

using Bytes = std::span<const std::uint8_t>;

// The algorithms of an IKE SA.
struct Suite {
  PrfAlgorithm prf = PrfAlgorithm::kHmacSha256;
  EncryptionChoice encryption;
  esp::Integrity integrity = esp::Integrity::kNone;
  std::uint16_t aes_key_bits = 0;

  // None for a proposal that choose() would not have made.
  static std::optional<Suite> of(const Proposal& proposal) noexcept;
  std::size_t encryption_key_size() const noexcept;
};

// Of one direction.
struct MessageKeys {
  Secret encryption, integrity;
  std::uint64_t sealed = 0;  // messages so far: the IV of an AEAD must not repeat
};

struct IkeKeys {
  Secret d;
  MessageKeys i, r;  // from the initiator, from the responder
  Secret pi, pr;     // for AUTH
};

struct SpiPair {
  std::uint64_t i = 0, r = 0;
};

// SKEYSEED of a first key exchange, and of a rekeyed IKE SA, by the old one's PRF and SK_d. `further`: the secrets of
// further key exchanges, one behind the other (RFC 9370 section 2.2.4).
Secret skeyseed(PrfAlgorithm prf, Bytes shared, Bytes nonce_i, Bytes nonce_r);
Secret skeyseed_of_rekey(PrfAlgorithm old_prf, const Secret& old_d, Bytes shared, Bytes nonce_i, Bytes nonce_r,
                         Bytes further = {});
// Of an IKE SA that goes on where a ticket was given (RFC 5723 section 5.1).
Secret skeyseed_of_resumption(PrfAlgorithm prf, const Secret& old_d, Bytes nonce_i, Bytes nonce_r);
IkeKeys derive_keys(const Suite& suite, const Secret& seed, Bytes nonce_i, Bytes nonce_r, const SpiPair& spis);

// The algorithms and keys of a child SA's two directions. `shared`, `further`: of its own key exchanges; may be empty.
struct ChildKeys {
  esp::Algorithms from_initiator, from_responder;
  bool esn = false;
};
std::optional<ChildKeys> derive_child_keys(PrfAlgorithm prf, const Secret& d, const Proposal& proposal, Bytes shared,
                                           Bytes nonce_i, Bytes nonce_r, Bytes further, bool legacy);

// prf(prf(secret, "Key Pad for IKEv2"), octets), section 2.15.
Secret shared_secret_auth(PrfAlgorithm prf, Bytes secret, Bytes octets);
// prf(SK_p, body of the ID payload): the end of those octets.
Secret mac_of_id(PrfAlgorithm prf, const Secret& sk_p, Bytes id_body);

// Which part of a message a fragment is; a whole message has none.
struct FragmentNumber {
  std::uint16_t number = 0, total = 0;
};

// Bytes that sealing adds to the payloads inside, at most, header and all.
std::size_t sealed_overhead(const Suite& suite, bool fragment) noexcept;
// A message whose payloads are `inner`, sealed. `header.first` is set here. `room` in front is left free.
Buffer seal_message(const Suite& suite, MessageKeys& keys, Random& random, Header header, PayloadType inner_first,
                    Bytes inner, std::optional<FragmentNumber> fragment, std::size_t room);
// Opens the SK or SKF payload that ends `message`, in place. The payloads that were inside; none when the message is
// not authentic. `body`: of that payload, its first bytes behind the fragment's numbers if it is one.
std::optional<Bytes> open_message(const Suite& suite, const MessageKeys& keys, std::span<std::uint8_t> message,
                                  Bytes body);

}  // namespace winze::ike
