#include "winze/io/interface.h"

#include <ifaddrs.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <span>

#include "socket_stream.h"

namespace winze {
namespace {

// One request of rtnetlink: a header, a message, and attributes, each aligned to four bytes.
class Request {
 public:
  template <typename Message>
  Request(std::uint16_t type, std::uint16_t flags, const Message& message) {
    header().nlmsg_type = type;
    header().nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
    header().nlmsg_seq = 1;
    header().nlmsg_len = NLMSG_LENGTH(sizeof message);
    std::memcpy(NLMSG_DATA(&header()), &message, sizeof message);
  }

  Request& add(std::uint16_t type, std::span<const std::uint8_t> value) {
    const std::size_t at = NLMSG_ALIGN(header().nlmsg_len);
    const rtattr attribute{.rta_len = static_cast<std::uint16_t>(RTA_LENGTH(value.size())), .rta_type = type};
    std::memcpy(&bytes_[at], &attribute, sizeof attribute);
    std::memcpy(&bytes_[at + RTA_LENGTH(0)], value.data(), value.size());
    header().nlmsg_len = static_cast<std::uint32_t>(at + attribute.rta_len);
    return *this;
  }
  Request& add(std::uint16_t type, std::uint32_t value) {
    std::array<std::uint8_t, sizeof value> bytes;
    std::memcpy(bytes.data(), &value, sizeof value);
    return add(type, bytes);
  }

  std::error_code run() {
    const int socket = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (socket < 0) return last_system_error();
    std::error_code error = exchange(socket);
    ::close(socket);
    return error;
  }

 private:
  std::error_code exchange(int socket) {
    if (::send(socket, bytes_.data(), header().nlmsg_len, 0) < 0) return last_system_error();
    alignas(nlmsghdr) std::array<std::uint8_t, 4096> answer;
    const ssize_t n = ::recv(socket, answer.data(), answer.size(), 0);
    if (n < 0) return last_system_error();
    const auto* got = reinterpret_cast<const nlmsghdr*>(answer.data());
    if (!NLMSG_OK(got, static_cast<std::size_t>(n)) || got->nlmsg_type != NLMSG_ERROR)
      return std::make_error_code(std::errc::protocol_error);
    const int code = -static_cast<const nlmsgerr*>(NLMSG_DATA(got))->error;
    return code == 0 ? std::error_code() : std::error_code(code, std::system_category());
  }

  nlmsghdr& header() { return *reinterpret_cast<nlmsghdr*>(bytes_.data()); }

