// Addresses as SOCKS5 writes them (RFC 1928 §5), and the header of its UDP datagrams (§7).
//
//   atyp 01 | IPv4 (4)              | port (2)
//   atyp 03 | length (1) | name     | port (2)
//   atyp 04 | IPv6 (16)             | port (2)
#pragma once

#include <cstddef>
#include <cstdint>

#include "winze/base/address.h"
#include "winze/base/buffer.h"
#include "winze/base/bytes.h"

namespace winze::socks {

inline constexpr std::uint8_t kAtypV4 = 1;
inline constexpr std::uint8_t kAtypName = 3;
inline constexpr std::uint8_t kAtypV6 = 4;
inline constexpr std::size_t kMaxAddressSize = 1 + 1 + 255 + 2;

// Whether the destination fits: a name has 1 to 255 bytes.
bool is_encodable(const Destination& destination) noexcept;
// Appends the address. The destination must be encodable.
void encode_address(const Destination& destination, Writer& out);
// The same in front of what `data` holds.
void prepend_address(const Destination& destination, Buffer& data);

enum class AddressResult : std::uint8_t {
  kDone,
  kMore,         // the bytes end within the address
  kUnknownType,  // atyp is none of the three
  kBadName,      // not a host name (winze/proto/host_name.h)
};
// Reads an address off the front. A name that is textually an IP address, also in brackets, becomes one. `out` and the
// reader are to be used only on kDone; the network of `out` stays.
AddressResult decode_address(Reader& in, Destination& out);

//   reserved 00 00 | fragment (1) | address | data
inline constexpr std::size_t kMaxDatagramHeader = 3 + kMaxAddressSize;

enum class Drop : std::uint8_t {
  kNone,
  kMalformed,
  kFragment,  // fragments are not reassembled: RFC 1928 §7 lets an implementation drop them
  kEmpty,     // no data
};
// Takes the header off a datagram; `peer` is the address in it: from a client where the data shall go, to a client
// where it came from.
[[nodiscard]] Drop open_datagram(Buffer& datagram, Destination& peer);
// Puts the header in front. False, and nothing done, when `peer` is not encodable.
[[nodiscard]] bool seal_datagram(Buffer& datagram, const Destination& peer);

}  // namespace winze::socks
