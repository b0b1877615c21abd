#include "socket_conduit.h"

#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <span>

#include "datagram_control.h"
#include "descriptor_conduit.h"
#include "winze/base/bytes.h"

namespace winze {
namespace {

constexpr std::size_t kLargestDatagram = 65507;
// What the kernel takes as one run: UDP_MAX_SEGMENTS, and one IP packet's length in all.
constexpr std::size_t kMaxSegments = 64;
constexpr std::size_t kMaxRun = 65000;
constexpr std::size_t kMessages = 8;  // runs a system call
constexpr std::size_t kRunBuffer = 65536;
constexpr std::size_t kIpv6HeaderSize = 40;
constexpr int kIpv6HeaderIncluded = 36;   // IPV6_HDRINCL, which the C library's headers lack
constexpr std::size_t kMostErrors = 64;   // taken off the error queue in a row
constexpr std::size_t kLentMessages = 3;  // so that they fit into one buffer of the pool

void set(int fd, int level, int name, int value) { (void)::setsockopt(fd, level, name, &value, sizeof value); }

struct State final : DescriptorReader<State> {
  State(Environment& env, int socket, const SocketKind& socket_kind, bool discover_mtu)
      : DescriptorReader(env, socket), kind(socket_kind), segments(socket_kind.offload), discovers(discover_mtu) {}

  // --- receiving ---

  std::error_code fill(std::vector<Datagram>& batch) {
    Buffer lent;
    std::uint8_t* into = nullptr;
    const std::size_t at_most = kind.keeps_area ? kMessages : kLentMessages;
    if (kind.keeps_area) {
      if (!area) area = std::make_unique<std::uint8_t[]>(kMessages * kRunBuffer);
      into = area.get();
    } else {
      lent = environment.pool.acquire(kLentMessages * kRunBuffer);
      into = lent.data();
    }
    std::array<mmsghdr, kMessages> messages{};
    std::array<iovec, kMessages> vectors;
    std::array<sockaddr_any, kMessages> sources;
    alignas(cmsghdr) std::array<ControlArea, kMessages> controls;
    for (std::size_t i = 0; i < at_most; ++i) {
      vectors[i] = {into + i * kRunBuffer, kRunBuffer};
      msghdr& header = messages[i].msg_hdr;
      header.msg_name = sources[i].bytes;
      header.msg_namelen = sizeof sources[i].bytes;
      header.msg_iov = &vectors[i];
      header.msg_iovlen = 1;
      header.msg_control = controls[i].data();
      header.msg_controllen = controls[i].size();
    }
    const int count = ::recvmmsg(fd(), messages.data(), static_cast<unsigned>(at_most), MSG_DONTWAIT, nullptr);
    if (count < 0) {
      const int error = errno;
      if (discovers) take_errors();
      errno = error;
      // An ICMP error of an earlier send (ECONNREFUSED, ...) says nothing about the socket, nor does a lack of memory.
      const bool passing = errno == EAGAIN || errno == EINTR || errno == ECONNREFUSED || errno == EHOSTUNREACH ||
                           errno == ENETUNREACH || errno == EMSGSIZE || errno == ENOBUFS || errno == ENOMEM;
      return passing ? std::error_code() : last_system_error();
    }
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
      take(messages[i], from_sockaddr(sources[i]), std::span(into + i * kRunBuffer, messages[i].msg_len), batch);
    }
    return {};
  }

  // One message: a datagram, or a run of them that the kernel has joined.
  void take(mmsghdr& message, const Endpoint& source, std::span<const std::uint8_t> bytes,
            std::vector<Datagram>& batch) {
    const DatagramControl control = read_control(message.msg_hdr);
    std::size_t segment = control.segment != 0 ? control.segment : bytes.size();
    if (kind.raw && !kind.v6 && !kind.headers) {
      // An IPv4 raw socket gives the IP header too.
      const std::size_t header = bytes.empty() ? 0 : (bytes[0] & std::size_t{15}) * 4;
      if (header == 0 || header > bytes.size()) return;
      segment -= header;
      bytes = bytes.subspan(header);
    }
    do {
      const std::size_t n = std::min(segment, bytes.size());
      // A copy into a buffer of its own, because each datagram is decrypted, kept and passed on by itself.
      Buffer payload = environment.pool.acquire(room.front + kIpv6HeaderSize + n + room.back, room.front);
      if (kind.v6 && kind.headers) put_v6_header(payload, n, source.address, control);
      payload.append(bytes.first(n));
      batch.push_back({.payload = std::move(payload),
                       .peer = Destination(source, Network::kUdp),
                       .traffic_class = control.traffic_class,
                       .local = control.local});
      bytes = bytes.subspan(n);
    } while (!bytes.empty());
  }

