#include "winze/proto/esp/sa.h"

#include <doctest/doctest.h>

#include <map>
#include <string>

#include "support/vectors.h"
#include "winze/base/bytes.h"
#include "winze/crypto/mac.h"

namespace winze::esp {
namespace {

using test::Bytes;

Secret key_of(std::size_t size, std::uint8_t first = 1) {
  Secret key(size);
  for (std::uint8_t& b : key.span()) b = first++;
  return key;
}

struct Suite {
  std::string name;
  Algorithms algorithms;
};

// Every algorithm with every key and ICV size.
std::vector<Suite> all_suites() {
  std::vector<Suite> suites;
  const auto add = [&](std::string name, Encryption e, std::size_t aes, Integrity i, std::size_t icv, bool implicit) {
    Suite suite{name + "/" + std::to_string(aes * 8) + "/" + std::to_string(static_cast<int>(i)) + "/" +
                    std::to_string(icv) + (implicit ? "/iiv" : ""),
                {}};
    suite.algorithms = {.encryption = e,
                        .integrity = i,
                        .icv_size = icv,
                        .implicit_iv = implicit,
                        .legacy = true,
                        .encryption_key = key_of(encryption_key_size(e, aes)),
                        .integrity_key = key_of(integrity_key_size(i), 100)};
    suites.push_back(std::move(suite));
  };
  for (const std::size_t aes : {16, 24, 32}) {
    for (const bool implicit : {false, true}) {
      for (const std::size_t icv : {8, 12, 16}) {
        add("gcm", Encryption::kAesGcm, aes, Integrity::kNone, icv, implicit);
        add("ccm", Encryption::kAesCcm, aes, Integrity::kNone, icv, implicit);
      }
    }
    add("gmac", Encryption::kAesGmac, aes, Integrity::kNone, 16, false);
    add("cbc", Encryption::kAesCbc, aes, Integrity::kHmacSha2_256_128, 16, false);
    add("ctr", Encryption::kAesCtr, aes, Integrity::kHmacSha1_96, 16, false);
  }
  add("chacha", Encryption::kChaCha20Poly1305, 0, Integrity::kNone, 16, false);
  add("chacha", Encryption::kChaCha20Poly1305, 0, Integrity::kNone, 16, true);
  for (int i = 1; i <= static_cast<int>(Integrity::kHmacSha2_256_96); ++i) {
    add("cbc", Encryption::kAesCbc, 16, static_cast<Integrity>(i), 16, false);
    add("null", Encryption::kNull, 0, static_cast<Integrity>(i), 16, false);
    add("3des", Encryption::kTripleDesCbc, 0, static_cast<Integrity>(i), 16, false);
  }
  return suites;
}

struct Pair {
  SeededRandom random{1};
  OutboundSa out;
  InboundSa in;

