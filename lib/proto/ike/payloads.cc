#include "payloads.h"

#include <algorithm>

namespace winze::ike {
namespace {

constexpr std::uint16_t kKeyLength = 14;  // attribute of a transform
constexpr std::uint16_t kShortAttribute = 0x8000;
// More than anybody offers; what there is to compare is bounded with it.
constexpr std::size_t kMostOffers = 64, kMostTransforms = 1024;
constexpr std::uint8_t kMore = 2, kMoreTransforms = 3;
constexpr std::uint8_t kTsIpv4 = 7, kTsIpv6 = 8;

// --- SA (section 3.3)

bool decode_transform(Reader& in, Proposal& proposal) {
  Transform transform;
  transform.type = static_cast<TransformType>(in.u8());
  in.skip(1);
  transform.id = in.u16();
  bool strange = false;
  while (in.ok() && in.remaining() != 0) {
    const std::uint16_t type = in.u16();
    const std::uint16_t value = in.u16();
    if ((type & kShortAttribute) == 0) {
      in.skip(value);
      strange = true;
    } else if ((type & ~kShortAttribute) == kKeyLength) {
      transform.key_bits = value;
    } else {
      strange = true;
    }
  }
  // Section 3.3.6: a transform with an attribute that is not understood is not acceptable; the others may be. 65535 is
  // nobody's number.
  if (strange) transform.id = 0xffff;
  proposal.transforms.push_back(transform);
  return in.ok();
}

bool decode_offer(Reader& in, Offer& offer) {
  offer.number = in.u8();
  offer.proposal.protocol = static_cast<Protocol>(in.u8());
  const std::size_t spi_size = in.u8();
  const std::size_t transforms = in.u8();
  offer.spi = in.bytes(spi_size);
  for (std::size_t i = 0; i < transforms; ++i) {
    in.skip(2);
    const std::size_t length = in.u16();
    if (length < 8) return false;
    Reader transform(in.bytes(length - 4));
    if (!in.ok() || !decode_transform(transform, offer.proposal)) return false;
  }
  return in.ok() && in.remaining() == 0;
}

bool decode_sa(Bytes body, std::vector<Offer>& offers) {
  Reader in(body);
  std::size_t transforms = 0;
  while (in.remaining() != 0) {
    in.skip(2);
    const std::size_t length = in.u16();
    if (!in.ok() || length < 8 || offers.size() == kMostOffers) return false;
    Reader proposal(in.bytes(length - 4));
    if (!in.ok() || !decode_offer(proposal, offers.emplace_back())) return false;
    transforms += offers.back().proposal.transforms.size();
    if (transforms > kMostTransforms) return false;
  }
  return !offers.empty();
}

// --- Others

bool decode_id(Bytes body, std::optional<Identity>& identity) {
  Reader in(body);
  const auto type = static_cast<IdentityType>(in.u8());
  in.skip(3);
  const Bytes rest = in.rest();
  if (!in.ok() || identity) return false;
  identity = Identity{type, {rest.begin(), rest.end()}};
  return true;
}

bool decode_notify(Bytes body, NotifyView& notify) {
  Reader in(body);
  notify.protocol = static_cast<Protocol>(in.u8());
  const std::size_t spi_size = in.u8();
  notify.type = in.u16();
  notify.spi = in.bytes(spi_size);
  notify.data = in.rest();
  return in.ok();
}

bool decode_delete(Bytes body, DeleteView& view) {
  Reader in(body);
  view.protocol = static_cast<Protocol>(in.u8());
  const std::size_t spi_size = in.u8();
  const std::size_t count = in.u16();
  if (!in.ok() || in.remaining() != spi_size * count) return false;
  if (view.protocol == Protocol::kIke) return count == 0;
  if (spi_size != 4) return false;
  for (std::size_t i = 0; i < count; ++i) view.spis.push_back(in.u32());
  return true;
}

bool decode_selectors(Bytes body, std::optional<std::vector<ip::Selector>>& selectors) {
  if (selectors) return false;
  Reader in(body);
  const std::size_t count = in.u8();
  in.skip(3);
  selectors.emplace();
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint8_t type = in.u8();
    ip::Selector selector;
    selector.protocol = in.u8();
    const std::size_t length = in.u16();
    if (!in.ok() || length < 8) return false;
    Reader rest(in.bytes(length - 4));
    if (!in.ok()) return false;
    selector.first_port = rest.u16();
    selector.last_port = rest.u16();
    if (type == kTsIpv4 && length == 16) {
      selector.first = IpAddress::v4(rest.bytes(4).first<4>());
      selector.last = IpAddress::v4(rest.bytes(4).first<4>());
    } else if (type == kTsIpv6 && length == 40) {
      selector.first = IpAddress::v6(rest.bytes(16).first<16>());
      selector.last = IpAddress::v6(rest.bytes(16).first<16>());
    } else if (type == kTsIpv4 || type == kTsIpv6) {
      return false;
    } else {
      continue;  // of a kind that nothing here can match
    }
    selectors->push_back(selector);
  }
  return in.ok() && in.remaining() == 0 && count != 0;
}

// --- Configuration (section 3.15)

enum Attribute : std::uint16_t {
  kInternalIp4Address = 1,
  kInternalIp4Netmask = 2,
  kInternalIp4Dns = 3,
  kInternalIp6Address = 8,
  kInternalIp6Dns = 10,
  kInternalIp4Subnet = 13,
  kInternalIp6Subnet = 15,
  kInternalDnsDomain = 25,  // RFC 8598
};

std::uint8_t bits_of_mask(std::uint32_t mask) {
  std::uint8_t bits = 0;
  while (bits < 32 && (mask & (0x80000000u >> bits)) != 0) ++bits;
  return bits;
}

IpAddress zero6() {
  static constexpr std::uint8_t kZeros[16] = {};
  return IpAddress::v6(kZeros);
}

void decode_attribute(std::uint16_t type, Bytes value, Contents& out) {
  Configuration& into = out.configuration;
  switch (type) {
    case kInternalIp4Address:
      if (value.empty()) into.addresses.push_back({IpAddress(), 32});
      if (value.size() == 4) into.addresses.push_back({IpAddress::v4(value.first<4>()), 32});
      break;
    case kInternalIp6Address:
      if (value.empty()) into.addresses.push_back({zero6(), 128});
      if (value.size() == 16 || value.size() == 17) {
        const std::uint8_t bits = value.size() == 17 ? std::min<std::uint8_t>(value[16], 128) : std::uint8_t{128};
        into.addresses.push_back({IpAddress::v6(value.first<16>()), bits});
      }
      break;
    case kInternalIp4Dns:
      out.wants_dns = true;
      if (value.size() == 4) into.dns.push_back(IpAddress::v4(value.first<4>()));
      break;
    case kInternalIp6Dns:
      out.wants_dns = true;
      if (value.size() == 16) into.dns.push_back(IpAddress::v6(value.first<16>()));
      break;
    case kInternalIp4Subnet:
      if (value.size() == 8) {
        into.subnets.push_back({IpAddress::v4(value.first<4>()), bits_of_mask(load_u32(value.data() + 4))});
      }
      break;
    case kInternalIp6Subnet:
      if (value.size() == 17 && value[16] <= 128) into.subnets.push_back({IpAddress::v6(value.first<16>()), value[16]});
      break;
    case kInternalDnsDomain:
      if (!value.empty()) into.domains.emplace_back(as_text(value));
      break;
    default:
      break;  // section 3.15.1: what is not understood is passed over
  }
}

bool decode_configuration(Bytes body, Contents& out) {
  if (out.configuration_type) return false;
  Reader in(body);
  out.configuration_type = static_cast<ConfigurationType>(in.u8());
  in.skip(3);
  while (in.ok() && in.remaining() != 0) {
    const std::uint16_t type = in.u16() & 0x7fff;
    const std::size_t length = in.u16();
    const Bytes value = in.bytes(length);
    if (in.ok()) decode_attribute(type, value, out);
  }
  return in.ok();
}

bool decode_payload(const Payload& payload, Contents& out) {
  Reader in(payload.body);
  switch (payload.type) {
    case PayloadType::kSa:
      return out.offers.empty() && decode_sa(payload.body, out.offers);
    case PayloadType::kKeyExchange: {
      KeyExchangeView view{in.u16(), {}};
      in.skip(2);
      view.value = in.rest();
      if (!in.ok() || out.key_exchange) return false;
      out.key_exchange = view;
      return true;
    }
    case PayloadType::kNonce:
      // Section 3.9: 16 to 256 bytes.
      if (out.nonce || payload.body.size() < 16 || payload.body.size() > 256) return false;
      out.nonce = payload.body;
      return true;
    case PayloadType::kIdInitiator:
      return decode_id(payload.body, out.id_i);
    case PayloadType::kIdResponder:
      return decode_id(payload.body, out.id_r);
    case PayloadType::kAuth: {
      AuthView view{in.u8(), {}};
      in.skip(3);
      view.data = in.rest();
      if (!in.ok() || out.auth) return false;
      out.auth = view;
      return true;
    }
    case PayloadType::kNotify:
      return decode_notify(payload.body, out.notifies.emplace_back());
    case PayloadType::kDelete:
      return decode_delete(payload.body, out.deletes.emplace_back());
    case PayloadType::kCertificate:
    case PayloadType::kCertificateRequest: {
      CertificateView view{in.u8(), {}};
      view.data = in.rest();
      auto& list = payload.type == PayloadType::kCertificate ? out.certificates : out.certificate_requests;
      list.push_back(view);
      return in.ok();
    }
    case PayloadType::kTsInitiator:
      return decode_selectors(payload.body, out.ts_i);
    case PayloadType::kTsResponder:
      return decode_selectors(payload.body, out.ts_r);
    case PayloadType::kConfiguration:
      return decode_configuration(payload.body, out);
    case PayloadType::kEap:
      if (out.eap) return false;
      out.eap = payload.body;
      return true;
    case PayloadType::kVendor:
      return true;
    case PayloadType::kNone:
    case PayloadType::kEncrypted:
    case PayloadType::kFragment:
      break;
  }
  return false;
}

void write_transform(Writer& out, const Transform& transform, bool last) {
  out.u8(last ? 0 : kMoreTransforms);
  out.u8(0);
  out.u16(transform.key_bits != 0 ? 12 : 8);
  out.u8(static_cast<std::uint8_t>(transform.type));
  out.u8(0);
  out.u16(transform.id);
  if (transform.key_bits == 0) return;
  out.u16(kShortAttribute | kKeyLength);
  out.u16(transform.key_bits);
}

void write_attribute(Writer& out, std::uint16_t type, std::initializer_list<Bytes> parts) {
  std::size_t size = 0;
  for (const Bytes part : parts) size += part.size();
  out.u16(type);
  out.u16(static_cast<std::uint16_t>(size));
  for (const Bytes part : parts) out.bytes(part);
}

}  // namespace

