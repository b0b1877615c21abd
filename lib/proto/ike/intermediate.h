// What passes between IKE_SA_INIT and IKE_AUTH (IKE_INTERMEDIATE, RFC 9242), as AUTH covers it.
#pragma once

#include "keys.h"
#include "payloads.h"

namespace winze::ike {

// IntAuth: a hash chain over the messages of each end, in the clear and in their order.
class IntermediateAuth {
 public:
  // A message before it is sealed, or once it has been opened. `sk_p`: its sender's, of the keys it is sealed with.
  void cover(PrfAlgorithm prf, const Secret& sk_p, const Header& header, PayloadType first, Bytes payloads);

  std::uint32_t exchanges() const noexcept { return exchanges_; }
  // What both ends' octets end with: IntAuth_i | IntAuth_r | the id of the first IKE_AUTH request. Empty without
  // exchanges.
  std::vector<std::uint8_t> octets() const;

 private:
  Secret initiator_, responder_;
  std::uint32_t exchanges_ = 0;  // finished: counted by the responder's messages
};

// The n-th further key exchange of a proposal, from 0 (RFC 9370 section 2.1); 0: there is none.
std::uint16_t additional_method(const Proposal& proposal, unsigned n) noexcept;
bool has_additional(std::span<const Proposal> proposals) noexcept;

// SKEYSEED after a further exchange (RFC 9370 section 2.2.2).
Secret skeyseed_of_additional(PrfAlgorithm prf, const Secret& d, Bytes shared, Bytes nonce_i, Bytes nonce_r);

// As initiator: the one it is to use. Null: none.
const Ppk* own_ppk(const Connection& connection) noexcept;
// Mixes a preshared key into what authenticates and what derives (RFC 8784 section 3): SK_d, SK_pi, SK_pr.
void mix_ppk(PrfAlgorithm prf, const Secret& ppk, IkeKeys& keys);

}  // namespace winze::ike
