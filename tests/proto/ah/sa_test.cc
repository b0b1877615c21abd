#include "winze/proto/ah/sa.h"

#include <doctest/doctest.h>

#include <string>

#include "support/vectors.h"
#include "winze/base/status.h"
#include "winze/crypto/mac.h"

namespace winze::ah {
namespace {

using esp::Encapsulation;
using esp::Mode;
using test::Bytes;

const Encapsulation kTunnel{.local = *IpAddress::parse("192.0.2.1"), .remote = *IpAddress::parse("192.0.2.2")};
const Encapsulation kTransport{.mode = Mode::kTransport};

esp::SaConfig config_of(esp::Integrity integrity = esp::Integrity::kHmacSha2_256_128, bool esn = false) {
  return {.spi = 0x1234,
          .algorithms = {.encryption = esp::Encryption::kNull,
                         .integrity = integrity,
                         .legacy = true,
                         .integrity_key = Secret(esp::integrity_key_size(integrity))},
          .esn = esn};
}
esp::SaConfig gmac(bool esn) {
  return {
      .spi = 0x1234, .algorithms = {.encryption = esp::Encryption::kAesGmac, .encryption_key = Secret(36)}, .esn = esn};
}

struct Pair {
  OutboundSa out;
  InboundSa in;
  esp::Opened opened;
  ip::Header inner;

  explicit Pair(const esp::SaConfig& config) : out(*OutboundSa::create(config)), in(*InboundSa::create(config)) {}

  Buffer seal(const Bytes& bytes, const Encapsulation& how = kTransport) {
    Buffer packet = Buffer::copy_of(bytes, {.front = 128, .back = 16});
    REQUIRE(out.seal(how, packet, *ip::parse(packet.span())) == Drop::kNone);
    return packet;
  }
  Drop open(Buffer& packet, const Encapsulation& how = kTransport) { return in.open(how, packet, opened, inner); }
};

Buffer copy(const Buffer& packet) { return Buffer::copy_of(packet.span(), {.front = 64, .back = 16}); }

std::vector<Bytes> packets() {
  std::vector<Bytes> out;
  for (const test::Vector& v : test::load_vectors("ip/packets.txt")) {
    const Bytes packet = v.bytes("packet");
    if (!ip::parse(packet)->is_fragment()) out.push_back(packet);
  }
  return out;
}

TEST_CASE("ah: every suite and packet, and every byte that counts") {
  std::vector<esp::SaConfig> suites;
  for (const bool esn : {false, true}) {
    suites.push_back(gmac(esn));
    for (int i = 1; i <= static_cast<int>(esp::Integrity::kHmacSha2_256_96); ++i) {
      suites.push_back(config_of(static_cast<esp::Integrity>(i), esn));
    }
  }
  for (esp::SaConfig& config : suites) {
    if (config.esn) config.first_sequence = 0xfffffff0;  // the high half changes on the way
    for (const Encapsulation& how : {kTransport, kTunnel}) {
      Pair pair(config);
      for (const Bytes& original : packets()) {
        Buffer packet = pair.seal(original, how);
        const auto header = *ip::parse(packet.span());
        const std::size_t ah = header.header_size;
        for (const std::size_t at : {ah - 1, ah, ah + 4, ah + 11, ah + 12, packet.size() - 1}) {
          Buffer damaged = copy(packet);
          damaged.data()[at] ^= 1;
          CHECK(pair.open(damaged, how) != Drop::kNone);
        }
        // What routers change does not count.
        ip::set_traffic_class(packet.span(), header.traffic_class ^ 0x40);
        --packet.data()[header.v6 ? 7 : 8];
        ip::update_length(packet.span());
        REQUIRE(pair.open(packet, how) == Drop::kNone);
        CHECK(pair.inner.size == packet.size());
        if (how.mode == Mode::kTunnel) {
          CHECK(test::hex(packet.span()) == test::hex(original));
        } else {
          CHECK(test::hex(packet.span().subspan(12)) == test::hex(std::span<const std::uint8_t>(original).subspan(12)));
        }
      }
    }
  }
}

// Opens copies of packets that carry the numbers from `first` on, in any order.
class Numbered {
 public:
  Numbered(esp::SaConfig config, std::uint64_t first, std::size_t count)
      : pair_(with_first(config, first)), first_(first) {
    for (std::size_t i = 0; i < count; ++i) packets_.push_back(pair_.seal(packets()[0]));
  }
  Drop open(std::uint64_t number) {
    Buffer packet = copy(packets_.at(number - first_));
    return pair_.open(packet);
  }
  InboundSa& in() { return pair_.in; }

 private:
  static const esp::SaConfig& with_first(esp::SaConfig& config, std::uint64_t first) {
    config.first_sequence = first;
    return config;
  }

