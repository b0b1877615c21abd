#include "winze/proto/ip/selector.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "winze/base/bytes.h"

namespace winze::ip {
namespace {

constexpr std::uint8_t kSctp = 132;
constexpr std::uint8_t kDccp = 33;
constexpr std::uint8_t kUdpLite = 136;
constexpr std::uint8_t kMobility = 135;

struct Name {
  std::string_view text;
  std::uint8_t number;
};
constexpr Name kNames[] = {{"tcp", kTcp}, {"udp", kUdp}, {"icmp", kIcmp}, {"icmp6", kIcmpV6}, {"sctp", kSctp}};

bool has_ports(std::uint8_t protocol) {
  return protocol == kTcp || protocol == kUdp || protocol == kSctp || protocol == kDccp || protocol == kUdpLite;
}

template <typename T>
std::optional<T> number(std::string_view text, unsigned largest) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value > largest) return std::nullopt;
  return static_cast<T>(value);
}

IpAddress from_bytes(const std::array<std::uint8_t, 16>& bytes, bool v6) {
  return v6 ? IpAddress::v6(bytes) : IpAddress::v4(std::span(bytes).first<4>());
}

bool parse_addresses(std::string_view text, Selector& out) {
  const std::size_t dash = text.find('-');
  if (dash == text.npos) {
    const auto prefix = Prefix::parse(text);
    if (prefix) out = Selector::prefix(prefix->address, prefix->bits);
    return prefix.has_value();
  }
  const auto first = IpAddress::parse(text.substr(0, dash)), last = IpAddress::parse(text.substr(dash + 1));
  if (!first || !last || first->is_v6() != last->is_v6() || *last < *first) return false;
  out.first = *first;
  out.last = *last;
  return true;
}

bool parse_ports(std::string_view text, Selector& out) {
  const std::size_t dash = text.find('-');
  const auto first = number<std::uint16_t>(text.substr(0, dash), 65535);
  const auto last = dash == text.npos ? first : number<std::uint16_t>(text.substr(dash + 1), 65535);
  if (!first || !last || *last < *first) return false;
  out.first_port = *first;
  out.last_port = *last;
  return true;
}

bool parse_protocol(std::string_view text, Selector& out) {
  const std::size_t slash = text.find('/');
  const std::string_view protocol = text.substr(0, slash);
  const auto* const name = std::ranges::find(kNames, protocol, &Name::text);
  if (name != std::end(kNames)) {
    out.protocol = name->number;
  } else if (const auto value = number<std::uint8_t>(protocol, 255)) {
    out.protocol = *value;
  } else {
    return false;
  }
  return slash == text.npos || parse_ports(text.substr(slash + 1), out);
}

// Whether [first, last] is one prefix, and of how many bits.
std::optional<unsigned> prefix_bits(const IpAddress& first, const IpAddress& last) {
  const unsigned all = first.is_v6() ? 128 : 32;
  for (unsigned bits = 0; bits <= all; ++bits) {
    const Selector prefix = Selector::prefix(first, bits);
    if (prefix.first == first && prefix.last == last) return bits;
  }
  return std::nullopt;
}

bool covers_but_port(const Selector& s, const IpAddress& address, const Flow& flow) {
  return s.covers(address) && (s.protocol == Selector::kAnyProtocol || s.protocol == flow.protocol);
}
bool covers_one(const std::vector<Selector>& selectors, const IpAddress& address, const Flow& flow,
                std::uint16_t port) {
  return std::ranges::any_of(selectors, [&](const Selector& s) {
    return covers_but_port(s, address, flow) && s.covers_port(flow.ports_known, port);
  });
}

}  // namespace

