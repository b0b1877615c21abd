#include "winze/layer/socks_association.h"

#include <optional>
#include <utility>

#include "winze/base/error.h"
#include "winze/io/conduit_layer.h"
#include "winze/proto/socks/address.h"

namespace winze::socks {
namespace {

// What both sides have in common.
class Association : public DatagramLayer, public std::enable_shared_from_this<Association> {
 public:
  Association(StreamPtr control, PacketConduit& below) : control_(std::move(control)), below_(below) {}

  Overhead overhead() const override { return {.front = kMaxDatagramHeader, .back = 0}; }
  std::error_code ended() const override { return ended_; }

  void watch() {
    control_->read([weak = weak_from_this()](std::error_code error, Buffer) {
      const auto self = weak.lock();
      if (!self) return;
      if (!error) return self->watch();
      self->ended_ = error;
      self->below_.close();
    });
  }

 private:
  StreamPtr control_;
  PacketConduit& below_;
  std::error_code ended_;
};

class ClientSide final : public Association {
 public:
  ClientSide(StreamPtr control, PacketConduit& below, const Destination& relay, const Destination& destination)
      : Association(std::move(control), below), relay_(relay), destination_(destination) {}

  Verdict outgoing(Datagram& datagram) override {
    const Destination& to = is_everyone(destination_) ? datagram.peer : destination_;
    if (!seal_datagram(datagram.payload, to)) return Verdict::kDrop;
    datagram.peer = relay_;
    return Verdict::kPass;
  }
  bool incoming(Datagram& datagram) override {
    if (open_datagram(datagram.payload, datagram.peer) != Drop::kNone) return false;
    // Of a name the server may say which address it stands for.
    const bool comparable = datagram.peer.is_name() == destination_.is_name();
    return is_everyone(destination_) ||
           (comparable ? datagram.peer == destination_ : datagram.peer.port == destination_.port);
  }

 private:
  Destination relay_;
  Destination destination_;
};

class ServerSide final : public Association {
 public:
  ServerSide(StreamPtr control, PacketConduit& below, const IpAddress& client)
      : Association(std::move(control), below), client_(client) {}

  Verdict outgoing(Datagram& datagram) override {
    if (!peer_ || !seal_datagram(datagram.payload, datagram.peer)) return Verdict::kDrop;
    datagram.peer = *peer_;
    return Verdict::kPass;
  }
  bool incoming(Datagram& datagram) override {
    const Destination from = datagram.peer;
    const IpAddress* address = from.address();
    if (address == nullptr || *address != client_ || (peer_ && peer_->port != from.port)) return false;
    if (open_datagram(datagram.payload, datagram.peer) != Drop::kNone || datagram.peer.port == 0) return false;
    if (!peer_) peer_ = from;
    return true;
  }

 private:
  IpAddress client_;
  std::optional<Destination> peer_;
};

ConduitPtr over(ConduitPtr below, std::shared_ptr<Association> association) {
  association->watch();
  return layered_conduit(std::move(below), std::move(association));
}

}  // namespace

ConduitPtr client_association(StreamPtr control, ConduitPtr datagrams, const Destination& relay,
                              const Destination& destination) {
  auto side = std::make_shared<ClientSide>(std::move(control), *datagrams, relay, destination);
  return over(std::move(datagrams), std::move(side));
}

ConduitPtr server_association(StreamPtr control, ConduitPtr socket, const IpAddress& client) {
  auto side = std::make_shared<ServerSide>(std::move(control), *socket, client);
  return over(std::move(socket), std::move(side));
}

}  // namespace winze::socks