  Pair pair_;
  std::uint64_t first_;
  std::vector<Buffer> packets_;
};

// Around these numbers, and below the window with an extended number: then it is taken for one of the next 2^32, which
// the ICV contradicts.
TEST_CASE("ah attack: replays, and reordering at the window's edges, at 2^31 and 2^32, with and without ESN") {
  struct Row {
    std::uint64_t top;
    bool esn;
  };
  constexpr std::uint64_t k31 = std::uint64_t{1} << 31, k32 = std::uint64_t{1} << 32;
  for (const Row& row : {Row{100, false}, Row{100, true}, Row{k31, false}, Row{k31, true}, Row{k32 - 1, false},
                         Row{k32 - 1, true}, Row{k32 + 1, true}}) {
    CAPTURE(row.top);
    CAPTURE(row.esn);
    Numbered packets(config_of(esp::Integrity::kHmacSha2_256_128, row.esn), row.top - 70, 71);
    for (const std::uint64_t number : {row.top - 2, row.top, row.top - 1, row.top - 63}) {
      CHECK(packets.open(number) == Drop::kNone);
    }
    for (const std::uint64_t number : {row.top - 2, row.top, row.top - 1, row.top - 63}) {
      CHECK(packets.open(number) == Drop::kReplayed);
    }
    const Drop below = row.esn ? Drop::kBadIcv : Drop::kTooOld;
    CHECK(packets.open(row.top - 64) == below);
    CHECK(packets.in().drops()[Drop::kReplayed] == 4);
    CHECK(packets.in().drops()[below] == 1);
    CHECK(packets.in().drops().total() == 5);
  }
}

TEST_CASE("ah attack: a forged ICV, every bit") {
  for (int i = 1; i <= static_cast<int>(esp::Integrity::kHmacSha2_256_96); ++i) {
    const esp::SaConfig config = config_of(static_cast<esp::Integrity>(i));
    Pair pair(config);
    const Bytes original = packets()[0];
    Buffer packet = pair.seal(original);
    const std::size_t icv = ip::parse(packet.span())->header_size + 12, size = packet.size() - original.size() - 12;
    for (std::size_t bit = icv * 8; bit < (icv + size) * 8; ++bit) {
      Buffer forged = copy(packet);
      forged.data()[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
      CHECK(pair.open(forged) == Drop::kBadIcv);
    }
    CHECK(pair.in.drops()[Drop::kBadIcv] == size * 8);
    CHECK(pair.in.drops().total() == size * 8);
    CHECK(pair.open(packet) == Drop::kNone);
  }
}

TEST_CASE("ah attack: truncated at every byte, odd lengths of AH, and fragments") {
  Pair pair(config_of());
  const Buffer whole = pair.seal(packets()[0]);
  for (std::size_t size = 20; size < 20 + 28; ++size) {
    Buffer cut = Buffer::copy_of(whole.span().first(size), {});
    ip::update_length(cut.span());
    CHECK(pair.open(cut) == Drop::kMalformed);
  }
  for (std::size_t size = 20 + 28; size < whole.size(); ++size) {
    Buffer cut = Buffer::copy_of(whole.span().first(size), {});
    ip::update_length(cut.span());
    CHECK(pair.open(cut) == Drop::kBadIcv);
  }
  CHECK(pair.in.drops()[Drop::kMalformed] == 28);
  CHECK(pair.in.drops()[Drop::kBadIcv] == whole.size() - 48);
  const std::uint8_t length = whole.span()[21];
  for (unsigned odd = 0; odd < 256; ++odd) {
    Buffer packet = copy(whole);
    packet.data()[21] = static_cast<std::uint8_t>(odd);
    if (odd != length) CHECK(pair.open(packet) != Drop::kNone);
  }
  Buffer fragment = copy(whole);
  fragment.data()[6] |= 0x20;
  CHECK(pair.open(fragment) == Drop::kFragment);
  CHECK(pair.in.drops()[Drop::kFragment] == 1);
  CHECK(pair.in.drops().total() == whole.size() - 20 + 255 + 1);
  Buffer good = copy(whole);
  CHECK(pair.open(good) == Drop::kNone);
}

TEST_CASE("ah attack: odd next headers under a right ICV") {
  const Bytes original = packets()[0];
  for (unsigned next_header = 0; next_header < 256; ++next_header) {
    CAPTURE(next_header);
    Pair pair(config_of());
    Bytes odd = original;
    odd[9] = static_cast<std::uint8_t>(next_header);
    ip::update_length(odd);
    Buffer packet = pair.seal(odd);
    Buffer again = copy(packet);
    // A tunnel carries whole packets alone; in transport mode the selectors judge.
    const bool dummy = next_header == ip::kNoNextHeader;
    CHECK(pair.open(packet) == (dummy ? Drop::kDummy : Drop::kNone));
    if (!dummy) CHECK(pair.inner.protocol == next_header);
    Pair tunnel(config_of());
    const Drop drop = tunnel.open(again, kTunnel);
    const bool whole = next_header == ip::kIpv4 || next_header == ip::kIpv6;
    CHECK(drop == (dummy ? Drop::kDummy : whole ? Drop::kBadInner : Drop::kBadNextHeader));
    CHECK(tunnel.in.drops()[drop] == 1);
  }
}

TEST_CASE("ah: an ICV rounded up to eight bytes with IPv4 is taken, as Linux makes it") {
  // 12 + 16 bytes, and 4 of padding, which the ICV covers.
  const esp::SaConfig config = config_of();
  Bytes packet = test::unhex(
      "450000440001000040330000c0000201c0000202"
      "11060000000012340000000100000000000000000000000000000000deadbeef"
      "03e807d00010000061626364656667ff");
  Bytes covered = packet;
  covered[8] = 0;
  covered[10] = covered[11] = 0;
  auto mac = Mac::create(MacAlgorithm::kHmacSha256, config.algorithms.integrity_key.span());
  mac->sum({covered}, {packet.data() + 32, 16});
  Pair pair(config);
  Buffer buffer = Buffer::copy_of(packet);
  CHECK(pair.open(buffer) == Drop::kNone);
  CHECK(buffer.size() == packet.size() - 32);
}

TEST_CASE("ah: a source route and a routing header count as they arrive") {
  Pair pair(config_of());
  // Loose source route, one hop left; it arrives with the last address as its destination.
  Buffer packet =
      pair.seal(test::unhex("4700002c0001000040110000c0000201c00002028307040a00000900"
                            "03e807d0001000006162636465666768"));
  const std::size_t hop = 16, route = 20;
  Bytes next(packet.data() + route + 3, packet.data() + route + 7);
  std::copy_n(packet.data() + hop, 4, packet.data() + route + 3);
  std::copy(next.begin(), next.end(), packet.data() + hop);
  packet.data()[route + 2] += 4;
  ip::update_length(packet.span());
  CHECK(pair.open(packet) == Drop::kNone);

  // A routing header of an unknown type that has yet to be followed.
  Bytes v6(40 + 24 + 8);
  v6[0] = 0x60;
  v6[5] = 32;
  v6[6] = ip::kRouting;
  v6[40] = ip::kUdp;
  v6[41] = 2;
  v6[42] = 3;
  v6[43] = 1;
  Buffer unknown = Buffer::copy_of(v6, {.front = 64, .back = 0});
  CHECK(pair.out.seal(kTransport, unknown, *ip::parse(v6)) == Drop::kMalformed);
}

TEST_CASE("ah attack: the wrap at 2^32 without ESN, and lifetimes") {
  esp::SaConfig config = config_of();
  config.first_sequence = 0xffffffff;
  Pair pair(config);
  const Bytes original = packets()[0];
  (void)pair.seal(original);
  Buffer packet = Buffer::copy_of(original);
  CHECK(pair.out.seal(kTransport, packet, *ip::parse(original)) == Drop::kSequenceExhausted);
  CHECK(pair.out.drops()[Drop::kSequenceExhausted] == 1);
  CHECK(pair.out.age({}) == esp::SaAge::kHard);

  config = config_of();
  config.lifetime.hard_packets = 1;
  Pair limited(config);
  Buffer one = limited.seal(original);
  CHECK(limited.out.seal(kTransport, packet, *ip::parse(original)) == Drop::kExpired);
  CHECK(limited.open(one) == Drop::kNone);
}

TEST_CASE("ah: configurations that cannot be") {
  const auto error = [](const esp::SaConfig& config) {
    const auto sa = OutboundSa::create(config);
    REQUIRE_FALSE(sa.ok());
    return std::string(message_of(sa.status()));
  };
  esp::SaConfig config = config_of();
  config.algorithms.encryption = esp::Encryption::kAesGcm;
  CHECK(error(config) == "encryption: AH encrypts nothing; kNull, or kAesGmac");
  config = config_of();
  config.spi = 255;
  CHECK(error(config) == "spi: 0 to 255 are reserved");
  config = config_of(esp::Integrity::kHmacMd5_96);
  config.algorithms.legacy = false;
  CHECK(error(config) == "integrity: legacy, and legacy is not allowed");
  config = gmac(false);
  config.algorithms.encryption_key = Secret(21);
  CHECK(error(config) == "encryption_key: wrong size for the algorithm");
}

}  // namespace
}  // namespace winze::ah
