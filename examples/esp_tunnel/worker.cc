#include "worker.h"

#include <winze/io/tcp.h>
#include <winze/io/tun.h>

#include <asio/post.hpp>
#include <cstdio>

namespace esp_tunnel {

using namespace winze;
using tunnel::DataPlane;

absl::Status Worker::open(std::string& interface) {
  auto associations = make_associations(p_, index_, environment_.random);
  auto selectors = read_selectors(p_);
  auto addresses = read_prefixes(p_.addresses), routes = read_prefixes(p_.routes);
  for (const absl::Status& status : {associations.status(), selectors.status(), addresses.status(), routes.status()}) {
    if (!status.ok()) return status;
  }
  const auto local = Endpoint::parse(p_.local);
  if (!local) return absl::InvalidArgumentError("--local is ADDRESS:PORT, IPv6 in brackets");
  esp::ChildConfig config{.selectors = std::move(*selectors)};
  config.how.mode = p_.mode == "transport" ? esp::Mode::kTransport : esp::Mode::kTunnel;
  // Only for the MTU: which version the outer header is of, and whether there is a UDP header.
  const bool peer_is_v4 = !p_.peer.empty() && p_.peer.front() != '[';
  config.how.local = peer_is_v4 ? IpAddress() : local->address;
  config.how.remote_port = p_.raw ? 0 : local->port;
  inner_mtu_ = p_.tcp ? p_.mtu : esp::inner_mtu(associations->outbound, config.how, p_.mtu);
  config.path.mtu = inner_mtu_;
  TunResult tun = open_tun(environment_, {.name = interface,
                                          .mtu = static_cast<std::uint16_t>(inner_mtu_),
                                          .offload = !p_.no_offload,
                                          .multi_queue = p_.threads > 1,
                                          .addresses = *addresses,
                                          .routes = *routes});
  if (tun.error) return absl::UnavailableError(tun.what);
  interface = tun.name;
  plane_.emplace(environment_, std::move(tun.conduit),
                 tunnel::DataPlaneOptions{.keepalive = std::chrono::seconds(p_.keepalive)},
                 [this](std::error_code error) { on_end_(error.message()); });
  if (absl::Status status = open_carrier(config); !status.ok()) return status;
  child_ = &plane_->database().add(config);
  child_->set_outbound(std::move(associations->outbound));
  (void)plane_->database().add_inbound(*child_, std::move(associations->inbound));  // the only one: its SPI is free
  if (p_.statistics != 0) publish();
  return absl::OkStatus();
}

absl::Status Worker::open_carrier(esp::ChildConfig& config) { return p_.tcp ? open_stream() : open_socket(config); }

absl::Status Worker::open_socket(esp::ChildConfig& config) {
  const Endpoint local = *Endpoint::parse(p_.local);
  if (!p_.peer.empty()) {
    config.path.peer = Endpoint::parse(p_.peer);
    if (!config.path.peer) return absl::InvalidArgumentError("--peer is ADDRESS:PORT, IPv6 in brackets");
  }
  const DatagramSocketOptions socket{.path_mtu = PathMtu::kDiscover, .mark = p_.mark};
  UdpOptions udp{.bind = local, .reuse_port = p_.threads > 1, .offload = !p_.no_offload, .socket = socket};
  if (p_.threads > 1) udp.steering = Steering{.base = p_.in_spi, .count = p_.threads};
  SocketResult outer =
      p_.raw ? open_raw(environment_, {.bind = local.address, .socket = socket}) : open_udp(environment_, udp);
  if (outer.error) return absl::UnavailableError(outer.what);
  way_ = p_.raw ? "at " + local.address.to_string() : "in UDP at " + outer.local.to_string();
  const auto kind = p_.raw ? DataPlane::Carrier::kRaw : DataPlane::Carrier::kUdp;
  config.path.carrier = carrier_ = plane_->add_carrier(kind, std::move(outer.conduit), local.address);
  plane_->on_stray([this](std::uint32_t spi, Datagram& datagram) { return pass_on(spi, datagram); });
  return absl::OkStatus();
}

// To the thread whose the SPI is. A copy, because buffers go back to the pool of their own thread.
bool Worker::pass_on(std::uint32_t spi, Datagram& datagram) {
  const std::uint32_t number = spi - p_.in_spi;
  if (number >= p_.threads || number == index_) return false;
  Datagram copy{.payload = Buffer::copy_of(std::as_const(datagram.payload).span()),
                .peer = datagram.peer,
                .traffic_class = datagram.traffic_class,
                .local = datagram.local};
  Worker& owner = *all_[number];
  asio::post(owner.context_, [&owner, passed = std::move(copy)]() mutable {
    owner.plane_->take(owner.carrier_, std::span(&passed, 1));
  });
  return true;
}

absl::Status Worker::open_stream() { return p_.peer.empty() ? accept_streams() : connect_stream(); }

absl::Status Worker::connect_stream() {
  const auto peer = parse_host_port(p_.peer);
  if (!peer) return absl::InvalidArgumentError("--peer is HOST:PORT, IPv6 in brackets");
  DialerPtr dialer;
  if (p_.chain.empty()) {
    dialer = tcp_dialer(environment_, {.socket = {.mark = p_.mark}});
  } else {
    auto chain = Chain::load(p_.chain, environment_);
    if (!chain.ok()) return chain.status();
    chain_ = std::move(*chain);
    dialer = chain_->dialer();
  }
  way_ = "in TCP to " + peer->to_string() + (p_.chain.empty() ? "" : " through the chain of " + p_.chain);
  originator_.emplace(environment_, *plane_, dialer, *peer,
                      tunnel::StreamOriginator::Handlers{.on_up =
                                                             [this](std::uint32_t carrier) {
                                                               // The stream has one end only: any address will do.
                                                               child_->path.peer = Endpoint();
                                                               child_->path.carrier = carrier;
                                                             },
                                                         .on_down =
                                                             [](std::error_code error) {
                                                               std::fprintf(stderr, "esp_tunnel: the stream: %s\n",
                                                                            error.message().c_str());
                                                             }});
  return absl::OkStatus();
}

absl::Status Worker::accept_streams() {
  ListenResult listening = tcp_listen(environment_, *Endpoint::parse(p_.local));
  if (listening.error) return absl::UnavailableError(listening.what);
  way_ = "in TCP at " + listening.listener->local().to_string();
  responder_.emplace(environment_, *plane_, std::move(listening.listener));
  return absl::OkStatus();
}

void Worker::publish() {
  timer_->arm(environment_.clock.now() + std::chrono::seconds(1), [this] {
    const DataPlane::Counters now = plane_->counters();
    bytes_out_ = now.bytes_out;
    bytes_in_ = now.bytes_in;
    publish();
  });
}

std::uint64_t Worker::drops(esp::Drop drop) {
  return plane_->counters().drops[drop] + child_->outbound()->drops()[drop] +
         plane_->database().inbound(p_.in_spi + index_)->drops()[drop];
}

}  // namespace esp_tunnel