bool Contents::decode(const PayloadChain& chain) {
  return std::ranges::all_of(chain.payloads, [this](const Payload& p) { return decode_payload(p, *this); });
}

const NotifyView* Contents::find(std::uint16_t notify_type) const noexcept {
  const auto found = std::ranges::find(notifies, notify_type, &NotifyView::type);
  return found == notifies.end() ? nullptr : &*found;
}

const NotifyView* Contents::error() const noexcept {
  const auto found = std::ranges::find_if(notifies, [](const NotifyView& n) { return n.type < notify::kFirstStatus; });
  return found == notifies.end() ? nullptr : &*found;
}

ProposalList Contents::offered() const {
  ProposalList list;
  for (const Offer& offer : offers) list.push_back(offer.proposal);
  return list;
}

void write_sa(PayloadWriter& out, std::span<const Proposal> proposals, Bytes spi, std::uint8_t number) {
  out.begin(PayloadType::kSa);
  Writer& body = out.body();
  for (std::size_t i = 0; i < proposals.size(); ++i) {
    const Proposal& proposal = proposals[i];
    std::size_t size = 8 + spi.size();
    for (const Transform& transform : proposal.transforms) size += transform.key_bits != 0 ? 12 : 8;
    body.u8(i + 1 == proposals.size() ? 0 : kMore);
    body.u8(0);
    body.u16(static_cast<std::uint16_t>(size));
    body.u8(static_cast<std::uint8_t>(number + i));
    body.u8(static_cast<std::uint8_t>(proposal.protocol));
    body.u8(static_cast<std::uint8_t>(spi.size()));
    body.u8(static_cast<std::uint8_t>(proposal.transforms.size()));
    body.bytes(spi);
    for (const Transform& transform : proposal.transforms) {
      write_transform(body, transform, &transform == &proposal.transforms.back());
    }
  }
  out.end();
}

