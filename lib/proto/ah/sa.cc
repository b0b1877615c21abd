#include "winze/proto/ah/sa.h"

#include <cstring>
#include <utility>

#include "authenticator.h"
#include "proto/esp/encapsulate.h"
#include "proto/esp/transform.h"
#include "winze/base/bytes.h"

namespace winze::ah {
namespace {

// The same number in 16 bits, and never 0, which a kernel would replace.
std::uint16_t identification_of(std::uint64_t sequence) { return static_cast<std::uint16_t>(sequence % 65535 + 1); }

}  // namespace

OutboundSa::OutboundSa(OutboundSa&&) noexcept = default;
OutboundSa& OutboundSa::operator=(OutboundSa&&) noexcept = default;
OutboundSa::~OutboundSa() = default;

absl::StatusOr<OutboundSa> OutboundSa::create(const esp::SaConfig& config) {
  if (const absl::Status status = esp::check_numbers(config); !status.ok()) return status;
  auto authenticator = Authenticator::create(config);
  if (!authenticator.ok()) return authenticator.status();
  OutboundSa sa;
  sa.spi_ = config.spi;
  sa.next_ = config.first_sequence;
  sa.last_ = config.esn ? UINT64_MAX - 1 : UINT32_MAX;
  sa.usage_ = esp::Usage(config.lifetime);
  sa.authenticator_ = std::move(*authenticator);
  return sa;
}

Drop OutboundSa::seal(const esp::Encapsulation& how, Buffer& packet, const ip::Header& header) {
  const Drop drop = seal_one(how, packet, header);
  if (drop != Drop::kNone) drops_.add(drop);
  return drop;
}

Drop OutboundSa::seal_one(const esp::Encapsulation& how, Buffer& packet, const ip::Header& header) {
  if (next_ > last_) return Drop::kSequenceExhausted;
  if (!usage_.allows_more()) return Drop::kExpired;
  packet.trim_back(packet.size() - header.size);
  if (how.mode == esp::Mode::kTransport) return header.is_fragment() ? Drop::kFragment : insert(packet, header);

  const esp::Outer outer = esp::outer_of(how, header);
  if (!ip::prepend_header(packet, {.source = outer.source,
                                   .destination = outer.destination,
                                   .protocol = header.v6 ? ip::kIpv6 : ip::kIpv4,
                                   .traffic_class = outer.traffic_class,
                                   .hop_limit = outer.hop_limit,
                                   .dont_fragment = outer.dont_fragment,
                                   .identification = identification_of(next_)})) {
    return Drop::kTooBig;
  }
  return insert(packet, *ip::parse(packet.span()));
}

// Opens a gap for AH by moving the headers in front of it.
Drop OutboundSa::insert(Buffer& packet, const ip::Header& header) {
  const std::size_t size = authenticator_->header_size(header.v6);
  const std::size_t payload = packet.size() - header.insert_at;
  if (packet.size() + size - (header.v6 ? ip::kIpv6HeaderSize : 0) > 65535) return Drop::kTooBig;
  const std::uint8_t next_header = packet.data()[header.insert_number_at];
  std::uint8_t* const p = packet.prepend(size);
  std::memmove(p, p + size, header.insert_at);
  p[header.insert_number_at] = kProtocol;
  std::uint8_t* const ah = p + header.insert_at;
  std::memset(ah, 0, size);
  ah[0] = next_header;
  ah[1] = static_cast<std::uint8_t>(size / 4 - 2);
  store_u32(ah + 4, spi_);
  store_u32(ah + 8, static_cast<std::uint32_t>(next_));
  ip::update_length(packet.span());
  const Drop drop = authenticator_->write(packet, header.insert_at, next_);
  if (drop != Drop::kNone) return drop;
  ++next_;
  usage_.add(payload);
  return Drop::kNone;
}

std::size_t OutboundSa::header_size(bool v6) const noexcept { return authenticator_->header_size(v6); }

esp::SaAge OutboundSa::age(TimePoint now) const noexcept { return next_ > last_ ? esp::SaAge::kHard : usage_.age(now); }

InboundSa::InboundSa(InboundSa&&) noexcept = default;
InboundSa& InboundSa::operator=(InboundSa&&) noexcept = default;
InboundSa::~InboundSa() = default;

InboundSa::InboundSa(const esp::SaConfig& config)
    : spi_(config.spi),
      esn_(config.esn),
      window_(config.replay_window, config.first_sequence - 1),
      usage_(config.lifetime) {}

absl::StatusOr<InboundSa> InboundSa::create(const esp::SaConfig& config) {
  if (const absl::Status status = esp::check_numbers(config); !status.ok()) return status;
  auto authenticator = Authenticator::create(config);
  if (!authenticator.ok()) return authenticator.status();
  InboundSa sa(config);
  sa.authenticator_ = std::move(*authenticator);
  return sa;
}

Drop InboundSa::open(const esp::Encapsulation& how, Buffer& packet, esp::Opened& opened, ip::Header& inner) {
  opened = {};
  opened.drop = open_one(how, packet, opened, inner);
  if (opened.drop != Drop::kNone) drops_.add(opened.drop);
  return opened.drop;
}

Drop InboundSa::open_one(const esp::Encapsulation& how, Buffer& packet, esp::Opened& opened, ip::Header& inner) {
  const auto header = ip::parse(packet.span());
  if (!header || header->protocol != kProtocol) return Drop::kMalformed;
  if (header->is_fragment()) return Drop::kFragment;
  packet.trim_back(packet.size() - header->size);
  const std::size_t at = header->header_size;
  const std::size_t least = authenticator_->header_size(false);
  if (packet.size() < at + least) return Drop::kMalformed;
  const std::uint8_t* const ah = packet.data() + at;
  // Some round an ICV up to 8 bytes with IPv4 too.
  const std::size_t size = (std::size_t{ah[1]} + 2) * 4;
  if (size < least || size > authenticator_->header_size(true) || at + size > packet.size()) return Drop::kMalformed;
  if (load_u32(ah + 4) != spi_) return Drop::kUnknownSpi;
  if (!usage_.allows_more()) return Drop::kExpired;
  const std::uint32_t low = load_u32(ah + 8);
  std::uint64_t sequence = 0;
  if (const Drop drop = esp::judge(window_, esn_, low, sequence); drop != Drop::kNone) return drop;
  if (const Drop drop = authenticator_->verify(packet, at, sequence); drop != Drop::kNone) return drop;
  opened.newest = window_.accept(sequence);
  opened.next_header = packet.data()[at];
  usage_.add(packet.size() - at - size);
  if (opened.next_header == ip::kNoNextHeader) return Drop::kDummy;

  if (how.mode == esp::Mode::kTransport) {
    packet.data()[header->number_at] = opened.next_header;
    std::memmove(packet.data() + size, packet.data(), at);
    packet.trim_front(size);
    ip::update_length(packet.span());
    const auto bare = ip::parse(packet.span());
    if (!bare) return Drop::kBadInner;
    inner = *bare;
    return Drop::kNone;
  }
  packet.trim_front(at + size);
  return esp::finish_tunnel(packet, opened.next_header, {.traffic_class = header->traffic_class}, inner);
}

}  // namespace winze::ah
