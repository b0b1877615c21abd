// The PROXY protocol, versions 1 and 2: a proxy tells a server, in front of the first bytes, who the client is.
//
//   v1   "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n", TCP6 likewise, or "PROXY UNKNOWN ...\r\n"
//   v2   0d0a0d0a000d0a515549540a | u8 0x20 local, 0x21 proxied | u8 family | u16 n | addresses, then TLVs (n)
//        family: 0x11 TCP over IPv4 (n >= 12), 0x21 TCP over IPv6 (n >= 36), 0x12 and 0x22 the same for UDP
//        addresses: source, destination, u16 source port, u16 destination port
//
// Source: "The PROXY protocol, versions 1 & 2", proxy-protocol.txt of HAProxy, sections 2.1 and 2.2.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <system_error>

#include "winze/base/address.h"
#include "winze/base/buffer.h"
#include "winze/base/stream_codec.h"

namespace winze::proxy_protocol {

// Values 1xx: the peer misbehaved.
enum class Errc {
  kNoHeader = 101,  // the bytes begin with neither version's signature
  kMalformed,
  kTooLong,  // beyond kMaxHeaderSize
};
const std::error_category& proxy_protocol_category() noexcept;
inline std::error_code make_error_code(Errc e) noexcept { return {static_cast<int>(e), proxy_protocol_category()}; }

// Headers longer than this are refused; the longest known ones carry a TLS certificate's names in TLVs.
inline constexpr std::size_t kMaxHeaderSize = 4096;

// The two ends of the connection that the proxy took.
struct Addresses {
  Endpoint source;
  Endpoint destination;
  friend bool operator==(const Addresses&, const Addresses&) = default;
};

// Appends a header of version 1, or 2 for any other number. No addresses, or those of different families, make one that
// says "unknown".
void encode(int version, const std::optional<Addresses>& addresses, Buffer& out);

struct Decoded {
  std::size_t size = 0;                // of the header; 0: incomplete, more bytes are needed
  std::optional<Addresses> addresses;  // none: the proxy speaks for itself, or of a family that has none here
};
// Decodes the header that `bytes` begin with. Says so at the first byte that cannot belong to one.
[[nodiscard]] std::error_code decode(std::span<const std::uint8_t> bytes, Decoded& out);

// A server's lowest layer where a proxy is in front ("acceptProxyProtocol"): demands a header, then is transparent.
// On failure all bytes received are left in `in`.
class ServerCodec final : public StreamCodec {
 public:
  Overhead overhead() const override { return {}; }
  Handshake handshake(Buffer& in, Buffer& out, std::error_code& error) override;
  std::error_code seal(Buffer& data) override;
  std::error_code open(Buffer& data, Buffer& reply) override;
  bool seals_verbatim() const override { return true; }
  bool opens_verbatim() const override { return true; }

  const std::optional<Addresses>& addresses() const { return addresses_; }

 private:
  Buffer received_;  // an incomplete header
  std::optional<Addresses> addresses_;
};

}  // namespace winze::proxy_protocol

template <>
struct std::is_error_code_enum<winze::proxy_protocol::Errc> : std::true_type {};