void write_key_exchange(PayloadWriter& out, std::uint16_t method, Bytes value) {
  out.begin(PayloadType::kKeyExchange);
  out.body().u16(method);
  out.body().u16(0);
  out.body().bytes(value);
  out.end();
}

std::vector<std::uint8_t> id_body(const Identity& identity) {
  std::vector<std::uint8_t> body(4 + identity.bytes.size());
  body[0] = static_cast<std::uint8_t>(identity.type);
  std::ranges::copy(identity.bytes, body.begin() + 4);
  return body;
}

void write_id(PayloadWriter& out, PayloadType type, const Identity& identity) { out.add(type, id_body(identity)); }

void write_auth(PayloadWriter& out, std::uint8_t method, Bytes data) {
  out.begin(PayloadType::kAuth);
  out.body().u8(method);
  out.body().zeros(3);
  out.body().bytes(data);
  out.end();
}

void write_certificate(PayloadWriter& out, PayloadType type, std::uint8_t encoding, Bytes data) {
  out.begin(type);
  out.body().u8(encoding);
  out.body().bytes(data);
  out.end();
}

void write_notify(PayloadWriter& out, std::uint16_t type, Bytes data, Protocol protocol, Bytes spi) {
  out.begin(PayloadType::kNotify);
  out.body().u8(static_cast<std::uint8_t>(protocol));
  out.body().u8(static_cast<std::uint8_t>(spi.size()));
  out.body().u16(type);
  out.body().bytes(spi);
  out.body().bytes(data);
  out.end();
}

