// A peer that has the right keys and says what no peer should: messages sealed with the keys of an engine's key log.
#pragma once

#include <algorithm>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

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

// One payload, with the type of the one behind it.
inline Bytes payload(std::uint8_t next, const Bytes& body, bool critical = false) {
  Bytes out(4 + body.size());
  out[0] = next;
  out[1] = critical ? 0x80 : 0;
  store_u16(&out[2], static_cast<std::uint16_t>(out.size()));
  std::ranges::copy(body, out.begin() + 4);
  return out;
}

// What a message may hold that should not be, each with the type of its first payload.
inline std::vector<std::pair<ike::PayloadType, Bytes>> odd_payloads() {
  return {
      {ike::PayloadType::kNone, {}},
      {ike::PayloadType::kSa, payload(0, {0, 0, 0, 8, 1, 3, 0, 0})},
      {ike::PayloadType::kDelete, payload(0, {1, 0, 0, 0})},
      {ike::PayloadType::kDelete, payload(0, {3, 4, 0, 1, 1, 2, 3, 4})},
      {ike::PayloadType::kDelete, payload(0, {3, 4, 255, 255})},
      {ike::PayloadType::kDelete, payload(0, {0, 0, 0, 1})},
      {ike::PayloadType::kNotify, payload(0, {0, 0, 0x40, 0x09})},
      {ike::PayloadType::kNotify, payload(0, {3, 255, 0x40, 0x09})},
      {ike::PayloadType::kNotify, payload(0, {0, 0, 0, 24})},
      {ike::PayloadType::kNonce, payload(0, Bytes(4))},
      {ike::PayloadType::kNonce, payload(0, Bytes(32))},
      {ike::PayloadType::kConfiguration, payload(0, {1, 0, 0, 0, 0, 1, 255, 255})},
      {ike::PayloadType::kTsInitiator, payload(0, {255, 0, 0, 0, 7, 0, 0, 0})},
      {ike::PayloadType::kTsInitiator, payload(0, {1, 0, 0, 0, 7, 0, 0, 8, 0, 0, 0, 0})},
      {ike::PayloadType::kEap, payload(0, {3, 1, 0, 4})},
      {ike::PayloadType::kAuth, payload(0, {2, 0, 0, 0})},
      {ike::PayloadType::kIdInitiator, payload(0, {2})},
      {ike::PayloadType::kKeyExchange, payload(0, {0, 31})},
  };
}

// Brings a rogue's message to one end of a pair, as from the other.
inline void bring(IkePair& pair, bool to_a, Buffer message) {
  IkeEnd& to = to_a ? pair.a : pair.b;
  const IkeEnd& from = to_a ? pair.b : pair.a;
  to.engine.receive(pair.now, {to.floated, from.floated, 2, true, false}, std::move(message));
}

}  // namespace winze::test
