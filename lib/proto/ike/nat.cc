#include "nat.h"

#include <algorithm>
#include <array>

#include "winze/crypto/digest.h"

namespace winze::ike {
namespace {

using Hash = std::array<std::uint8_t, 20>;

Hash hash_of_end(std::uint64_t spi_i, std::uint64_t spi_r, const Endpoint& end) {
  Buffer bytes(64);
  Writer out(bytes);
  out.u64(spi_i);
  out.u64(spi_r);
  out.bytes(end.address.bytes());
  out.u16(end.port);
  return sha1(bytes.span());
}

}  // namespace

void write_nat_detection(PayloadWriter& out, std::uint64_t spi_i, std::uint64_t spi_r, const Path& path, bool forced,
                         Random& random) {
  Hash source = hash_of_end(spi_i, spi_r, path.local);
  // A source that does not know its own address, or does not want to be known by it, is as one behind a NAT.
  if (forced || path.local.address.is_unspecified()) random.fill(source);
  write_notify(out, notify::kNatDetectionSource, source);
  write_notify(out, notify::kNatDetectionDestination, hash_of_end(spi_i, spi_r, path.remote));
}

std::optional<NatDetected> detect_nat(const Contents& contents, std::uint64_t spi_i, std::uint64_t spi_r,
                                      const Path& path) {
  const Hash remote = hash_of_end(spi_i, spi_r, path.remote), local = hash_of_end(spi_i, spi_r, path.local);
  bool sources = false, destinations = false, remote_seen = false, local_seen = false;
  for (const NotifyView& notify : contents.notifies) {
    if (notify.type == notify::kNatDetectionSource) {
      sources = true;
      remote_seen = remote_seen || std::ranges::equal(notify.data, remote);
    } else if (notify.type == notify::kNatDetectionDestination) {
      destinations = true;
      local_seen = local_seen || std::ranges::equal(notify.data, local);
    }
  }
  if (!sources || !destinations) return std::nullopt;
  return NatDetected{.local = !local_seen && !path.local.address.is_unspecified(), .remote = !remote_seen};
}

bool has_forbidden_nat(const Contents& contents, const Path& path) {
  const NotifyView* const said = contents.find(notify::kNoNatsAllowed);
  if (said == nullptr || path.stream || path.local.address.is_unspecified()) return false;
  Buffer seen(64);
  Writer out(seen);
  out.bytes(path.remote.address.bytes());
  out.bytes(path.local.address.bytes());
  out.u16(path.remote.port);
  out.u16(path.local.port);
  return !std::ranges::equal(said->data, seen.span());
}

}  // namespace winze::ike
