// What lies in ESP, in every mode, through two databases. IP packets that leave one are changed on the way or not: the
// other opens what was sealed, and nothing else. And a peer that has the keys may put anything inside.
//
// The first byte says how: mode (2 bits), outer IPv6, policies with ports, a NAT between, ESN, and whether the rest is
// a packet for the sender or what lies in ESP, whose next header is then the second byte. A change: where (2 bytes),
// what.
#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "support/require.h"
#include "winze/base/bytes.h"
#include "winze/base/random.h"
#include "winze/proto/esp/database.h"

namespace winze::esp {
namespace {

using test::require;

constexpr std::uint32_t kSpi = 0x1234;
constexpr Overhead kRoom{.front = 128, .back = 64};

IpAddress address(bool v6, std::uint8_t last) {
  std::array<std::uint8_t, 16> bytes{};
  bytes[0] = v6 ? 0xfd : 10;
  bytes[v6 ? 15 : 3] = last;
  return v6 ? IpAddress::v6(bytes) : IpAddress::v4(std::span(bytes).first<4>());
}

struct How {
  explicit How(std::uint8_t bits)
      : mode(static_cast<Mode>((bits & 3) % 3)),
        outer_v6((bits & 4) != 0),
        ports((bits & 8) != 0),
        nat((bits & 16) != 0),
        esn((bits & 32) != 0),
        raw((bits & 64) != 0) {}
  Mode mode;
  bool outer_v6, ports, nat, esn, raw;
};

// One end: `here` and `there` are the last bytes of its addresses. BEET's inner ones are those of the packet at hand.
struct End {
  End(const How& how, std::uint8_t here, std::uint8_t there, const IpAddress& inner_here,
      const IpAddress& inner_there) {
    ChildConfig config{.how = {.mode = how.mode,
                               .local = address(how.outer_v6, here),
                               .remote = address(how.outer_v6, there),
                               .inner_local = inner_here,
                               .inner_remote = inner_there,
                               .behind_nat = how.nat}};
    if (how.ports) {
      for (ip::Selector& selector : config.selectors.local) selector.last_port = 0x7fff;
    }
    child = &database.add(config);
    SaConfig sa{.spi = kSpi, .algorithms = {.encryption_key = Secret(20)}, .esn = how.esn};
    auto outbound = OutboundSa::create(sa, random);
    auto inbound = InboundSa::create(sa);
    require(outbound.ok() && inbound.ok());
    child->set_outbound(std::move(*outbound));
    require(database.add_inbound(*child, std::move(*inbound)));
  }

  // Whatever it is: what comes out is a packet, and is told truly.
  Drop open(Buffer& packet, const Outer& outer) {
    Opened opened;
    ip::Header inner;
    Child* whose = nullptr;
    const Drop drop = database.open(packet, outer, TimePoint{}, opened, inner, whose);
    require(whose == child || drop == Drop::kUnknownSpi || drop == Drop::kMalformed);
    if (drop != Drop::kNone) return drop;
    const auto header = ip::parse(std::as_const(packet).span());
    require(header && header->size <= packet.size() && header->size == inner.size && header->v6 == inner.v6);
    require(header->protocol == inner.protocol && header->header_size == inner.header_size);
    return drop;
  }

  SeededRandom random{1};
  Database database;
  Child* child;
};

void open_anything(const How& how, std::uint8_t next_header, std::span<const std::uint8_t> payload) {
  const IpAddress inner = address(false, 9), other = address(false, 8);
  End end(how, 1, 2, inner, other);
  const Outer outer{.source = address(how.outer_v6, 2), .destination = address(how.outer_v6, 1)};
  Buffer raw = Buffer::copy_of(payload, kRoom);
  (void)end.open(raw, outer);
  Buffer packet = Buffer::copy_of(payload, kRoom);
  // One next header is the caller's to choose by the packet's version, which there may be none of.
  if (end.child->outbound()->seal(packet, next_header) != Drop::kNone) return;
  (void)end.open(packet, outer);
}

void send(const How& how, std::size_t change_at, std::uint8_t change, std::span<const std::uint8_t> bytes) {
  const auto parsed = ip::parse(bytes);
  if (!parsed) return;
  ip::Header header = *parsed;
  const IpAddress source = ip::source_of(bytes), destination = ip::destination_of(bytes);
  End near(how, 1, 2, source, destination), far(how, 2, 1, destination, source);
  Buffer packet = Buffer::copy_of(bytes.first(header.size), kRoom);
  const std::string sent(packet.text());
  Drop why = Drop::kNone;
  Child* const child = near.database.select(packet, header, TimePoint{}, kRoom, why);
  require((child == nullptr) == (why != Drop::kNone));
  if (child == nullptr) return;
  Outer outer;
  if (child->seal(packet, header, outer) != Drop::kNone) return;
  require(how.mode == Mode::kTransport || outer.source == address(how.outer_v6, 1));

  packet.data()[change_at % packet.size()] ^= change;
  const Drop drop = far.open(packet, outer);
  if (change != 0) {
    require(drop != Drop::kNone);
  } else if (how.mode == Mode::kTunnel && drop == Drop::kNone) {
    require(packet.text() == sent);
  }
}

}  // namespace
}  // namespace winze::esp

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace winze;
  if (size < 5 || size > 4096) return 0;
  const esp::How how(data[0]);
  const std::span<const std::uint8_t> rest(data + 5, size - 5);
  if (how.raw) {
    esp::open_anything(how, data[1], rest);
  } else {
    esp::send(how, load_u16(data + 2), data[4], rest);
  }
  return 0;
}
