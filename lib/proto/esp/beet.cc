#include "beet.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "winze/base/bytes.h"

namespace winze::esp::beet {
namespace {

constexpr std::uint8_t kPseudoHeader = 94;
constexpr std::size_t kPseudoFixed = 4;
constexpr std::size_t kUnit = 8;
constexpr std::size_t kLargestOptions = 40;
constexpr std::uint8_t kNoOperation = 1;

struct Options {
  std::array<std::uint8_t, kLargestOptions> bytes;
  std::size_t size = 0;
};

// Takes the pseudo-header off.
Drop read_pseudo_header(Buffer& packet, std::uint8_t& next_header, Options& options) {
  if (packet.size() < kUnit) return Drop::kBadInner;
  const std::uint8_t* const p = packet.data();
  const std::size_t size = (std::size_t{p[1]} + 1) * kUnit;
  const std::size_t before = kPseudoFixed + p[2];
  if (size > packet.size() || before > size || (size - before) % 4 != 0 || size - before > kLargestOptions) {
    return Drop::kBadInner;
  }
  next_header = p[0];
  options.size = size - before;
  std::memcpy(options.bytes.data(), p + before, options.size);
  packet.trim_front(size);
  return Drop::kNone;
}

}  // namespace

std::uint8_t wrap(Buffer& packet, const ip::Header& header) {
  if (header.v6) {
    const std::uint8_t next_header = packet.data()[6];
    packet.trim_front(ip::kIpv6HeaderSize);
    return next_header;
  }
  packet.trim_front(ip::kIpv4HeaderSize);
  const std::size_t options = header.header_size - ip::kIpv4HeaderSize;
  if (options == 0) return header.protocol;
  const std::size_t padding = kPseudoFixed - (options & kPseudoFixed);
  std::uint8_t* const p = packet.prepend(kPseudoFixed + padding);
  p[0] = header.protocol;
  p[1] = static_cast<std::uint8_t>(options / kUnit);
  p[2] = static_cast<std::uint8_t>(padding);
  p[3] = 0;
  std::memset(p + kPseudoFixed, kNoOperation, padding);
  return kPseudoHeader;
}

Drop unwrap(Buffer& packet, std::uint8_t next_header, const Outer& outer, const IpAddress& source,
            const IpAddress& destination) {
  Options options;
  if (next_header == kPseudoHeader && source.is_v4()) {
    const Drop drop = read_pseudo_header(packet, next_header, options);
    if (drop != Drop::kNone) return drop;
  }
  if (options.size > 0) std::memcpy(packet.prepend(options.size), options.bytes.data(), options.size);
  if (!ip::prepend_header(packet, {.source = source,
                                   .destination = destination,
                                   .protocol = next_header,
                                   .traffic_class = outer.traffic_class,
                                   .hop_limit = outer.hop_limit})) {
    return Drop::kTooBig;
  }
  if (options.size > 0) {
    packet.data()[0] = static_cast<std::uint8_t>(0x40 | (ip::kIpv4HeaderSize + options.size) / 4);
    ip::update_length(packet.span());
  }
  return Drop::kNone;
}

}  // namespace winze::esp::beet