Flow flow_of(std::span<const std::uint8_t> packet, const Header& header) noexcept {
  Flow flow{.source = source_of(packet), .destination = destination_of(packet), .protocol = header.protocol};
  if (header.fragment_offset != 0) return flow;
  const auto payload = packet.first(header.size).subspan(header.header_size);
  if (has_ports(header.protocol) && payload.size() >= 4) {
    flow.ports_known = true;
    flow.source_port = load_u16(payload.data());
    flow.destination_port = load_u16(payload.data() + 2);
  } else if ((header.protocol == kIcmp || header.protocol == kIcmpV6) && payload.size() >= 2) {
    flow.ports_known = true;
    flow.source_port = flow.destination_port = load_u16(payload.data());
  } else if (header.protocol == kMobility && payload.size() >= 3) {
    flow.ports_known = true;
    flow.source_port = flow.destination_port = static_cast<std::uint16_t>(payload[2] << 8);
  }
  return flow;
}

std::optional<Selector> Selector::parse(std::string_view text) {
  Selector out;
  // An address in brackets would hold no '/', and end the text.
  const std::size_t open = text.find('[', 1);
  if (!parse_addresses(text.substr(0, open), out)) return std::nullopt;
  if (open == text.npos) return out;
  const std::string_view rest = text.substr(open + 1);
  if (!rest.ends_with(']') || !parse_protocol(rest.substr(0, rest.size() - 1), out)) return std::nullopt;
  return out;
}

Selector Selector::prefix(const IpAddress& address, unsigned bits) {
  std::array<std::uint8_t, 16> first{}, last{};
  const auto bytes = address.bytes();
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const unsigned here = bits > i * 8 ? std::min<unsigned>(8, bits - static_cast<unsigned>(i) * 8) : 0;
    const auto mask = static_cast<std::uint8_t>(0xff00 >> here);
    first[i] = bytes[i] & mask;
    last[i] = static_cast<std::uint8_t>(bytes[i] | ~mask);
  }
  return {.first = from_bytes(first, address.is_v6()), .last = from_bytes(last, address.is_v6())};
}

std::string Selector::to_string() const {
  std::string out = first.to_string();
  if (first != last) {
    const auto bits = prefix_bits(first, last);
    out += bits ? "/" + std::to_string(*bits) : "-" + last.to_string();
  }
  if (protocol == kAnyProtocol && any_port()) return out;
  const auto* const name = std::ranges::find(kNames, protocol, &Name::number);
  out += "[" + (name != std::end(kNames) ? std::string(name->text) : std::to_string(protocol));
  if (!any_port()) {
    out += "/" + std::to_string(first_port);
    if (last_port != first_port) out += "-" + std::to_string(last_port);
  }
  return out + "]";
}

bool SelectorPair::covers_outbound(const Flow& flow) const noexcept {
  return covers_one(local, flow.source, flow, flow.source_port) &&
         covers_one(remote, flow.destination, flow, flow.destination_port);
}
bool SelectorPair::covers_inbound(const Flow& flow) const noexcept {
  return covers_one(local, flow.destination, flow, flow.destination_port) &&
         covers_one(remote, flow.source, flow, flow.source_port);
}
bool SelectorPair::covers_inbound_but_ports(const Flow& flow) const noexcept {
  return std::ranges::any_of(local, [&](const Selector& s) { return covers_but_port(s, flow.destination, flow); }) &&
         std::ranges::any_of(remote, [&](const Selector& s) { return covers_but_port(s, flow.source, flow); });
}
bool SelectorPair::needs_ports() const noexcept {
  const auto of_some = [](const Selector& s) { return !s.any_port(); };
  return std::ranges::any_of(local, of_some) || std::ranges::any_of(remote, of_some);
}

SelectorPair SelectorPair::any() {
  return {.local = {Selector::any(false), Selector::any(true)}, .remote = {Selector::any(false), Selector::any(true)}};
}

void move_host(std::vector<Selector>& selectors, const IpAddress& from, const IpAddress& to) {
  for (Selector& selector : selectors) {
    if (selector.first == from && selector.last == from) selector.first = selector.last = to;
  }
}

}  // namespace winze::ip