  // More than any message here and its attributes take.
  alignas(nlmsghdr) std::array<std::uint8_t, 256> bytes_{};
};

std::uint8_t family_of(const IpAddress& address) { return address.is_v4() ? AF_INET : AF_INET6; }

std::error_code change_address(std::uint16_t type, std::uint16_t flags, const std::string& interface,
                               const Prefix& prefix) {
  const unsigned index = ::if_nametoindex(interface.c_str());
  if (index == 0) return last_system_error();
  const ifaddrmsg message{.ifa_family = family_of(prefix.address),
                          .ifa_prefixlen = prefix.bits,
                          .ifa_flags = IFA_F_NODAD,
                          .ifa_scope = RT_SCOPE_UNIVERSE,
                          .ifa_index = index};
  return Request(type, flags, message)
      .add(IFA_LOCAL, prefix.address.bytes())
      .add(IFA_ADDRESS, prefix.address.bytes())
      .run();
}

// The network of a prefix: the kernel refuses bits behind it.
std::array<std::uint8_t, 16> network_of(const Prefix& prefix) {
  std::array<std::uint8_t, 16> out{};
  const auto bytes = prefix.address.bytes();
  for (unsigned i = 0; i < bytes.size(); ++i) {
    const unsigned kept = prefix.bits > i * 8 ? std::min(prefix.bits - i * 8, 8u) : 0;
    out[i] = static_cast<std::uint8_t>(bytes[i] & (0xff00u >> kept));
  }
  return out;
}

std::error_code change_route(std::uint16_t type, std::uint16_t flags, const std::string& interface,
                             const Route& route) {
  const unsigned index = ::if_nametoindex(interface.c_str());
  if (index == 0) return last_system_error();
  rtmsg message{};
  message.rtm_family = family_of(route.to.address);
  message.rtm_dst_len = route.to.bits;
  message.rtm_table = RT_TABLE_UNSPEC;
  message.rtm_type = RTN_UNICAST;
  const bool adds = type == RTM_NEWROUTE;
  message.rtm_protocol = adds ? RTPROT_STATIC : RTPROT_UNSPEC;
  message.rtm_scope = !adds ? RT_SCOPE_NOWHERE : route.gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
  Request request(type, flags, message);
  const auto network = network_of(route.to);
  request.add(RTA_DST, std::span(network).first(route.to.address.bytes().size()));
  request.add(RTA_OIF, index).add(RTA_TABLE, route.table);
  if (route.metric != 0) request.add(RTA_PRIORITY, route.metric);
  if (route.gateway) request.add(RTA_GATEWAY, route.gateway->bytes());
  if (route.source) request.add(RTA_PREFSRC, route.source->bytes());
  return request.run();
}

std::error_code change_rule(std::uint16_t type, std::uint16_t flags, const Rule& rule) {
  fib_rule_hdr message{};
  message.family = rule.v6 ? AF_INET6 : AF_INET;
  message.action = FR_ACT_TO_TBL;
  message.flags = FIB_RULE_INVERT;
  Request request(type, flags, message);
  request.add(FRA_FWMARK, rule.not_mark).add(FRA_FWMASK, UINT32_MAX);
  request.add(FRA_TABLE, rule.table).add(FRA_PRIORITY, rule.priority);
  return request.run();
}

constexpr std::uint16_t kNew = NLM_F_CREATE | NLM_F_EXCL;

}  // namespace

std::error_code add_address(const std::string& interface, const Prefix& address) {
  return change_address(RTM_NEWADDR, kNew, interface, address);
}
std::error_code remove_address(const std::string& interface, const Prefix& address) {
  return change_address(RTM_DELADDR, 0, interface, address);
}
std::error_code add_route(const std::string& interface, const Route& route) {
  return change_route(RTM_NEWROUTE, kNew, interface, route);
}
std::error_code remove_route(const std::string& interface, const Route& route) {
  return change_route(RTM_DELROUTE, 0, interface, route);
}

std::error_code add_rule(const Rule& rule) { return change_rule(RTM_NEWRULE, kNew, rule); }
std::error_code remove_rule(const Rule& rule) { return change_rule(RTM_DELRULE, 0, rule); }

std::optional<IpAddress> source_of(const IpAddress& to, std::uint32_t mark) {
  // A datagram socket that is connected sends nothing, but has chosen its address.
  const sockaddr_any remote = to_sockaddr({to, 9});
  const int socket = ::socket(to.is_v6() ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return std::nullopt;
  sockaddr_any local;
  local.size = sizeof local.bytes;
  auto* const from = reinterpret_cast<sockaddr*>(local.bytes);
  if (mark != 0) (void)::setsockopt(socket, SOL_SOCKET, SO_MARK, &mark, sizeof mark);
  const bool found = ::connect(socket, reinterpret_cast<const sockaddr*>(remote.bytes), remote.size) == 0 &&
                     ::getsockname(socket, from, &local.size) == 0;
  ::close(socket);
  return found ? std::optional(from_sockaddr(local).address) : std::nullopt;
}

std::vector<IpAddress> local_addresses() {
  std::vector<IpAddress> out;
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) return out;
  for (const ifaddrs* at = all; at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr) continue;
    const int family = at->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6) continue;
    sockaddr_any address;
    address.size = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    std::memcpy(address.bytes, at->ifa_addr, address.size);
    out.push_back(from_sockaddr(address).address);
  }
  ::freeifaddrs(all);
  return out;
}

}  // namespace winze
