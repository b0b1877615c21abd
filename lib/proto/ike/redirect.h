// Gateways as REDIRECT and REDIRECTED_FROM name them (RFC 5685 section 9):
//
//   type(1) | length(1) | address or name | in IKE_SA_INIT: the initiator's nonce
#pragma once

#include <optional>
#include <vector>

#include "payloads.h"
#include "winze/proto/ike/event.h"

namespace winze::ike {

struct RedirectView {
  Gateway gateway;
  Bytes nonce;
};

std::vector<std::uint8_t> encode_gateway(const Gateway& gateway, Bytes nonce = {});
std::optional<RedirectView> decode_gateway(Bytes data);

// As often, and within so long, may a client be sent on (RFC 5685 section 7).
inline constexpr unsigned kMostRedirects = 5;
inline constexpr Duration kRedirectPeriod{std::chrono::seconds(300)};

}  // namespace winze::ike
