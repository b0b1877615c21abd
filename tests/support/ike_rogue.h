// A peer that has the right keys and says what no peer should: messages sealed with the keys of an engine's key log.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "../../lib/proto/ike/keys.h"
#include "../../lib/proto/ike/payloads.h"
#include "support/hex.h"
#include "support/ike_pair.h"

namespace winze::test {

// The only proposal of the IKE SAs here.
inline constexpr std::string_view kRogueProposal = "aes128gcm16-prfsha256-x25519";

// The keys of the newest IKE SA.
struct RogueKeys {
  ike::SpiPair spis;
  ike::MessageKeys i, r;

  void take(std::string_view line) {
    const auto field = [&] {
      const std::size_t end = line.find(',');
      const std::string_view text = line.substr(0, end);
      line.remove_prefix(end == std::string_view::npos ? line.size() : end + 1);
      return unhex(text);
    };
    const auto spi_i = field(), spi_r = field(), from_i = field(), from_r = field();
    spis = {load_u64(spi_i.data()), load_u64(spi_r.data())};
    // Numbers that the engines do not come to.
    i = {Secret(std::span<const std::uint8_t>(from_i)), {}, 1u << 20};
    r = {Secret(std::span<const std::uint8_t>(from_r)), {}, 1u << 20};
  }

  // A message of the IKE SA's initiator or responder, behind its marker.
  Buffer seal(Random& random, ike::Exchange exchange, bool from_initiator, bool response, std::uint32_t message_id,
              ike::PayloadType first, std::span<const std::uint8_t> inner,
              std::optional<ike::FragmentNumber> fragment = std::nullopt) {
    const ike::Suite suite{PrfAlgorithm::kHmacSha256, {esp::Encryption::kAesGcm, 16}, esp::Integrity::kNone, 128};
    const ike::Header header{.spi_i = spis.i,
                             .spi_r = spis.r,
                             .exchange = exchange,
                             .initiator = from_initiator,
                             .response = response,
                             .message_id = message_id};
    Buffer message = ike::seal_message(suite, from_initiator ? i : r, random, header, first, inner, fragment, 4);
    store_u32(message.prepend(4), 0);
    return message;
  }
};

// Brings a rogue's message to one end of a pair, as from the other.
inline void bring(IkePair& pair, bool to_a, Buffer message) {
  IkeEnd& to = to_a ? pair.a : pair.b;
  const IkeEnd& from = to_a ? pair.b : pair.a;
  to.engine.receive(pair.now, {to.floated, from.floated, 2, true, false}, std::move(message));
}

}  // namespace winze::test
