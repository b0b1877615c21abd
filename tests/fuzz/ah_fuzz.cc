// Inbound AH: any IP packet, and packets of a peer that were changed on the way. What opens was sealed so, but for what
// routers change.
#include <algorithm>

#include "support/require.h"
#include "winze/proto/ah/sa.h"

using namespace winze;
using winze::test::require;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 4) return 0;
  esp::SaConfig config{.spi = 0x1234, .esn = (data[0] & 1) != 0};
  const bool gmac = (data[0] & 2) != 0;
  config.algorithms.encryption = gmac ? esp::Encryption::kAesGmac : esp::Encryption::kNull;
  config.algorithms.integrity = gmac ? esp::Integrity::kNone : esp::Integrity::kHmacSha2_256_128;
  config.algorithms.encryption_key = Secret(gmac ? 20 : 0);
  config.algorithms.integrity_key = Secret(gmac ? 0 : 32);
  esp::Encapsulation how{.mode = (data[0] & 4) != 0 ? esp::Mode::kTransport : esp::Mode::kTunnel};
  const std::size_t change_at = data[1] | std::size_t{data[2]} << 8;
  const std::uint8_t change = data[3];
  const std::span<const std::uint8_t> bytes(data + 4, size - 4);

  auto inbound = ah::InboundSa::create(config);
  auto outbound = ah::OutboundSa::create(config);
  require(inbound.ok() && outbound.ok());
  esp::Opened opened;
  ip::Header inner;
  Buffer raw = Buffer::copy_of(bytes, {.front = 16, .back = 16});
  require(inbound->open(how, raw, opened, inner) != esp::Drop::kNone || raw.size() == inner.size);

  const auto header = ip::parse(bytes);
  if (!header) return 0;
  Buffer packet = Buffer::copy_of(bytes, {.front = 80, .back = 16});
  if (outbound->seal(how, packet, *header) != esp::Drop::kNone) return 0;
  const std::size_t changed = change_at % packet.size();
  packet.data()[changed] ^= change;
  const esp::Drop drop = inbound->open(how, packet, opened, inner);
  if (how.mode == esp::Mode::kTunnel && drop == esp::Drop::kNone) {
    // The inner header takes ECN over from the outer one.
    require(changed == 1 || std::ranges::equal(std::as_const(packet).span(), bytes.first(header->size)));
  }
  // A route that has yet to be followed opens only at its end.
  if (change == 0 && how.mode == esp::Mode::kTunnel) {
    require(drop == esp::Drop::kNone || drop == esp::Drop::kDummy);
  }
  return 0;
}
