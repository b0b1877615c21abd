// Inbound ESP: any bytes, and packets of a peer that were changed on the way, against an SA of each kind. What is
// opened is what was sealed; everything else is dropped.
#include <algorithm>
#include <iterator>

#include "support/require.h"
#include "winze/base/random.h"
#include "winze/proto/esp/sa.h"

namespace {

using namespace winze;
using winze::test::require;

struct Kind {
  esp::Encryption encryption;
  std::size_t key;
  esp::Integrity integrity;
};
constexpr Kind kKinds[] = {
    {esp::Encryption::kAesGcm, 20, esp::Integrity::kNone},
    {esp::Encryption::kChaCha20Poly1305, 36, esp::Integrity::kNone},
    {esp::Encryption::kAesCcm, 19, esp::Integrity::kNone},
    {esp::Encryption::kAesGmac, 20, esp::Integrity::kNone},
    {esp::Encryption::kAesCbc, 16, esp::Integrity::kHmacSha2_256_128},
    {esp::Encryption::kAesCtr, 20, esp::Integrity::kHmacSha1_96},
    {esp::Encryption::kNull, 0, esp::Integrity::kHmacSha2_512_256},
};

esp::SaConfig config_of(const Kind& kind, bool esn) {
  esp::SaConfig config{.spi = 0x1234, .esn = esn};
  config.algorithms.encryption = kind.encryption;
  config.algorithms.integrity = kind.integrity;
  config.algorithms.encryption_key = Secret(kind.key);
  config.algorithms.integrity_key = Secret(esp::integrity_key_size(kind.integrity));
  return config;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3) return 0;
  const Kind& kind = kKinds[data[0] % std::size(kKinds)];
  const bool esn = (data[0] & 0x80) != 0;
  const std::size_t change_at = data[1];
  const std::uint8_t change = data[2];
  const std::span<const std::uint8_t> payload(data + 3, size - 3);
  SeededRandom random(1);
  auto inbound = esp::InboundSa::create(config_of(kind, esn));
  auto outbound = esp::OutboundSa::create(config_of(kind, esn), random);
  require(inbound.ok() && outbound.ok());

  Buffer raw = Buffer::copy_of(payload, {.front = 16, .back = 16});
  (void)inbound->open(raw);

  Buffer packet = Buffer::copy_of(payload, outbound->overhead());
  require(outbound->seal(packet, 4) == esp::Drop::kNone);
  Buffer genuine = Buffer::copy_of(std::as_const(packet).span());
  packet.data()[change_at % packet.size()] ^= change;
  const esp::Opened opened = inbound->open(packet);
  // Whatever came before, an SPI that is not ours is for the host to sort out: the SA looks at the rest.
  if (change == 0) {
    require(opened.drop == esp::Drop::kNone && opened.next_header == 4);
    require(std::equal(payload.begin(), payload.end(), packet.data(), packet.data() + packet.size()));
    require(inbound->open(genuine).drop == esp::Drop::kReplayed);
  } else {
    require(opened.drop != esp::Drop::kNone);
    require(inbound->open(genuine).drop == esp::Drop::kNone);
  }
  return 0;
}
