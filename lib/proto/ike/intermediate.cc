#include "intermediate.h"

#include <algorithm>
#include <utility>

namespace winze::ike {
namespace {

constexpr unsigned kMostAdditional = 7;

}  // namespace

// IntAuth(n) = prf(SK_p, IntAuth(n-1) | A | P), where A is the message up to the header of its SK payload, and P what
// is inside: with the lengths that both would have without IV, padding and checksum, and as if it came in one piece.
void IntermediateAuth::cover(PrfAlgorithm prf, const Secret& sk_p, const Header& header, PayloadType first,
                             Bytes payloads) {
  Buffer message(payloads.size(), kHeaderSize + kPayloadHeaderSize);
  Writer writer(message);
  writer.u8(static_cast<std::uint8_t>(first));
  writer.u8(0);
  writer.u16(static_cast<std::uint16_t>(kPayloadHeaderSize + payloads.size()));
  writer.bytes(payloads);
  Header clear = header;
  clear.first = PayloadType::kEncrypted;
  prepend_header(message, clear);
  Secret& chain = header.initiator ? initiator_ : responder_;
  auto keyed = Prf::create(prf, sk_p.span());
  chain = keyed->sum({chain.span(), std::as_const(message).span()});
  if (header.response) ++exchanges_;
}

std::vector<std::uint8_t> IntermediateAuth::octets() const {
  std::vector<std::uint8_t> out;
  if (exchanges_ == 0) return out;
  const auto i = initiator_.span(), r = responder_.span();
  out.insert(out.end(), i.begin(), i.end());
  out.insert(out.end(), r.begin(), r.end());
  out.resize(out.size() + 4);
  // IKE_SA_INIT has the id 0, the exchanges those from 1 on.
  store_u32(&out[out.size() - 4], exchanges_ + 1);
  return out;
}

std::uint16_t additional_method(const Proposal& proposal, unsigned n) noexcept {
  for (unsigned i = 0; i < kMostAdditional; ++i) {
    const auto type = static_cast<TransformType>(static_cast<unsigned>(TransformType::kAdditionalKeyExchange1) + i);
    const Transform* const transform = proposal.find(type);
    if (transform == nullptr || transform->id == id::kNoKeyExchange) continue;
    if (n-- == 0) return transform->id;
  }
  return id::kNoKeyExchange;
}

bool has_additional(std::span<const Proposal> proposals) noexcept {
  return std::ranges::any_of(
      proposals, [](const Proposal& proposal) { return additional_method(proposal, 0) != id::kNoKeyExchange; });
}

Secret skeyseed_of_additional(PrfAlgorithm prf, const Secret& d, Bytes shared, Bytes nonce_i, Bytes nonce_r) {
  return Prf::create(prf, d.span())->sum({shared, nonce_i, nonce_r});
}

void mix_ppk(PrfAlgorithm prf, const Secret& ppk, IkeKeys& keys) {
  const auto keyed = Prf::create(prf, ppk.span());
  for (Secret* const key : {&keys.d, &keys.pi, &keys.pr}) {
    Secret mixed(key->size());
    (void)keyed->expand(key->span(), mixed.span());  // one block
    *key = std::move(mixed);
  }
}

}  // namespace winze::ike
