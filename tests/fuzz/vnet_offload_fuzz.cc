// A device's packet under any header; and any packets to be joined: what is joined and cut again is what it was.
#include <algorithm>
#include <vector>

#include "io/vnet_offload.h"
#include "support/require.h"

namespace {

using winze::test::require;
namespace vnet = winze::vnet;

// Packets as `data` cuts them: a length of one byte, times eight, then the bytes.
std::vector<std::vector<std::uint8_t>> packets_in(std::span<const std::uint8_t> data) {
  std::vector<std::vector<std::uint8_t>> out;
  while (data.size() > 1 && out.size() < 8) {
    const std::size_t size = std::min<std::size_t>(data[0] * 8u + 1, data.size() - 1);
    out.emplace_back(data.begin() + 1, data.begin() + 1 + static_cast<std::ptrdiff_t>(size));
    data = data.subspan(1 + size);
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static winze::BufferPool pool;
  std::span<const std::uint8_t> input(data, size);
  if (size > vnet::kHeaderSize) {
    vnet::Header header;
    std::copy_n(data, header.size(), header.begin());
    std::vector<std::uint8_t> packet(data + header.size(), data + size);
    std::vector<winze::Buffer> out;
    if (!vnet::split(header, packet, {}, pool, out)) require(out.empty());
    for (const winze::Buffer& segment : out) require(segment.size() <= 65535 || out.size() == 1);
  }
  auto packets = packets_in(input);
  if (packets.empty()) return 0;
  const auto before = packets;
  const std::vector<std::span<std::uint8_t>> views(packets.begin(), packets.end());
  const std::size_t count = vnet::mergeable(views, true);
  require(count >= 1 && count <= views.size());
  if (count == 1) return 0;
  vnet::Header header;
  const std::size_t headers = vnet::merge(std::span(views).first(count), header);
  std::vector<std::uint8_t> run = packets[0];
  for (std::size_t i = 1; i < count; ++i) {
    run.insert(run.end(), packets[i].begin() + static_cast<std::ptrdiff_t>(headers), packets[i].end());
  }
  std::vector<winze::Buffer> out;
  require(vnet::split(header, run, {}, pool, out) && out.size() == count);
  for (std::size_t i = 0; i < count; ++i) require(out[i].size() == before[i].size());
  return 0;
}