  // As it was on the wire, in what of it is the same at both ends (RFC 8200 section 3).
  void put_v6_header(Buffer& out, std::size_t payload_size, const IpAddress& source,
                     const DatagramControl& control) const {
    std::uint8_t* const header = out.append(kIpv6HeaderSize);
    store_u32(header, 6u << 28 | std::uint32_t{control.traffic_class} << 20);
    store_u16(header + 4, static_cast<std::uint16_t>(payload_size));
    header[6] = static_cast<std::uint8_t>(kind.protocol);
    header[7] = 64;
    std::memcpy(header + 8, source.bytes().data(), 16);
    std::memcpy(header + 24, control.local.bytes().data(), 16);
  }

  void take_errors() {
    std::array<std::uint8_t, 64> quoted;
    for (std::size_t i = 0; i < kMostErrors; ++i) {
      const auto report = read_error(fd(), quoted);
      if (!report) return;
      if (report->mtu != 0 && on_too_big) on_too_big(*report);
    }
  }

  // --- sending ---

  std::size_t send(std::span<Datagram> datagrams) {
    const std::size_t all = datagrams.size();
    std::size_t taken = 0;
    while (!datagrams.empty()) {
      std::array<Message, kMessages> messages;
      std::array<mmsghdr, kMessages> headers;
      std::size_t count = 0;
      const bool may_be_cut = datagrams.front().may_be_cut;
      while (count < kMessages && !datagrams.empty() && datagrams.front().may_be_cut == may_be_cut) {
        const std::size_t length = run_length(datagrams);
        if (messages[count].set(*this, datagrams.first(length)))
          headers[count].msg_hdr = messages[count].header, ++count;
        datagrams = datagrams.subspan(length);
      }
      if (may_be_cut && discovers) set_may_be_cut(true);
      taken += send_messages(std::span(messages).first(count), headers.data());
      if (may_be_cut && discovers) set_may_be_cut(false);
    }
    dropped += all - taken;
    return taken;
  }

  // One run, as a message.
  struct Message {
    bool set(const State& state, std::span<Datagram> datagrams) {
      run = datagrams;
      const Datagram& first = run.front();
      if (!state.address_of(first.peer, to)) return false;
      for (std::size_t i = 0; i < run.size(); ++i) vectors[i] = {run[i].payload.data(), run[i].payload.size()};
      header = {};
      header.msg_name = to.bytes;
      header.msg_namelen = to.size;
      header.msg_iov = vectors.data();
      header.msg_iovlen = run.size();
      control.fill(0);
      write_control(header, control,
                    {.segment = run.size() > 1 ? first.payload.size() : 0,
                     .traffic_class = first.traffic_class,
                     .local = first.local},
                    *first.peer.address());
      return true;
    }

    std::span<Datagram> run;
    sockaddr_any to;
    std::array<iovec, kMaxSegments> vectors;
    alignas(cmsghdr) ControlArea control;
    msghdr header;
  };

  std::size_t send_messages(std::span<Message> messages, mmsghdr* headers) {
    std::size_t taken = 0;
    for (std::size_t at = 0; at < messages.size();) {
      const int n =
          ::sendmmsg(fd(), headers + at, static_cast<unsigned>(messages.size() - at), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) return taken;
      for (int i = 0; i < n; ++i) taken += messages[at++].run.size();
      // The first of those left has failed.
      if (at < messages.size()) taken += send_again(messages[at++]);
    }
    return taken;
  }

