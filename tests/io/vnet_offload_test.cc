#include "io/vnet_offload.h"

#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <vector>

#include "winze/base/bytes.h"
#include "winze/base/checksum.h"

namespace winze {
namespace {

// A TCP segment over IPv4 or IPv6 with 12 bytes of options and right checksums.
std::vector<std::uint8_t> segment(int version, std::uint32_t sequence, const std::string& payload,
                                  std::uint8_t flags = 0x10, std::uint16_t id = 7) {
  const std::size_t ip = version == 4 ? 20 : 40, tcp = ip, headers = tcp + 32;
  std::vector<std::uint8_t> p(headers + payload.size());
  InternetChecksum pseudo;
  if (version == 4) {
    p[0] = 0x45, p[6] = 0x40, p[8] = 64, p[9] = 6;
    store_u16(&p[2], static_cast<std::uint16_t>(p.size()));
    store_u16(&p[4], id);
    store_u32(&p[12], 0x0a000001), store_u32(&p[16], 0x0a000002);
    InternetChecksum().add(std::span(p).first(20)).store(&p[10]);
    pseudo.add(std::span(p).subspan(12, 8));
  } else {
    p[0] = 0x60, p[6] = 6, p[7] = 64;
    store_u16(&p[4], static_cast<std::uint16_t>(p.size() - 40));
    p[8] = 0xfd, p[23] = 1, p[24] = 0xfd, p[39] = 2;
    pseudo.add(std::span(p).subspan(8, 32));
  }
  store_u16(&p[tcp], 1000), store_u16(&p[tcp + 2], 80), store_u32(&p[tcp + 4], sequence), store_u32(&p[tcp + 8], 99);
  p[tcp + 12] = 0x80, p[tcp + 13] = flags;
  store_u16(&p[tcp + 14], 512);
  std::memcpy(&p[headers], payload.data(), payload.size());
  pseudo.add_field(6).add_field(static_cast<std::uint16_t>(p.size() - tcp));
  pseudo.add(std::span<const std::uint8_t>(p).subspan(tcp)).store(&p[tcp + 16]);
  return p;
}

// A UDP datagram between the same two hosts.
std::vector<std::uint8_t> datagram(int version, const std::string& payload, std::uint16_t id = 7) {
  std::vector<std::uint8_t> p = segment(version, 0, payload, 0x10, id);
  const std::size_t ip = version == 4 ? 20 : 40;
  p.erase(p.begin() + static_cast<std::ptrdiff_t>(ip) + 8, p.begin() + static_cast<std::ptrdiff_t>(ip) + 32);
  p[version == 4 ? 9 : 6] = 17;
  store_u16(&p[ip + 4], static_cast<std::uint16_t>(p.size() - ip));
  store_u16(&p[ip + 6], 0);
  InternetChecksum sum;
  if (version == 4) {
    store_u16(&p[2], static_cast<std::uint16_t>(p.size()));
    store_u16(&p[10], 0);
    InternetChecksum().add(std::span(p).first(20)).store(&p[10]);
    sum.add(std::span(p).subspan(12, 8));
  } else {
    store_u16(&p[4], static_cast<std::uint16_t>(p.size() - 40));
    sum.add(std::span(p).subspan(8, 32));
  }
  sum.add_field(17).add_field(static_cast<std::uint16_t>(p.size() - ip));
  sum.add(std::span<const std::uint8_t>(p).subspan(ip)).store(&p[ip + 6]);
  return p;
}

std::vector<std::span<std::uint8_t>> views(std::vector<std::vector<std::uint8_t>>& packets) {
  return {packets.begin(), packets.end()};
}

std::vector<std::vector<std::uint8_t>> stream(int version, const std::vector<std::size_t>& sizes, bool udp = false) {
  std::vector<std::vector<std::uint8_t>> out;
  std::uint32_t sequence = 0xfffffff0;  // wraps
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const std::string payload(sizes[i], static_cast<char>('a' + i));
    const bool last = i + 1 == sizes.size();
    if (udp) {
      out.push_back(datagram(version, payload, static_cast<std::uint16_t>(7 + i)));
      continue;
    }
    out.push_back(segment(version, sequence, payload, last ? 0x18 : 0x10, static_cast<std::uint16_t>(7 + i)));
    sequence += static_cast<std::uint32_t>(sizes[i]);
  }
  return out;
}

void join_and_cut(int version, const std::vector<std::size_t>& sizes, bool udp) {
  CAPTURE(version);
  CAPTURE(udp);
  auto packets = stream(version, sizes, udp);
  const auto wanted = packets;
  const auto spans = views(packets);
  if (udp) CHECK(vnet::mergeable(spans, false) == 1);
  REQUIRE(vnet::mergeable(spans, udp) == sizes.size());
  vnet::Header header;
  const std::size_t headers = vnet::merge(spans, header);
  std::vector<std::uint8_t> run = packets[0];
  for (std::size_t i = 1; i < packets.size(); ++i) {
    run.insert(run.end(), packets[i].begin() + static_cast<std::ptrdiff_t>(headers), packets[i].end());
  }
  BufferPool pool;
  std::vector<Buffer> out;
  REQUIRE(vnet::split(header, run, {.front = 32, .back = 16}, pool, out));
  REQUIRE(out.size() == wanted.size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    CAPTURE(i);
    CHECK(std::vector<std::uint8_t>(out[i].data(), out[i].data() + out[i].size()) == wanted[i]);
    CHECK(out[i].headroom() >= 32);
    CHECK(out[i].tailroom() >= 16);
  }
}

TEST_CASE("vnet: what is joined and cut again is what it was") {
  for (int version : {4, 6}) {
    for (const std::vector<std::size_t>& sizes :
         {std::vector<std::size_t>{100, 100}, {1400, 1400, 1400, 1}, {8, 8, 8, 7}}) {
      for (const bool udp : {false, true}) join_and_cut(version, sizes, udp);
    }
  }
}

TEST_CASE("vnet: what does not belong together stays apart") {
  const auto pair = [](std::vector<std::uint8_t> a, std::vector<std::uint8_t> b) {
    std::vector<std::vector<std::uint8_t>> packets{std::move(a), std::move(b)};
    return vnet::mergeable(views(packets), true);
  };
  const std::string p(100, 'p');
  const auto a = segment(4, 1000, p);
  CHECK(pair(a, segment(4, 1100, p)) == 2);
  CHECK(pair(a, segment(4, 1101, p)) == 1);                          // a gap
  CHECK(pair(a, segment(4, 1100, p + "x")) == 1);                    // longer than the first
  CHECK(pair(a, segment(6, 1100, p)) == 1);                          // another version
  CHECK(pair(a, segment(4, 1100, "")) == 1);                         // an acknowledgement
  CHECK(pair(segment(4, 1000, p, 0x18), segment(4, 1100, p)) == 1);  // pushed
  for (std::uint8_t flags : {0x11, 0x12, 0x14, 0x30, 0x50, 0x90}) {
    CHECK(pair(a, segment(4, 1100, p, flags)) == 1);  // FIN, SYN, RST, URG, ECE, CWR
  }
  for (std::size_t at : {std::size_t{1}, std::size_t{8}, std::size_t{15}, std::size_t{21}, std::size_t{30},
                         std::size_t{55}, std::size_t{151}}) {
    CAPTURE(at);
    auto damaged = segment(4, 1100, p);
    damaged[at] ^= 1;
    CHECK(pair(a, damaged) == 1);
    CHECK(pair(damaged, segment(4, 1200, p)) == 1);
  }
}

TEST_CASE("vnet: UDP datagrams that do not belong together stay apart") {
  const auto pair = [](std::vector<std::uint8_t> a, std::vector<std::uint8_t> b) {
    std::vector<std::vector<std::uint8_t>> packets{std::move(a), std::move(b)};
    return vnet::mergeable(views(packets), true);
  };
  const std::string p(100, 'p');
  const auto a = datagram(4, p);
  CHECK(pair(a, datagram(4, p)) == 2);
  CHECK(pair(a, datagram(4, p + "x")) == 1);  // longer than the first
  CHECK(pair(datagram(4, "x"), datagram(4, p)) == 1);
  CHECK(pair(a, datagram(6, p)) == 1);       // another version
  CHECK(pair(a, segment(4, 1000, p)) == 1);  // another protocol
  CHECK(pair(a, datagram(4, "")) == 1);      // nothing in it
  auto unsummed = a;
  store_u16(&unsummed[26], 0);
  CHECK(pair(unsummed, unsummed) == 1);
  // TTL, address, ports, length, payload.
  for (std::size_t at :
       {std::size_t{8}, std::size_t{15}, std::size_t{21}, std::size_t{23}, std::size_t{25}, std::size_t{60}}) {
    CAPTURE(at);
    auto damaged = datagram(4, p);
    damaged[at] ^= 1;
    CHECK(pair(a, damaged) == 1);
  }
}

TEST_CASE("vnet: a checksum left to the device is completed") {
  auto packet = segment(4, 1000, "hello");
  const auto wanted = packet;
  InternetChecksum pseudo;
  pseudo.add(std::span(packet).subspan(12, 8)).add_field(6).add_field(static_cast<std::uint16_t>(packet.size() - 20));
  pseudo.store_partial(&packet[36]);
  vnet::Header header{};
  header[0] = 1;
  header[6] = 20;
  header[8] = 16;
  BufferPool pool;
  std::vector<Buffer> out;
  REQUIRE(vnet::split(header, packet, {}, pool, out));
  REQUIRE(out.size() == 1);
  CHECK(std::vector<std::uint8_t>(out[0].data(), out[0].data() + out[0].size()) == wanted);
}

TEST_CASE("vnet: headers that lie are refused") {
  auto packets = stream(4, {100, 100});
  vnet::Header good;
  vnet::merge(views(packets), good);
  BufferPool pool;
  std::vector<Buffer> out;
  const auto refused = [&](std::size_t at, std::uint8_t value) {
    vnet::Header header = good;
    header[at] = value;
    std::vector<std::uint8_t> packet = packets[0];
    return !vnet::split(header, packet, {}, pool, out) && out.empty();
  };
  CHECK(refused(0, 0));    // no checksum asked for
  CHECK(refused(1, 3));    // UDP fragmentation, which is another thing
  CHECK(refused(1, 4));    // IPv6, but it is not
  CHECK(refused(4, 0));    // segments of nothing
  CHECK(refused(6, 24));   // where no TCP header is
  CHECK(refused(6, 255));  // behind the end
  vnet::Header beyond{};
  beyond[0] = 1, beyond[6] = 200;
  std::vector<std::uint8_t> packet = packets[0];
  CHECK_FALSE(vnet::split(beyond, std::span(packet).first(40), {}, pool, out));
  CHECK_FALSE(vnet::split(good, {}, {}, pool, out));
}

}  // namespace
}  // namespace winze