void write_delete_ike(PayloadWriter& out) {
  out.begin(PayloadType::kDelete);
  out.body().u8(static_cast<std::uint8_t>(Protocol::kIke));
  out.body().u8(0);
  out.body().u16(0);
  out.end();
}

void write_delete_esp(PayloadWriter& out, std::span<const std::uint32_t> spis) {
  out.begin(PayloadType::kDelete);
  out.body().u8(static_cast<std::uint8_t>(Protocol::kEsp));
  out.body().u8(4);
  out.body().u16(static_cast<std::uint16_t>(spis.size()));
  for (const std::uint32_t spi : spis) out.body().u32(spi);
  out.end();
}

void write_selectors(PayloadWriter& out, PayloadType type, std::span<const ip::Selector> selectors) {
  const std::size_t count = std::min<std::size_t>(selectors.size(), 255);
  out.begin(type);
  Writer& body = out.body();
  body.u8(static_cast<std::uint8_t>(count));
  body.zeros(3);
  for (const ip::Selector& selector : selectors.first(count)) {
    const bool v4 = selector.first.is_v4();
    body.u8(v4 ? kTsIpv4 : kTsIpv6);
    body.u8(selector.protocol);
    body.u16(v4 ? 16 : 40);
    body.u16(selector.first_port);
    body.u16(selector.last_port);
    body.bytes(selector.first.bytes());
    body.bytes(selector.last.bytes());
  }
  out.end();
}

void write_configuration(PayloadWriter& out, ConfigurationType type, const Configuration& configuration) {
  const bool request = type == ConfigurationType::kRequest;
  out.begin(PayloadType::kConfiguration);
  Writer& body = out.body();
  body.u8(static_cast<std::uint8_t>(type));
  body.zeros(3);
  for (const Prefix& prefix : configuration.addresses) {
    const bool any = request && prefix.address.is_unspecified();
    const std::uint16_t attribute = prefix.address.is_v4() ? kInternalIp4Address : kInternalIp6Address;
    if (any) {
      write_attribute(body, attribute, {});
    } else if (prefix.address.is_v4()) {
      write_attribute(body, attribute, {prefix.address.bytes()});
    } else {
      write_attribute(body, attribute, {prefix.address.bytes(), Bytes(&prefix.bits, 1)});
    }
  }
  for (const IpAddress& dns : configuration.dns) {
    const Bytes value = request ? Bytes() : dns.bytes();
    write_attribute(body, dns.is_v4() ? kInternalIp4Dns : kInternalIp6Dns, {value});
  }
  for (const Prefix& subnet : configuration.subnets) {
    if (subnet.address.is_v6()) {
      write_attribute(body, kInternalIp6Subnet, {subnet.address.bytes(), Bytes(&subnet.bits, 1)});
      continue;
    }
    std::uint8_t mask[4];
    store_u32(mask, subnet.bits == 0 ? 0 : ~std::uint32_t{0} << (32 - std::min<unsigned>(subnet.bits, 32)));
    write_attribute(body, kInternalIp4Subnet, {subnet.address.bytes(), mask});
  }
  for (const std::string& domain : configuration.domains) {
    write_attribute(body, kInternalDnsDomain, {as_bytes(domain)});
  }
  out.end();
}

}  // namespace winze::ike
