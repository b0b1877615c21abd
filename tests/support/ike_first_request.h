// IKE_SA_INIT of a stranger who will never say more.
#pragma once

#include "../../lib/proto/ike/payloads.h"
#include "support/hex.h"
#include "winze/base/random.h"

namespace winze::test {

inline Buffer first_request(Random& random, const ike::ProposalList& proposals, std::uint16_t group,
                            std::size_t key_size = 32) {
  Buffer message(512, ike::kHeaderSize + 4);
  ike::PayloadWriter out(message);
  ike::write_sa(out, proposals, {});
  Bytes key(key_size), nonce(32);
  random.fill(key);
  random.fill(nonce);
  ike::write_key_exchange(out, group, key);
  out.add(ike::PayloadType::kNonce, nonce);
  ike::prepend_header(
      message, {.spi_i = random.u64() | 1, .first = out.first(), .exchange = ike::Exchange::kInit, .initiator = true});
  return message;
}

}  // namespace winze::test
