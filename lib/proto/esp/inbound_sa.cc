#include <absl/status/status.h>

#include <utility>

#include "transform.h"
#include "winze/base/bytes.h"
#include "winze/proto/esp/sa.h"

namespace winze::esp {

InboundSa::InboundSa(InboundSa&&) noexcept = default;
InboundSa& InboundSa::operator=(InboundSa&&) noexcept = default;
InboundSa::~InboundSa() = default;

InboundSa::InboundSa(const SaConfig& config)
    : spi_(config.spi),
      esn_(config.esn),
      may_be_short_sha2_(config.algorithms.legacy && config.algorithms.integrity == Integrity::kHmacSha2_256_128),
      window_(config.replay_window, config.first_sequence - 1),
      usage_(config.lifetime) {}

absl::StatusOr<InboundSa> InboundSa::create(const SaConfig& config) {
  if (const absl::Status status = check_numbers(config); !status.ok()) return status;
  auto transform = Transform::create(config.algorithms, config.esn, nullptr);
  if (!transform.ok()) return transform.status();
  InboundSa sa(config);
  sa.transform_ = std::move(*transform);
  return sa;
}

std::size_t InboundSa::open(std::span<Buffer> packets, std::span<Opened> results) {
  std::size_t opened = 0;
  for (std::size_t i = 0; i < packets.size(); ++i) {
    results[i] = open(packets[i]);
    opened += results[i].drop == Drop::kNone;
  }
  return opened;
}

Opened InboundSa::open(Buffer& packet) {
  Opened result;
  result.drop = open_one(packet, result);
  if (result.drop != Drop::kNone) drops_.add(result.drop);
  return result;
}

Drop InboundSa::open_one(Buffer& packet, Opened& result) {
  if (packet.size() < kHeaderSize) return Drop::kMalformed;
  if (load_u32(packet.data()) != spi_) return Drop::kUnknownSpi;
  if (!usage_.allows_more()) return Drop::kExpired;
  const std::uint32_t low = load_u32(packet.data() + 4);
  std::uint64_t sequence = 0;
  if (const Drop drop = judge(window_, esn_, low, sequence); drop != Drop::kNone) return drop;
  const Drop drop = authenticate(packet, sequence);
  if (drop != Drop::kNone) return drop;
  result.newest = window_.accept(sequence);
  return strip(packet, result.next_header);
}

Drop InboundSa::authenticate(Buffer& packet, std::uint64_t sequence) {
  const bool fits = transform_->takes(packet.size());
  if (fits && transform_->open(packet, sequence)) {
    // Only the whole ICV settles it: a whole one cut to 96 bits on its way looks like the legacy one.
    if (!short_sha2_) may_be_short_sha2_ = false;
    return Drop::kNone;
  }
  if (may_be_short_sha2_) {
    transform_->use_short_sha2(!short_sha2_);
    if (transform_->takes(packet.size()) && transform_->open(packet, sequence)) {
      short_sha2_ = !short_sha2_;
      may_be_short_sha2_ = short_sha2_;
      return Drop::kNone;
    }
    transform_->use_short_sha2(short_sha2_);
  }
  return fits ? Drop::kBadIcv : Drop::kMalformed;
}

Drop InboundSa::strip(Buffer& packet, std::uint8_t& next_header) {
  packet.trim_back(transform_->icv_size());
  packet.trim_front(kHeaderSize + transform_->iv_size());
  const std::uint8_t* const end = packet.data() + packet.size();
  const std::size_t padding = end[-2];
  next_header = end[-1];
  if (padding + 2 > packet.size()) return Drop::kBadPadding;
  const std::uint8_t* const first = end - 2 - padding;
  for (std::size_t i = 0; i < padding; ++i) {
    if (first[i] != i + 1) return Drop::kBadPadding;
  }
  packet.trim_back(padding + 2);
  usage_.add(packet.size());
  return next_header == kNextHeaderNone ? Drop::kDummy : Drop::kNone;
}

}  // namespace winze::esp
