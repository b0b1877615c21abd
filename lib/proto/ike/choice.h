// The responder's choice of a proposal, with regard to the group that the peer has already made a key for.
#pragma once

#include <optional>
#include <span>

#include "payloads.h"

namespace winze::ike {

struct Choice {
  Proposal proposal;
  std::uint8_t number = 0;  // of the offer it was made from
  Bytes spi;
  // The peer's key is of another group than the proposal has: INVALID_KE_PAYLOAD.
  bool wrong_group = false;
  std::uint16_t group = 0;  // 0: no key exchange
};

std::optional<Choice> choose_offer(std::span<const Proposal> ours, const Contents& contents, KeyExchangeRule rule);

}  // namespace winze::ike
