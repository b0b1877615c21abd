#include "udp_dial.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "winze/base/error.h"
#include "winze/io/conduit_layer.h"

namespace winze {
namespace {

constexpr std::size_t kSocketBuffer = 256 << 10;
constexpr std::size_t kNames = 64;
constexpr std::size_t kWaiting = 16;  // datagrams for each name, while it is resolved
// A name keeps its address until it has been out of use for so long: the mapping of a flow must not go away earlier
// (RFC 4787 section 4.3).
constexpr Duration kKeep = std::chrono::minutes(2);
constexpr Duration kKeepFailure = std::chrono::seconds(5);

// The address for each host name.
class NameLayer final : public DatagramLayer, public std::enable_shared_from_this<NameLayer> {
 public:
  NameLayer(Environment& environment, PacketConduit& socket, const Destination& only, const TcpDialOptions& options)
      : environment_(environment), socket_(socket), only_(only), options_(options) {}

  Verdict outgoing(Datagram& datagram) override {
    if (!is_everyone(only_)) datagram.peer = only_;
    const std::string* host = datagram.peer.name();
    if (host == nullptr) return Verdict::kPass;
    Name& name = find(*host);
    if (name.lookup) {
      if (name.waiting.size() == kWaiting) return Verdict::kDrop;
      name.waiting.push_back(std::move(datagram));
      return Verdict::kTake;
    }
    if (!name.address) return Verdict::kDrop;
    name.good_until = environment_.clock.now() + kKeep;
    datagram.peer.host = *name.address;
    return Verdict::kPass;
  }

  bool incoming(Datagram& datagram) override {
    if (is_everyone(only_)) return true;
    if (datagram.peer.port != only_.port) return false;
    if (!only_.is_name()) return datagram.peer.host == only_.host;
    const auto name = names_.find(*only_.name());
    return name != names_.end() && name->second.address &&
           datagram.peer.host == decltype(only_.host)(*name->second.address);
  }

  std::uint64_t dropped() const override { return dropped_; }

 private:
  struct Name {
    std::optional<Pending> lookup;     // under way
    std::optional<IpAddress> address;  // none: the name has no usable one
    TimePoint good_until;
    std::vector<Datagram> waiting;
  };

  Name& find(const std::string& host) {
    const TimePoint now = environment_.clock.now();
    auto found = names_.find(host);
    if (found != names_.end() && !found->second.lookup && found->second.good_until <= now) {
      names_.erase(found);
      found = names_.end();
    }
    if (found != names_.end()) return found->second;
    if (names_.size() == kNames) {
      const auto oldest =
          std::ranges::min_element(names_, {}, [](const auto& entry) { return entry.second.good_until; });
      dropped_ += oldest->second.waiting.size();
      names_.erase(oldest);
    }
    Name& name = names_[host];
    name.good_until = now;
    name.lookup = environment_.resolver.resolve(
        host, [weak = weak_from_this(), host](std::error_code error, const std::vector<IpAddress>& addresses) {
          const auto self = weak.lock();
          // Aborted: the name gave way to others.
          if (self && error != Errc::kAborted) self->resolved(host, addresses);
        });
    return name;
  }

  void resolved(const std::string& host, const std::vector<IpAddress>& addresses) {
    const auto found = names_.find(host);
    if (found == names_.end() || !found->second.lookup) return;
    Name& name = found->second;
    name.lookup->detach();
    name.lookup.reset();
    name.address = choose(addresses);
    name.good_until = environment_.clock.now() + (name.address ? kKeep : kKeepFailure);
    std::vector<Datagram> waiting = std::exchange(name.waiting, {});
    if (!name.address) {
      dropped_ += waiting.size();
      return;
    }
    for (Datagram& datagram : waiting) datagram.peer.host = *name.address;
    socket_.send(waiting);
  }

  std::optional<IpAddress> choose(const std::vector<IpAddress>& addresses) const {
    using Family = TcpDialOptions::Family;
    std::optional<IpAddress> chosen;
    for (const IpAddress& address : addresses) {
      if (options_.family == (address.is_v4() ? Family::kV6 : Family::kV4)) continue;
      if (options_.bind_address && options_.bind_address->is_v4() != address.is_v4()) continue;
      if (!chosen || (chosen->is_v6() && address.is_v4())) chosen = address;
    }
    return chosen;
  }

  Environment& environment_;
  PacketConduit& socket_;
  Destination only_;
  TcpDialOptions options_;
  std::map<std::string, Name, std::less<>> names_;
  std::uint64_t dropped_ = 0;
};

}  // namespace

SocketResult udp_dial(Environment& environment, const Destination& destination, const TcpDialOptions& options) {
  UdpOptions udp{
      .keeps_area = false,
      .socket = {.mark = options.socket.mark, .interface = options.socket.interface, .buffer_bytes = kSocketBuffer},
      .toward = destination};
  udp.bind.address = options.bind_address.value_or(*IpAddress::parse("::"));
  SocketResult result = open_udp(environment, udp);
  if (result.error == std::errc::address_family_not_supported && !options.bind_address) {
    // A kernel without IPv6.
    udp.bind.address = IpAddress();
    result = open_udp(environment, udp);
  }
  if (result.error) return result;
  auto layer = std::make_shared<NameLayer>(environment, *result.conduit, destination, options);
  result.conduit = layered_conduit(std::move(result.conduit), std::move(layer));
  return result;
}

}  // namespace winze