  explicit Pair(const SaConfig& config) : out(*OutboundSa::create(config, random)), in(*InboundSa::create(config)) {}
};

SaConfig config_of(const Algorithms& algorithms, bool esn = false) {
  SaConfig config;
  config.spi = 0x12345678;
  config.algorithms = algorithms;
  config.esn = esn;
  return config;
}

Algorithms gcm() { return {.encryption_key = key_of(20)}; }

Buffer payload_of(std::size_t size, Overhead room = {64, 64}) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(i * 7 + size);
  return Buffer::copy_of(bytes, room);
}

Buffer copy(const Buffer& b) { return Buffer::copy_of(b.span(), {16, 0}); }

TEST_CASE("esp: packets of others open") {
  const std::map<std::string, Encryption> encryptions = {{"aes-gcm", Encryption::kAesGcm},
                                                         {"aes-ccm", Encryption::kAesCcm},
                                                         {"aes-gmac", Encryption::kAesGmac},
                                                         {"chacha20-poly1305", Encryption::kChaCha20Poly1305}};
  for (const std::string file : {"esp/packets.txt", "esp/implicit_iv.txt"}) {
    for (const test::Vector& v : test::load_vectors(file)) {
      CAPTURE(v.text("id"));
      SaConfig config;
      config.spi = static_cast<std::uint32_t>(std::stoul(v.text("spi"), nullptr, 16));
      config.esn = v.text("esn") == "1";
      config.first_sequence = std::stoull(v.text("seq"), nullptr, 16);
      config.algorithms.encryption = encryptions.at(v.text("algorithm"));
      config.algorithms.implicit_iv = file == "esp/implicit_iv.txt";
      config.algorithms.encryption_key = Secret(v.bytes("key"));
      auto sa = InboundSa::create(config);
      REQUIRE(sa.ok());
      Buffer packet = Buffer::copy_of(v.bytes("packet"), {.front = 4, .back = 0});
      const Opened opened = sa->open(packet);
      Bytes inner = v.bytes("inner");
      const std::uint8_t next_header = inner.back();
      inner.resize(inner.size() - 2 - inner[inner.size() - 2]);
      CHECK(opened.drop == (next_header == kNextHeaderNone ? Drop::kDummy : Drop::kNone));
      CHECK(opened.next_header == next_header);
      CHECK(test::hex(std::as_const(packet).span()) == test::hex(inner));
      CHECK(opened.newest);
      if (!config.algorithms.implicit_iv) continue;
      // Nothing in such a packet is the sender's choice.
      SeededRandom random(1);
      auto out = OutboundSa::create(config, random);
      REQUIRE(out->seal(packet, next_header) == Drop::kNone);
      CHECK(test::hex(std::as_const(packet).span()) == v.text("packet"));
    }
  }
}

TEST_CASE("esp: every suite, with and without ESN, at every size") {
  for (const Suite& suite : all_suites()) {
    for (const bool esn : {false, true}) {
      CAPTURE(suite.name);
      CAPTURE(esn);
      SaConfig config = config_of(suite.algorithms, esn);
      if (esn) config.first_sequence = 0xfffffff0;  // the high half changes on the way
      Pair pair(config);
      for (std::size_t size = 0; size < 80; ++size) {
        Buffer packet = payload_of(size, pair.out.overhead());
        const std::uint8_t* const place = packet.data();
        REQUIRE(pair.out.seal(packet, 17) == Drop::kNone);
        CHECK(packet.size() == pair.out.sealed_size(size));
        CHECK(packet.size() % 4 == 0);
        if (suite.algorithms.encryption != Encryption::kNull && suite.algorithms.encryption != Encryption::kAesGmac &&
            size >= 8) {
          CHECK(packet.text().find(payload_of(size).text()) == std::string_view::npos);
        }
        Buffer damaged = copy(packet);
        damaged.data()[8 + size % (packet.size() - 8)] ^= 1;
        CHECK(pair.in.open(damaged).drop == Drop::kBadIcv);
        const Opened opened = pair.in.open(packet);
        REQUIRE(opened.drop == Drop::kNone);
        CHECK(opened.next_header == 17);
        CHECK(packet.text() == payload_of(size).text());
        CHECK(packet.data() == place);  // nothing was copied
      }
      CHECK(pair.in.drops()[Drop::kBadIcv] == 80);
      CHECK(pair.in.usage().packets() == 80);
      if (esn) CHECK(pair.out.next_sequence() == 0xfffffff0ull + 80);
    }
  }
}

TEST_CASE("esp: the high half of an extended number is authenticated") {
  for (const Suite& suite : all_suites()) {
    CAPTURE(suite.name);
    SaConfig config = config_of(suite.algorithms, true);
    SeededRandom random(1);
    config.first_sequence = (std::uint64_t{5} << 32) + 9;
    auto out = OutboundSa::create(config, random);
    config.first_sequence = (std::uint64_t{6} << 32) + 9;
    auto in = InboundSa::create(config);
    Buffer packet = payload_of(100);
    REQUIRE(out->seal(packet, 4) == Drop::kNone);
    CHECK(in->open(packet).drop == Drop::kBadIcv);
  }
}

TEST_CASE("esp: sizes are told beforehand") {
  for (const Suite& suite : all_suites()) {
    CAPTURE(suite.name);
    Pair pair(config_of(suite.algorithms));
    for (std::size_t limit = 0; limit < 200; ++limit) {
      const std::size_t largest = pair.out.largest_payload(limit);
      if (largest != 0) CHECK(pair.out.sealed_size(largest) <= limit);
      CHECK(pair.out.sealed_size(largest + 1) > limit);
    }
    const Overhead room = pair.out.overhead();
    for (std::size_t size = 0; size < 40; ++size) CHECK(pair.out.sealed_size(size) <= room.front + size + room.back);
  }
}

TEST_CASE("esp: batches in any order, and none twice") {
  Pair pair(config_of(gcm()));
  std::vector<Buffer> packets, copies;
  for (int i = 0; i < 64; ++i) packets.push_back(payload_of(100));
  const SealResult sealed = pair.out.seal(packets, 4);
  CHECK(sealed.sealed == 64);
  CHECK(sealed.stop == Drop::kNone);
  for (const Buffer& packet : packets) copies.push_back(copy(packet));
  std::swap(packets[0], packets[63]);
  std::vector<Opened> results(64);
  CHECK(pair.in.open(packets, results) == 64);
  CHECK(results[0].newest);
  CHECK_FALSE(results[1].newest);
  CHECK(pair.in.open(copies, results) == 0);
  CHECK(pair.in.drops()[Drop::kReplayed] == 64);
}

// Opens copies of packets that carry the numbers from `first` on, in any order.
class Numbered {
 public:
  Numbered(SaConfig config, std::uint64_t first, std::size_t count) : pair_(with_first(config, first)), first_(first) {
    for (std::size_t i = 0; i < count; ++i) {
      packets_.push_back(payload_of(20));
      REQUIRE(pair_.out.seal(packets_.back(), 4) == Drop::kNone);
    }
  }
  Drop open(std::uint64_t number) {
    Buffer packet = copy(packets_.at(number - first_));
    return in().open(packet).drop;
  }
  InboundSa& in() { return pair_.in; }
  OutboundSa& out() { return pair_.out; }