  // How many datagrams from the first on can go as one: same peer and size, the last may be shorter.
  std::size_t run_length(std::span<const Datagram> datagrams) const {
    const Datagram& first = datagrams.front();
    const std::size_t size = first.payload.size();
    if (!segments || size == 0) return 1;
    std::size_t count = 1, total = size;
    while (count < datagrams.size() && count < kMaxSegments) {
      const Datagram& next = datagrams[count];
      if (next.payload.size() > size || next.payload.empty() || total + next.payload.size() > kMaxRun) break;
      if (next.traffic_class != first.traffic_class || next.peer != first.peer || next.local != first.local) break;
      if (next.may_be_cut != first.may_be_cut) break;
      total += next.payload.size();
      ++count;
      if (next.payload.size() < size) break;
    }
    return count;
  }

  std::size_t send_again(Message& message) {
    if (discovers) take_errors();
    if (transmit(message.header)) return message.run.size();
    // The path's device cannot segment (EIO), or a run's datagrams are above its MTU (EINVAL; EMSGSIZE since
    // Linux 6.9): one by one then.
    if (message.run.size() == 1 || (errno != EIO && errno != EINVAL && errno != EMSGSIZE)) return 0;
    if (errno == EIO) segments = false;
    const std::span<Datagram> run = message.run;
    std::size_t taken = 0;
    for (std::size_t i = 0; i < run.size(); ++i) {
      taken += message.set(*this, run.subspan(i, 1)) && transmit(message.header) ? 1 : 0;
    }
    return taken;
  }

  // With the error queue on, an ICMP message about an earlier datagram fails the next call once.
  bool transmit(const msghdr& message) {
    for (bool again = discovers;; again = false) {
      ssize_t n;
      do {
        n = ::sendmsg(fd(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
      } while (n < 0 && errno == EINTR);
      if (n >= 0 || !discovers || errno == EAGAIN) return n >= 0;
      const int error = errno;
      take_errors();
      errno = error;
      if (!again) return false;
    }
  }

  // The kernel cuts then by what it knows of the path, and routers may.
  void set_may_be_cut(bool on) {
    set(fd(), IPPROTO_IP, IP_MTU_DISCOVER, on ? IP_PMTUDISC_DONT : IP_PMTUDISC_PROBE);
    if (kind.v6) set(fd(), IPPROTO_IPV6, IPV6_MTU_DISCOVER, on ? IPV6_PMTUDISC_WANT : IPV6_PMTUDISC_PROBE);
  }

  bool address_of(const Destination& peer, sockaddr_any& out) const {
    const IpAddress* address = peer.address();
    if (address == nullptr || (address->is_v6() && !kind.v6) || (kind.raw && address->is_v6() != kind.v6)) return false;
    out = to_sockaddr({*address, kind.raw ? std::uint16_t{0} : peer.port});
    if (address->is_v4() && kind.v6) {
      // As ::ffff:192.0.2.1.
      sockaddr_in6 mapped{};
      mapped.sin6_family = AF_INET6;
      mapped.sin6_port = htons(peer.port);
      mapped.sin6_addr.s6_addr[10] = mapped.sin6_addr.s6_addr[11] = 0xff;
      std::memcpy(&mapped.sin6_addr.s6_addr[12], address->bytes().data(), 4);
      std::memcpy(out.bytes, &mapped, out.size = sizeof mapped);
    }
    return true;
  }

  SocketKind kind;
  bool segments;
  bool discovers;
  PacketConduit::TooBigHandler on_too_big;
  std::unique_ptr<std::uint8_t[]> area;  // where messages arrive, if it is kept
};

class SocketConduit final : public PacketConduit {
 public:
  explicit SocketConduit(std::shared_ptr<State> state) : state_(std::move(state)) {}
  ~SocketConduit() override { state_->close(); }

  std::size_t send(std::span<Datagram> datagrams) override { return state_->send(datagrams); }
  void receive(ReceiveHandler handler) override { state_->receive(std::move(handler)); }
  void close() override { state_->close(); }
  std::size_t mtu() const override { return kLargestDatagram; }
  Overhead overhead() const override { return {}; }
  void reserve(Overhead room) override { state_->room = room; }
  void on_too_big(TooBigHandler handler) override { state_->on_too_big = std::move(handler); }
  std::uint64_t dropped() const override { return state_->dropped; }
  const Executor& executor() const override { return state_->environment.executor; }

 private:
  std::shared_ptr<State> state_;
};

// A socket of both families has the options of both.
void set_path_mtu(int fd, bool v6, PathMtu path_mtu) {
  if (path_mtu == PathMtu::kSystem) return;
  // PROBE: not what the kernel has been told by ICMP, but what its device takes.
  const bool discover = path_mtu == PathMtu::kDiscover;
  set(fd, IPPROTO_IP, IP_MTU_DISCOVER, discover ? IP_PMTUDISC_PROBE : IP_PMTUDISC_DONT);
  set(fd, IPPROTO_IP, IP_RECVERR, discover ? 1 : 0);
  if (!v6) return;
  set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, discover ? IPV6_PMTUDISC_PROBE : IPV6_PMTUDISC_DONT);
  set(fd, IPPROTO_IPV6, IPV6_RECVERR, discover ? 1 : 0);
}

bool steer(int fd, const Steering& steering) {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),  // of the payload; a shorter one ends the program with 0
      BPF_STMT(BPF_ALU | BPF_SUB | BPF_K, steering.base),
      BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, std::max(steering.count, 1u)),
      BPF_STMT(BPF_RET | BPF_A, 0),
  };
  const sock_fprog whole{.len = std::size(program), .filter = program};
  return ::setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &whole, sizeof whole) == 0;
}

}  // namespace

