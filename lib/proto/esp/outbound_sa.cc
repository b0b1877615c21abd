#include <absl/status/status.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "transform.h"
#include "winze/base/bytes.h"
#include "winze/proto/esp/sa.h"

namespace winze::esp {
namespace {

constexpr std::size_t kTrailer = 2;
// A rekey takes a while, and a fast sender uses a million numbers a second.
constexpr std::uint64_t kSequenceReserve = std::uint64_t{1} << 28;

// Bytes that fill payload and trailer up to the alignment.
std::size_t padding_of(std::size_t size, std::size_t alignment) {
  return (alignment - (size + kTrailer) % alignment) % alignment;
}

// 1, 2, 3, ... (RFC 4303 section 2.4), then pad length and next header.
void write_trailer(std::uint8_t* at, std::size_t padding, std::uint8_t next_header) {
  for (std::size_t i = 0; i < padding; ++i) at[i] = static_cast<std::uint8_t>(i + 1);
  at[padding] = static_cast<std::uint8_t>(padding);
  at[padding + 1] = next_header;
}

std::uint8_t next_header_of(const Buffer& packet) {
  const unsigned version = packet.empty() ? 0 : packet.data()[0] >> 4;
  return version == 4 ? kNextHeaderV4 : version == 6 ? kNextHeaderV6 : kNextHeaderFromVersion;
}

}  // namespace

OutboundSa::OutboundSa(OutboundSa&&) noexcept = default;
OutboundSa& OutboundSa::operator=(OutboundSa&&) noexcept = default;
OutboundSa::~OutboundSa() = default;

absl::StatusOr<OutboundSa> OutboundSa::create(const SaConfig& config, Random& random) {
  if (const absl::Status status = check_numbers(config); !status.ok()) return status;
  auto transform = Transform::create(config.algorithms, config.esn, &random);
  if (!transform.ok()) return transform.status();
  OutboundSa sa;
  sa.spi_ = config.spi;
  sa.esn_ = config.esn;
  sa.pad_payload_to_ = config.pad_payload_to;
  sa.next_ = config.first_sequence;
  sa.last_ = config.esn ? UINT64_MAX - 1 : UINT32_MAX;
  sa.usage_ = Usage(config.lifetime);
  sa.transform_ = std::move(*transform);
  return sa;
}

SealResult OutboundSa::seal(std::span<Buffer> packets, std::uint8_t next_header) {
  SealResult result;
  for (Buffer& packet : packets) {
    result.stop = seal(packet, next_header);
    if (result.stop != Drop::kNone) break;
    ++result.sealed;
  }
  return result;
}

Drop OutboundSa::seal(Buffer& packet, std::uint8_t next_header) {
  const Drop drop = seal_one(packet, next_header);
  if (drop != Drop::kNone) drops_.add(drop);
  return drop;
}

Drop OutboundSa::seal_one(Buffer& packet, std::uint8_t next_header) {
  if (next_ > last_) return Drop::kSequenceExhausted;
  if (!usage_.allows_more()) return Drop::kExpired;
  if (next_header == kNextHeaderFromVersion) {
    next_header = next_header_of(packet);
    if (next_header == kNextHeaderFromVersion) return Drop::kMalformed;
  }
  usage_.add(packet.size());
  if (packet.size() < pad_payload_to_ && (next_header == kNextHeaderV4 || next_header == kNextHeaderV6)) {
    const std::size_t fill = pad_payload_to_ - packet.size();
    std::memset(packet.append(fill), 0, fill);
  }
  const std::size_t padding = padding_of(packet.size(), transform_->alignment());
  write_trailer(packet.append(padding + kTrailer + transform_->icv_size()), padding, next_header);
  std::uint8_t* const header = packet.prepend(kHeaderSize + transform_->iv_size());
  store_u32(header, spi_);
  store_u32(header + 4, static_cast<std::uint32_t>(next_));
  return transform_->seal(packet, next_++) ? Drop::kNone : Drop::kTooBig;
}

Drop OutboundSa::seal_dummy(Buffer& packet, std::size_t size, Random& random) {
  packet.clear(std::min(overhead().front, packet.capacity()));
  std::uint8_t* const at = packet.append(size);
  random.fill({at, size});
  return seal(packet, kNextHeaderNone);
}

Overhead OutboundSa::overhead() const noexcept {
  return {kHeaderSize + transform_->iv_size() + transform_->scratch_front(),
          transform_->alignment() - 1 + kTrailer + transform_->icv_size()};
}

std::size_t OutboundSa::sealed_size(std::size_t size) const noexcept {
  return kHeaderSize + transform_->iv_size() + size + padding_of(size, transform_->alignment()) + kTrailer +
         transform_->icv_size();
}

std::size_t OutboundSa::largest_payload(std::size_t limit) const noexcept {
  const std::size_t fixed = kHeaderSize + transform_->iv_size() + transform_->icv_size();
  if (limit < fixed) return 0;
  const std::size_t text = (limit - fixed) / transform_->alignment() * transform_->alignment();
  return text < kTrailer ? 0 : text - kTrailer;
}

SaAge OutboundSa::age(TimePoint now) const noexcept {
  if (next_ > last_) return SaAge::kHard;
  const SaAge age = usage_.age(now);
  return age == SaAge::kFresh && last_ - next_ < kSequenceReserve ? SaAge::kSoft : age;
}

void OutboundSa::use_short_sha2() noexcept { transform_->use_short_sha2(true); }

}  // namespace winze::esp
