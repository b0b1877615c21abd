#include "datagram_control.h"

#include <linux/errqueue.h>
#include <netinet/in.h>
#include <netinet/udp.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "socket_stream.h"

namespace winze {
namespace {

template <typename T>
T value_of(const cmsghdr& control) {
  T value{};
  std::memcpy(&value, CMSG_DATA(&control), std::min(control.cmsg_len - CMSG_LEN(0), sizeof value));
  return value;
}

template <typename T>
void put(msghdr& message, int level, int type, const T& value) {
  auto* header = reinterpret_cast<cmsghdr*>(static_cast<char*>(message.msg_control) + message.msg_controllen);
  header->cmsg_level = level;
  header->cmsg_type = type;
  header->cmsg_len = CMSG_LEN(sizeof value);
  std::memcpy(CMSG_DATA(header), &value, sizeof value);
  message.msg_controllen += CMSG_SPACE(sizeof value);
}

template <typename T>
IpAddress address_of(const T& bytes) {
  constexpr std::size_t size = sizeof bytes;
  std::array<std::uint8_t, size> copy;
  std::memcpy(copy.data(), &bytes, size);
  if constexpr (size == 4) {
    return IpAddress::v4(copy);
  } else {
    return IpAddress::v6(copy).unmapped();
  }
}

bool is(const cmsghdr& control, int level, int type) {
  return control.cmsg_level == level && control.cmsg_type == type;
}

}  // namespace

DatagramControl read_control(msghdr& message) {
  DatagramControl out;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (is(*c, SOL_UDP, UDP_GRO)) out.segment = static_cast<std::size_t>(value_of<int>(*c));
    if (is(*c, IPPROTO_IP, IP_TOS)) out.traffic_class = value_of<std::uint8_t>(*c);
    if (is(*c, IPPROTO_IPV6, IPV6_TCLASS)) out.traffic_class = static_cast<std::uint8_t>(value_of<int>(*c));
    if (is(*c, IPPROTO_IP, IP_PKTINFO)) out.local = address_of(value_of<in_pktinfo>(*c).ipi_addr);
    if (is(*c, IPPROTO_IPV6, IPV6_PKTINFO)) out.local = address_of(value_of<in6_pktinfo>(*c).ipi6_addr);
  }
  return out;
}

void write_control(msghdr& message, ControlArea& area, const DatagramControl& control, const IpAddress& to) {
  message.msg_control = area.data();
  message.msg_controllen = 0;
  if (control.segment != 0) put(message, SOL_UDP, UDP_SEGMENT, static_cast<std::uint16_t>(control.segment));
  if (control.traffic_class != 0) {
    to.is_v4() ? put(message, IPPROTO_IP, IP_TOS, int{control.traffic_class})
               : put(message, IPPROTO_IPV6, IPV6_TCLASS, int{control.traffic_class});
  }
  if (!control.local.is_unspecified() && control.local.is_v4() == to.is_v4()) {
    if (to.is_v4()) {
      in_pktinfo info{};
      std::memcpy(&info.ipi_spec_dst, control.local.bytes().data(), sizeof info.ipi_spec_dst);
      put(message, IPPROTO_IP, IP_PKTINFO, info);
    } else {
      in6_pktinfo info{};
      std::memcpy(&info.ipi6_addr, control.local.bytes().data(), sizeof info.ipi6_addr);
      put(message, IPPROTO_IPV6, IPV6_PKTINFO, info);
    }
  }
  if (message.msg_controllen == 0) message.msg_control = nullptr;
}

std::optional<TooBig> read_error(int fd, std::span<std::uint8_t> area) {
  sockaddr_any peer;
  alignas(cmsghdr) ControlArea control;
  iovec vector{area.data(), area.size()};
  msghdr message{};
  message.msg_name = peer.bytes;
  message.msg_namelen = sizeof peer.bytes;
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t n = ::recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT);
  if (n < 0) return std::nullopt;
  TooBig out;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (!is(*c, IPPROTO_IP, IP_RECVERR) && !is(*c, IPPROTO_IPV6, IPV6_RECVERR)) continue;
    const auto error = value_of<sock_extended_err>(*c);
    if (error.ee_errno != EMSGSIZE) continue;
    out.mtu = error.ee_info;
    out.local = error.ee_origin == SO_EE_ORIGIN_LOCAL;
  }
  peer.size = message.msg_namelen;
  if (message.msg_namelen != 0) out.peer = Destination(from_sockaddr(peer), Network::kUdp);
  out.quoted = area.first(static_cast<std::size_t>(n));
  return out;
}

}  // namespace winze
