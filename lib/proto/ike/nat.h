// NAT detection (RFC 7296 section 2.23): hashes of addresses as each end sees them, in IKE_SA_INIT and for MOBIKE.
#pragma once

#include "payloads.h"
#include "winze/base/random.h"
#include "winze/proto/ike/path.h"

namespace winze::ike {

struct NatDetected {
  bool local = false, remote = false;  // a NAT stands before that end
};

// `forced`: the peer is to find a NAT before this end, whether there is one or not.
void write_nat_detection(PayloadWriter& out, std::uint64_t spi_i, std::uint64_t spi_r, const Path& path, bool forced,
                         Random& random);
// None when the peer sent no hashes.
std::optional<NatDetected> detect_nat(const Contents& contents, std::uint64_t spi_i, std::uint64_t spi_r,
                                      const Path& path);

// Whether the peer wants no NAT, and there is one: what it says of the addresses and ports (RFC 4555 section 4.2.6) is
// not what is seen here.
bool has_forbidden_nat(const Contents& contents, const Path& path);

}  // namespace winze::ike
