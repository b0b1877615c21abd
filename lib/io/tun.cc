#include "winze/io/tun.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "descriptor_conduit.h"
#include "socket_stream.h"
#include "vnet_offload.h"
#include "winze/io/interface.h"

namespace winze {
namespace {

constexpr std::size_t kBatch = 64;
constexpr std::size_t kLargestRun = 65536;
constexpr std::size_t kMostParts = 64;  // of one write: the header, and packets

// TUN_F_USO4 and TUN_F_USO6, which Linux has had since 6.2, and the headers here may not.
constexpr unsigned kUdpOffloads = 0x20 | 0x40;

struct Offload {
  bool runs = false;  // packets have a virtio header
  bool udp = false;   // runs may be of UDP
};

struct State final : DescriptorReader<State> {
  State(Environment& env, int fd, std::size_t largest, Offload offloads)
      : DescriptorReader(env, fd), mtu(largest), offload(offloads) {}

  std::error_code fill(std::vector<Datagram>& batch) { return offload.runs ? fill_runs(batch) : fill_packets(batch); }
  std::size_t send(std::span<Datagram> datagrams) {
    const std::size_t taken = offload.runs ? send_runs(datagrams) : send_packets(datagrams);
    dropped += datagrams.size() - taken;
    return taken;
  }

  // --- one packet a call ---

  std::error_code fill_packets(std::vector<Datagram>& batch) {
    while (batch.size() < kBatch) {
      Buffer packet = environment.pool.acquire(room.front + mtu + room.back, room.front);
      const ssize_t n = ::read(fd(), packet.data(), mtu);
      if (n < 0) {
        if (errno == EINTR) continue;
        return errno == EAGAIN ? std::error_code() : last_system_error();
      }
      if (n == 0) return Errc::kEof;
      packet.append(static_cast<std::size_t>(n));
      batch.push_back({.payload = std::move(packet), .peer = {}});
    }
    return {};
  }

  std::size_t send_packets(std::span<Datagram> datagrams) {
    std::size_t taken = 0;
    for (const Datagram& datagram : datagrams) {
      ssize_t n;
      do {
        n = ::write(fd(), datagram.payload.data(), datagram.payload.size());
      } while (n < 0 && errno == EINTR);
      taken += n >= 0 ? 1 : 0;
    }
    return taken;
  }

  // --- runs of packets a call ---

  std::error_code fill_runs(std::vector<Datagram>& batch) {
    if (!area) area = std::make_unique<std::uint8_t[]>(kLargestRun);
    while (batch.size() < kBatch) {
      vnet::Header header;
      iovec parts[] = {{header.data(), header.size()}, {area.get(), kLargestRun}};
      const ssize_t n = ::readv(fd(), parts, 2);
      if (n < 0) {
        if (errno == EINTR) continue;
        return errno == EAGAIN ? std::error_code() : last_system_error();
      }
      if (n == 0) return Errc::kEof;
      const std::span packet(area.get(), static_cast<std::size_t>(n) - std::min<std::size_t>(n, header.size()));
      packets.clear();
      if (!vnet::split(header, packet, room, environment.pool, packets)) ++dropped;
      for (Buffer& whole : packets) batch.push_back({.payload = std::move(whole), .peer = {}});
    }
    return {};
  }

  std::size_t send_runs(std::span<Datagram> datagrams) {
    views.clear();
    for (Datagram& datagram : datagrams) {
      if (!datagram.payload.empty()) views.push_back(datagram.payload.span());
    }
    std::size_t taken = 0;
    for (std::span<const std::span<std::uint8_t>> rest(views); !rest.empty();) {
      const std::size_t count = vnet::mergeable(rest.first(std::min(rest.size(), kMostParts - 1)), offload.udp);
      if (write_run(rest.first(count))) taken += count;
      rest = rest.subspan(count);
    }
    return taken;
  }

  bool write_run(std::span<const std::span<std::uint8_t>> run) {
    vnet::Header header{};
    const std::size_t headers = run.size() > 1 ? vnet::merge(run, header) : 0;
    std::array<iovec, kMostParts> parts;
    parts[0] = {header.data(), header.size()};
    parts[1] = {run[0].data(), run[0].size()};
    for (std::size_t i = 1; i < run.size(); ++i) parts[i + 1] = {run[i].data() + headers, run[i].size() - headers};
    ssize_t n;
    do {
      n = ::writev(fd(), parts.data(), static_cast<int>(run.size() + 1));
    } while (n < 0 && errno == EINTR);
    return n >= 0;
  }

