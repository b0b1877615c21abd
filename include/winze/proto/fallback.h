// Where a VLESS or Trojan server sends the connections of strangers: a table by server name, ALPN and request path,
// as V2Ray and Xray configure it.
//
// An entry with an empty name, alpn or path is the default of that key. Entries of the empty name are inherited by all
// names, and entries of the empty alpn by all alpns, where these have none of their own.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "winze/base/address.h"

namespace winze {

struct UnixPath {
  std::string path;  // "/run/web.sock", "@abstract", "@@padded"
  friend bool operator==(const UnixPath&, const UnixPath&) = default;
};
using FallbackDestination = std::variant<Destination, UnixPath>;

// "80" is that port of 127.0.0.1; "host:port"; "/path", "@name" and "@@name" are Unix sockets.
std::optional<FallbackDestination> parse_fallback_destination(std::string_view text);

struct Fallback {
  std::string name;  // of the server, as in SNI
  std::string alpn;
  std::string path;  // begins with '/'
  FallbackDestination destination;
  int proxy_protocol = 0;  // version of the PROXY protocol header to send first; 0: none ("xver")
};

class FallbackTable {
 public:
  // Fails for a path that does not begin with '/', a version other than 0, 1 and 2, and two entries with the same keys.
  // Messages name the entry as "fallbacks[2].path: ...".
  static absl::StatusOr<FallbackTable> create(const std::vector<Fallback>& entries);

  // The entry for a connection with this SNI and ALPN (empty: none) that began with `first`, or null. The name taken is
  // the SNI itself, else the longest configured name that is part of it, else the empty one. The path is that of an
  // HTTP/1 request within the first 64 bytes, without its query.
  const Fallback* select(std::span<const std::uint8_t> first, std::string_view server_name,
                         std::string_view alpn) const;

 private:
  using ByPath = std::map<std::string, Fallback, std::less<>>;
  using ByAlpn = std::map<std::string, ByPath, std::less<>>;
  using ByName = std::map<std::string, ByAlpn, std::less<>>;

  explicit FallbackTable(ByName entries) : entries_(std::move(entries)) {}
  const ByAlpn* find_name(std::string_view server_name) const;

  ByName entries_;
};

// The path of the HTTP/1 request that `first` begins with, without its query; empty when there is none in the place
// where V2Ray looks: behind a method of 3 to 7 letters, complete before byte 64, in at least 18 bytes.
std::string_view request_path(std::span<const std::uint8_t> first);

}  // namespace winze
