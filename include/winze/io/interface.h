// The addresses and routes of a network interface (Linux, by rtnetlink). All of it needs CAP_NET_ADMIN, and holds until
// it is removed or the interface goes. The errors are the kernel's: std::errc::file_exists for what is there already,
// std::errc::no_such_device for an interface that is not.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "winze/base/address.h"

namespace winze {

// IPv6 addresses count as unique at once (no duplicate address detection).
[[nodiscard]] std::error_code add_address(const std::string& interface, const Prefix& address);
[[nodiscard]] std::error_code remove_address(const std::string& interface, const Prefix& address);

struct Route {
  Prefix to;  // the bits behind the prefix are taken for 0
  std::optional<IpAddress> gateway = {};
  std::optional<IpAddress> source = {};  // the address that packets of this host get
  std::uint32_t table = 254;             // main
  std::uint32_t metric = 0;              // 0: the kernel's default
};
[[nodiscard]] std::error_code add_route(const std::string& interface, const Route& route);
[[nodiscard]] std::error_code remove_route(const std::string& interface, const Route& route);

// Leads packets to a table before the main one is asked: all but those of one mark (SO_MARK).
struct Rule {
  bool v6 = false;
  std::uint32_t not_mark = 0;
  std::uint32_t table = 254;
  std::uint32_t priority = 0;
};
[[nodiscard]] std::error_code add_rule(const Rule& rule);
[[nodiscard]] std::error_code remove_rule(const Rule& rule);

// The address that packets of this host for `to` come from, as its routes are now, with that mark; none: no
// route leads there.
std::optional<IpAddress> source_of(const IpAddress& to, std::uint32_t mark = 0);
// Those of its interfaces, as they are now.
std::vector<IpAddress> local_addresses();

}  // namespace winze