  std::size_t mtu;
  Offload offload;
  std::unique_ptr<std::uint8_t[]> area;  // where a run arrives
  std::vector<Buffer> packets;           // kept from call to call, as are the next
  std::vector<std::span<std::uint8_t>> views;
};

class TunConduit final : public PacketConduit {
 public:
  explicit TunConduit(std::shared_ptr<State> state) : state_(std::move(state)) {}
  ~TunConduit() override { state_->close(); }

  std::size_t send(std::span<Datagram> datagrams) override { return state_->send(datagrams); }
  void receive(ReceiveHandler handler) override { state_->receive(std::move(handler)); }
  void close() override { state_->close(); }
  std::size_t mtu() const override { return state_->mtu; }
  Overhead overhead() const override { return {}; }
  void reserve(Overhead room) override { state_->room = room; }
  std::uint64_t dropped() const override { return state_->dropped; }
  const Executor& executor() const override { return state_->environment.executor; }

 private:
  std::shared_ptr<State> state_;
};

TunResult failed(int fd, const std::string& what) {
  TunResult result{.error = last_system_error(), .what = {}, .conduit = nullptr, .name = {}};
  result.what = what + ": " + result.error.message();
  if (fd >= 0) ::close(fd);
  return result;
}

// The MTU, and up. Interfaces are configured through any socket.
bool configure(const char* name, std::uint16_t mtu) {
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return false;
  ifreq request{};
  std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  request.ifr_mtu = mtu;
  bool good = ::ioctl(socket, SIOCSIFMTU, &request) == 0 && ::ioctl(socket, SIOCGIFFLAGS, &request) == 0;
  request.ifr_flags |= IFF_UP;
  good = good && ::ioctl(socket, SIOCSIFFLAGS, &request) == 0;
  const int error = errno;
  ::close(socket);
  errno = error;
  return good;
}

// Addresses and routes that are there already are no error: of another queue, or of a persistent interface.
bool add_all(const std::string& name, const TunOptions& options, std::string& what) {
  std::error_code error;
  for (const Prefix& address : options.addresses) {
    what = "give " + name + " the address " + address.to_string();
    error = add_address(name, address);
    if (error && error != std::errc::file_exists) break;
    error.clear();
  }
  for (const Prefix& to : options.routes) {
    if (error) break;
    what = "route " + to.to_string() + " to " + name;
    error = add_route(name, {.to = to});
    if (error == std::errc::file_exists) error.clear();
  }
  errno = error.value();
  return !error;
}

}  // namespace

TunResult open_tun(Environment& environment, const TunOptions& options) {
  const int fd = ::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return failed(fd, "open /dev/net/tun");
  ifreq request{};
  request.ifr_flags = static_cast<short>(IFF_TUN | IFF_NO_PI | (options.offload ? IFF_VNET_HDR : 0) |
                                         (options.multi_queue ? IFF_MULTI_QUEUE : 0));
  if (options.name.size() >= IFNAMSIZ) {
    errno = ENAMETOOLONG;
    return failed(fd, "make the interface " + options.name);
  }
  std::memcpy(request.ifr_name, options.name.data(), options.name.size());
  if (::ioctl(fd, TUNSETIFF, &request) != 0) return failed(fd, "make the interface " + options.name);
  const std::string name = request.ifr_name;
  if (!configure(name.c_str(), options.mtu)) return failed(fd, "set up the interface " + name);
  std::string what;
  if (!add_all(name, options, what)) return failed(fd, what);
  Offload offload{.runs = options.offload};
  if (options.offload) {
    constexpr unsigned kTcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
    offload.udp = ::ioctl(fd, TUNSETOFFLOAD, kTcp | kUdpOffloads) == 0;
    if (!offload.udp && ::ioctl(fd, TUNSETOFFLOAD, kTcp) != 0) return failed(fd, "set the offloads of " + name);
  }
  return {.error = {},
          .what = {},
          .conduit = std::make_unique<TunConduit>(std::make_shared<State>(environment, fd, options.mtu, offload)),
          .name = name};
}

ConduitPtr adopt_tun(Environment& environment, int fd, std::uint16_t mtu) {
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  return std::make_unique<TunConduit>(std::make_shared<State>(environment, fd, mtu, Offload{}));
}

}  // namespace winze