 private:
  static const SaConfig& with_first(SaConfig& config, std::uint64_t first) {
    config.first_sequence = first;
    return config;
  }

  Pair pair_;
  std::uint64_t first_;
  std::vector<Buffer> packets_;
};

TEST_CASE("esp attack: every packet replayed, at every suite, with and without ESN") {
  for (const Suite& suite : all_suites()) {
    for (const bool esn : {false, true}) {
      CAPTURE(suite.name);
      Numbered packets(config_of(suite.algorithms, esn), 1, 3);
      for (const std::uint64_t number : {2, 1, 3}) CHECK(packets.open(number) == Drop::kNone);
      for (const std::uint64_t number : {1, 2, 3, 3}) CHECK(packets.open(number) == Drop::kReplayed);
      CHECK(packets.in().drops()[Drop::kReplayed] == 4);
      CHECK(packets.in().drops().total() == 4);
      CHECK(packets.in().usage().packets() == 3);
    }
  }
}

TEST_CASE("esp attack: reordering at the edges of the window, with and without ESN") {
  for (const std::uint32_t window : {1u, 32u, 64u, 100u, 1024u}) {
    for (const bool esn : {false, true}) {
      CAPTURE(window);
      CAPTURE(esn);
      SaConfig config = config_of(gcm(), esn);
      config.replay_window = window;
      Numbered packets(config, 1, window + 2);
      CHECK(packets.open(window + 1) == Drop::kNone);
      // Below the window ESN takes the number for one of the next 2^32, which its ICV then contradicts.
      const Drop below = esn ? Drop::kBadIcv : Drop::kTooOld;
      CHECK(packets.open(1) == below);
      if (window > 1) CHECK(packets.open(2) == Drop::kNone);  // the lowest that is taken
      if (window > 1) CHECK(packets.open(2) == Drop::kReplayed);
      CHECK(packets.open(window + 2) == Drop::kNone);  // a step on
      CHECK(packets.open(2) == below);
      if (window > 2) CHECK(packets.open(3) == Drop::kNone);
      CHECK(packets.open(window + 1) == (window > 1 ? Drop::kReplayed : below));
      const std::uint64_t replays = window > 1 ? 2 : 0;
      CHECK(packets.in().drops()[Drop::kReplayed] == replays);
      CHECK(packets.in().drops()[below] == (window > 1 ? 2 : 3));
      CHECK(packets.in().drops().total() == packets.in().drops()[below] + replays);
      CHECK(packets.in().highest_sequence() == window + 2);
    }
  }
}

TEST_CASE("esp attack: replays around the wrap at 2^31, with and without ESN") {
  for (const bool esn : {false, true}) {
    CAPTURE(esn);
    constexpr std::uint64_t kTop = std::uint64_t{1} << 31;
    Numbered packets(config_of(gcm(), esn), kTop - 100, 200);
    for (std::uint64_t number = kTop - 2; number <= kTop + 2; ++number) CHECK(packets.open(number) == Drop::kNone);
    CHECK(packets.in().highest_sequence() == kTop + 2);
    for (std::uint64_t number = kTop - 2; number <= kTop + 2; ++number) CHECK(packets.open(number) == Drop::kReplayed);
    CHECK(packets.open(kTop - 61) == Drop::kNone);  // the lowest that is taken
    CHECK(packets.open(kTop - 62) == (esn ? Drop::kBadIcv : Drop::kTooOld));
    CHECK(packets.in().drops()[Drop::kReplayed] == 5);
    CHECK(packets.in().drops().total() == 6);
    CHECK(packets.in().highest_sequence() == kTop + 2);
  }
}

TEST_CASE("esp attack: the wrap at 2^32 without ESN") {
  SaConfig config = config_of(gcm());
  config.first_sequence = 0xfffffffe;
  Pair pair(config);
  std::vector<Buffer> packets;
  for (int i = 0; i < 4; ++i) packets.push_back(payload_of(20));
  CHECK(pair.out.age({}) == SaAge::kSoft);
  const SealResult sealed = pair.out.seal(packets, 4);
  CHECK(sealed.sealed == 2);
  CHECK(sealed.stop == Drop::kSequenceExhausted);
  CHECK(pair.out.drops()[Drop::kSequenceExhausted] == 1);
  CHECK(packets[2].text() == payload_of(20).text());  // untouched
  CHECK(pair.out.age({}) == SaAge::kHard);
  std::vector<Opened> results(2);
  CHECK(pair.in.open(std::span(packets).first(2), results) == 2);
  // Whoever begins again, as if the number had wrapped, is too late.
  Pair again(config_of(gcm()));
  for (int i = 0; i < 3; ++i) {
    Buffer packet = payload_of(20);
    REQUIRE(again.out.seal(packet, 4) == Drop::kNone);
    CHECK(pair.in.open(packet).drop == Drop::kTooOld);
  }
  CHECK(pair.in.drops()[Drop::kTooOld] == 3);
  CHECK(pair.in.drops().total() == 3);
  CHECK(pair.in.highest_sequence() == 0xffffffff);
}

TEST_CASE("esp attack: replays around the wrap at 2^32 with ESN") {
  constexpr std::uint64_t kTop = std::uint64_t{1} << 32;
  for (const Suite& suite : all_suites()) {
    CAPTURE(suite.name);
    Numbered packets(config_of(suite.algorithms, true), kTop - 100, 200);
    CHECK(packets.out().age({}) == SaAge::kFresh);
    for (const std::uint64_t number : {kTop - 2, kTop + 1, kTop, kTop - 1}) CHECK(packets.open(number) == Drop::kNone);
    CHECK(packets.in().highest_sequence() == kTop + 1);
    for (std::uint64_t number = kTop - 2; number <= kTop + 1; ++number) CHECK(packets.open(number) == Drop::kReplayed);
    CHECK(packets.open(kTop - 62) == Drop::kNone);    // the lowest that is taken, of the 2^32 before
    CHECK(packets.open(kTop - 63) == Drop::kBadIcv);  // below it, taken for one of this 2^32
    CHECK(packets.in().drops()[Drop::kReplayed] == 4);
    CHECK(packets.in().drops()[Drop::kBadIcv] == 1);
    CHECK(packets.in().drops().total() == 5);
    CHECK(packets.in().highest_sequence() == kTop + 1);
  }
}

TEST_CASE("esp attack: a forged ICV, every bit, at every suite") {
  for (const Suite& suite : all_suites()) {
    CAPTURE(suite.name);
    Pair pair(config_of(suite.algorithms));
    Buffer packet = payload_of(10);
    REQUIRE(pair.out.seal(packet, 4) == Drop::kNone);
    // And every other bit behind the number, which is all covered by the ICV.
    std::uint64_t forged = 0;
    for (std::size_t bit = 8 * 8; bit < packet.size() * 8; ++bit) {
      Buffer copied = copy(packet);
      copied.data()[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
      CHECK(pair.in.open(copied).drop == Drop::kBadIcv);
      ++forged;
    }
    CHECK(pair.in.drops()[Drop::kBadIcv] == forged);
    CHECK(pair.in.drops().total() == forged);
    CHECK(pair.in.usage().packets() == 0);
    CHECK(pair.in.highest_sequence() == 0);
    CHECK(pair.in.open(packet).drop == Drop::kNone);
  }
}

TEST_CASE("esp attack: a forged packet of a far higher number does not move the window") {
  Pair pair(config_of(gcm()));
  Buffer packet = payload_of(10);
  REQUIRE(pair.out.seal(packet, 4) == Drop::kNone);
  Buffer forged = copy(packet);
  forged.data()[4] = 0x7f;
  CHECK(pair.in.open(forged).drop == Drop::kBadIcv);
  CHECK(pair.in.drops()[Drop::kBadIcv] == 1);
  CHECK(pair.in.highest_sequence() == 0);
  CHECK(pair.in.open(packet).drop == Drop::kNone);
}

TEST_CASE("esp attack: truncated at every byte, and the SPI of another") {
  for (const Suite& suite : all_suites()) {
    CAPTURE(suite.name);
    SaConfig config = config_of(suite.algorithms);
    // A whole ICV cut to 96 bits would be taken for the legacy one.
    if (suite.algorithms.integrity == Integrity::kHmacSha2_256_128) config.algorithms.legacy = false;
    if (!InboundSa::create(config).ok()) continue;  // 3DES with it
    Pair pair(config);
    Buffer whole = payload_of(33);
    REQUIRE(pair.out.seal(whole, 4) == Drop::kNone);
    for (std::size_t size = 0; size < whole.size(); ++size) {
      Buffer cut = copy(whole);
      cut.trim_back(whole.size() - size);
      const Drop drop = pair.in.open(cut).drop;
      CHECK((drop == Drop::kMalformed || drop == Drop::kBadIcv));
    }
    CHECK(pair.in.drops().total() == whole.size());
    CHECK(pair.in.highest_sequence() == 0);
    Buffer other = copy(whole);
    other.data()[0] ^= 1;
    CHECK(pair.in.open(other).drop == Drop::kUnknownSpi);
    CHECK(pair.in.open(whole).drop == Drop::kNone);
  }
}

// With NULL encryption the trailer can be written by hand, and given a right ICV by sealing it as a payload.
TEST_CASE("esp attack: bad padding under a right ICV") {
  const Algorithms null{
      .encryption = Encryption::kNull, .integrity = Integrity::kHmacSha1_96, .integrity_key = key_of(20)};
  struct Row {
    Bytes text;  // payload, padding, pad length, next header
    Drop drop;
  };
  for (const Row& row : {Row{{9, 9, 0, 4}, Drop::kNone}, Row{{9, 1, 1, 4}, Drop::kNone}, Row{{1, 2, 2, 4}, Drop::kNone},
                         Row{{9, 0, 1, 4}, Drop::kBadPadding}, Row{{2, 1, 2, 4}, Drop::kBadPadding},
                         Row{{9, 1, 3, 4}, Drop::kBadPadding}, Row{{1, 2, 255, 4}, Drop::kBadPadding},
                         Row{{1, 2, 2, 59}, Drop::kDummy}}) {
    Pair pair(config_of(null));
    Bytes wire = test::unhex("1234567800000001");
    wire.insert(wire.end(), row.text.begin(), row.text.end());
    auto mac = Mac::create(MacAlgorithm::kHmacSha1, null.integrity_key.span());
    Bytes icv(12);
    mac->sum({wire}, icv);
    wire.insert(wire.end(), icv.begin(), icv.end());
    Buffer packet = Buffer::copy_of(wire);
    CHECK(pair.in.open(packet).drop == row.drop);
    CHECK(pair.in.drops()[row.drop] == (row.drop == Drop::kNone ? 0 : 1));
    CHECK(pair.in.highest_sequence() == 1);  // it was authentic
  }
}

TEST_CASE("esp: lifetimes by packets, bytes and time") {
  SaConfig config = config_of(gcm());
  config.lifetime = {.soft_packets = 2, .hard_packets = 3};
  const TimePoint start{};
  {
    Pair pair(config);
    std::vector<Buffer> packets;
    for (int i = 0; i < 4; ++i) packets.push_back(payload_of(20));
    CHECK(pair.out.seal(std::span(packets).first(1), 4).sealed == 1);
    CHECK(pair.out.age(start) == SaAge::kFresh);
    CHECK(pair.out.seal(std::span(packets).subspan(1, 1), 4).sealed == 1);
    CHECK(pair.out.age(start) == SaAge::kSoft);
    const SealResult result = pair.out.seal(std::span(packets).subspan(2), 4);
    CHECK(result.sealed == 1);
    CHECK(result.stop == Drop::kExpired);
    CHECK(pair.out.age(start) == SaAge::kHard);
    CHECK(pair.out.drops()[Drop::kExpired] == 1);
  }
  config.lifetime = {.soft_bytes = 30, .hard_bytes = 50};
  {
    Pair pair(config);
    Buffer packet = payload_of(40);
    CHECK(pair.out.seal(packet, 4) == Drop::kNone);
    CHECK(pair.in.open(packet).drop == Drop::kNone);
    CHECK(pair.in.age(start) == SaAge::kSoft);
    packet = payload_of(40);
    CHECK(pair.out.seal(packet, 4) == Drop::kNone);
    CHECK(pair.out.age(start) == SaAge::kHard);
    CHECK(pair.in.open(packet).drop == Drop::kNone);
    CHECK(pair.in.open(packet).drop != Drop::kNone);
  }
  config.lifetime = {.soft_at = start + std::chrono::seconds(10), .hard_at = start + std::chrono::seconds(20)};
  Pair pair(config);
  CHECK(pair.out.age(start) == SaAge::kFresh);
  CHECK(pair.out.usage().deadline(start) == config.lifetime.soft_at);
  CHECK(pair.out.age(start + std::chrono::seconds(10)) == SaAge::kSoft);
  CHECK(pair.out.usage().deadline(start + std::chrono::seconds(10)) == config.lifetime.hard_at);
  CHECK(pair.out.age(start + std::chrono::seconds(20)) == SaAge::kHard);
  pair.in.expire();
  Buffer packet = payload_of(5);
  REQUIRE(pair.out.seal(packet, 4) == Drop::kNone);
  CHECK(pair.in.open(packet).drop == Drop::kExpired);
}

TEST_CASE("esp: the legacy cut of HMAC-SHA2-256 is found out at the first packet") {
  Algorithms full{.encryption = Encryption::kAesCbc,
                  .integrity = Integrity::kHmacSha2_256_128,
                  .legacy = true,
                  .encryption_key = key_of(16),
                  .integrity_key = key_of(32)};
  Algorithms cut = full;
  cut.integrity = Integrity::kHmacSha2_256_96;
  SeededRandom random(1);
  auto cutting = OutboundSa::create(config_of(cut), random);
  auto plain = OutboundSa::create(config_of(full), random);
  for (const bool peer_cuts : {true, false}) {
    auto in = InboundSa::create(config_of(full));
    Buffer forged = Buffer::copy_of(Bytes(8 + 16 + 32 + 12));
    store_u32(forged.data(), 0x12345678), forged.data()[7] = 99;
    CHECK(in->open(forged).drop == Drop::kMalformed);
    OutboundSa& peer = peer_cuts ? *cutting : *plain;
    for (int i = 0; i < 3; ++i) {
      Buffer packet = payload_of(50);
      REQUIRE(peer.seal(packet, 4) == Drop::kNone);
      CHECK(in->open(packet).drop == Drop::kNone);
      CHECK(packet.text() == payload_of(50).text());
      CHECK(in->short_sha2() == peer_cuts);
    }
    if (!peer_cuts) continue;
    // Our own side can follow.
    SaConfig later = config_of(full);
    later.first_sequence = 60;
    auto follower = OutboundSa::create(later, random);
    follower->use_short_sha2();
    Buffer packet = payload_of(50);
    REQUIRE(follower->seal(packet, 4) == Drop::kNone);
    CHECK(in->open(packet).drop == Drop::kNone);
    // A packet with a whole ICV settles it: cut ones are then forgeries.
    later.first_sequence = 70;
    auto whole = OutboundSa::create(later, random);
    packet = payload_of(50);
    REQUIRE(whole->seal(packet, 4) == Drop::kNone);
    CHECK(in->open(packet).drop == Drop::kNone);
    CHECK_FALSE(in->short_sha2());
    packet = payload_of(50);
    REQUIRE(follower->seal(packet, 4) == Drop::kNone);
    CHECK(in->open(packet).drop == Drop::kMalformed);
  }
  // Not without `legacy`.
  full.legacy = false;
  auto strict = InboundSa::create(config_of(full));
  auto again = OutboundSa::create(config_of(cut), random);
  Buffer packet = payload_of(50);
  REQUIRE(again->seal(packet, 4) == Drop::kNone);
  CHECK(strict->open(packet).drop != Drop::kNone);
}

TEST_CASE("esp: CBC IVs do not repeat and do not follow from the number") {
  Algorithms cbc{.encryption = Encryption::kAesCbc,
                 .integrity = Integrity::kHmacSha1_96,
                 .encryption_key = key_of(16),
                 .integrity_key = key_of(20)};
  SeededRandom first(1), second(2);
  auto a = OutboundSa::create(config_of(cbc), first), b = OutboundSa::create(config_of(cbc), second);
  Buffer p = payload_of(5), q = payload_of(5), r = payload_of(5);
  REQUIRE(a->seal(p, 4) == Drop::kNone);
  REQUIRE(a->seal(q, 4) == Drop::kNone);
  REQUIRE(b->seal(r, 4) == Drop::kNone);
  const auto iv = [](const Buffer& packet) { return packet.text().substr(8, 16); };
  CHECK(iv(p) != iv(q));
  CHECK(iv(p) != iv(r));
}

TEST_CASE("esp: traffic flow confidentiality") {
  SaConfig config = config_of(gcm());
  config.pad_payload_to = 500;
  Pair pair(config);
  Buffer packet = Buffer::copy_of(Bytes{0x45, 0, 0, 4});
  REQUIRE(pair.out.seal(packet, kNextHeaderFromVersion) == Drop::kNone);
  CHECK(packet.size() == pair.out.sealed_size(500));
  Opened opened = pair.in.open(packet);
  CHECK(opened.next_header == kNextHeaderV4);
  CHECK(packet.size() == 500);  // the inner header tells where the packet ends
  packet = Buffer::copy_of(Bytes{0x60});
  REQUIRE(pair.out.seal(packet, kNextHeaderFromVersion) == Drop::kNone);
  CHECK(pair.in.open(packet).next_header == kNextHeaderV6);
  packet = Buffer::copy_of(Bytes{0x50});
  CHECK(pair.out.seal(packet, kNextHeaderFromVersion) == Drop::kMalformed);
  packet = payload_of(10);
  REQUIRE(pair.out.seal(packet, 17) == Drop::kNone);  // its end is not told by itself
  CHECK(packet.size() == pair.out.sealed_size(10));

  Buffer dummy;
  REQUIRE(pair.out.seal_dummy(dummy, 77, pair.random) == Drop::kNone);
  CHECK(dummy.size() == pair.out.sealed_size(77));
  CHECK(pair.in.open(dummy).drop == Drop::kDummy);
  CHECK(pair.in.drops()[Drop::kDummy] == 1);
  CHECK(pair.in.drops().total() == 0);
}

TEST_CASE("esp: configurations that are refused") {
  SeededRandom random(1);
  const auto refused = [&](auto&& change) {
    SaConfig config = config_of(gcm());
    change(config);
    return !OutboundSa::create(config, random).ok() && !InboundSa::create(config).ok();
  };
  CHECK_FALSE(refused([](SaConfig&) {}));
  CHECK(refused([](SaConfig& c) { c.spi = 255; }));
  CHECK(refused([](SaConfig& c) { c.first_sequence = 0; }));
  CHECK(refused([](SaConfig& c) { c.algorithms.encryption_key = key_of(16); }));
  CHECK(refused([](SaConfig& c) { c.algorithms.encryption_key = key_of(3); }));
  CHECK(refused([](SaConfig& c) { c.algorithms.icv_size = 4; }));
  CHECK(refused([](SaConfig& c) { c.algorithms.integrity = Integrity::kHmacSha1_96; }));
  CHECK(refused([](SaConfig& c) { c.algorithms.encryption = Encryption::kAesCbc; }));  // encryption alone
  CHECK(refused([](SaConfig& c) { c.algorithms.encryption = Encryption::kNull; }));
  CHECK(refused([](SaConfig& c) { c.algorithms.encryption = Encryption::kTripleDesCbc; }));
  CHECK(refused([](SaConfig& c) {
    c.algorithms.encryption = Encryption::kAesGmac;
    c.algorithms.implicit_iv = true;
  }));
  for (const Integrity legacy : {Integrity::kHmacMd5_96, Integrity::kHmacSha2_256_96}) {
    CHECK(refused([&](SaConfig& c) {
      c.algorithms = {.encryption = Encryption::kAesCbc,
                      .integrity = legacy,
                      .encryption_key = key_of(16),
                      .integrity_key = key_of(integrity_key_size(legacy))};
    }));
  }
  SaConfig config = config_of(gcm(), true);
  config.replay_window = 0;
  CHECK_FALSE(InboundSa::create(config).ok());
  config.replay_window = ReplayWindow::kLargest + 1;
  CHECK_FALSE(InboundSa::create(config).ok());
}

}  // namespace
}  // namespace winze::esp