SocketResult make_socket_conduit(Environment& environment, const SocketKind& kind, const Endpoint& bind,
                                 const Destination& toward, const DatagramSocketOptions& options) {
  SocketResult result;
  int fd = -1;
  const auto failed = [&](const std::string& what) -> SocketResult& {
    result.error = last_system_error();
    result.what = what + ": " + result.error.message();
    if (fd >= 0) ::close(fd);
    return result;
  };
  fd = ::socket(kind.v6 ? AF_INET6 : AF_INET, (kind.raw ? SOCK_RAW : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC,
                kind.protocol);
  if (fd < 0) return std::move(failed(kind.raw ? "open a raw socket" : "open a UDP socket"));
  if (kind.v6) set(fd, IPPROTO_IPV6, IPV6_V6ONLY, kind.v6_only || kind.raw ? 1 : 0);
  if (kind.reuse_port) set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  set(fd, SOL_SOCKET, SO_RCVBUF, static_cast<int>(options.buffer_bytes));
  set(fd, SOL_SOCKET, SO_SNDBUF, static_cast<int>(options.buffer_bytes));
  set(fd, IPPROTO_IP, IP_RECVTOS, 1);
  set(fd, IPPROTO_IP, IP_PKTINFO, 1);
  if (kind.v6) {
    set(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
    set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
  }
  if (kind.headers) kind.v6 ? set(fd, IPPROTO_IPV6, kIpv6HeaderIncluded, 1) : set(fd, IPPROTO_IP, IP_HDRINCL, 1);
  set_path_mtu(fd, kind.v6, options.path_mtu);
  if (kind.offload) set(fd, SOL_UDP, UDP_GRO, 1);
  if (options.mark != 0 && ::setsockopt(fd, SOL_SOCKET, SO_MARK, &options.mark, sizeof options.mark) != 0) {
    return std::move(failed("set SO_MARK"));
  }
  if (!options.interface.empty() && ::setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, options.interface.data(),
                                                 static_cast<socklen_t>(options.interface.size())) != 0) {
    return std::move(failed("bind to the interface " + options.interface));
  }
  const sockaddr_any at = to_sockaddr(bind);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(at.bytes), at.size) != 0) {
    return std::move(failed("bind to " + (kind.raw ? bind.address.to_string() : bind.to_string())));
  }
  if (kind.steering && !steer(fd, *kind.steering)) return std::move(failed("steer by SPI"));
  if (environment.socket_hook) {
    result.error = environment.socket_hook(fd, toward);
    if (result.error) {
      ::close(fd);
      result.what = "socket hook: " + result.error.message();
      return result;
    }
  }
  result.local = local_endpoint(fd);
  result.conduit = std::make_unique<SocketConduit>(
      std::make_shared<State>(environment, fd, kind, options.path_mtu == PathMtu::kDiscover));
  return result;
}

}  // namespace winze
