#include "winze/layer/shadowsocks_conduit.h"

#include <utility>

#include "winze/io/conduit_layer.h"
#include "winze/io/dialer.h"

namespace winze::shadowsocks {
namespace {

class ClientSide final : public DatagramLayer {
 public:
  ClientSide(Environment& environment, std::shared_ptr<const Keys> keys, const Destination& server,
             const Destination& destination)
      : client_(std::move(keys), surroundings(environment)), server_(server), destination_(destination) {
    server_.network = Network::kUdp;
  }

  Overhead overhead() const override { return client_.overhead(); }
  Verdict outgoing(Datagram& datagram) override {
    const Destination& to = is_everyone(destination_) ? datagram.peer : destination_;
    if (!client_.seal(datagram.payload, to)) return Verdict::kDrop;
    datagram.peer = server_;
    return Verdict::kPass;
  }
  bool incoming(Datagram& datagram) override {
    if (client_.open(datagram.payload, datagram.peer) != Drop::kNone) return false;
    if (is_everyone(destination_)) return true;
    // Of a name the server may say which address it stands for.
    if (datagram.peer.port != destination_.port) return false;
    return datagram.peer.is_name() != destination_.is_name() || datagram.peer.host == destination_.host;
  }

 private:
  DatagramClient client_;
  Destination server_;
  Destination destination_;
};

class ServerSide final : public SessionProtocol {
 public:
  ServerSide(Environment& environment, const std::shared_ptr<const ServerOptions>& options)
      : numbered_(is_2022(options->method)), server_(options, surroundings(environment)) {}

  Overhead overhead() const override { return server_.overhead(); }
  std::optional<SessionKey> open(Datagram& datagram) override {
    SessionKey key;
    if (!numbered_) key.source = {*datagram.peer.address(), datagram.peer.port};
    if (server_.open(datagram.payload, datagram.peer, key.number) != Drop::kNone) return std::nullopt;
    // Port 0 is nobody's.
    if (datagram.peer.port == 0) return std::nullopt;
    return key;
  }
  bool seal(const SessionKey& session, Datagram& datagram) override {
    return server_.seal(datagram.payload, datagram.peer, session.number);
  }
  void identify(const SessionKey& session, SessionSource& source) const override {
    Account account = server_.account(session.number);
    source.user = std::move(account.name);
    source.level = account.level;
  }
  void end(const SessionKey& session) override { server_.end(session.number); }

 private:
  bool numbered_;
  DatagramServer server_;
};

}  // namespace

ConduitPtr client_conduit(Environment& environment, std::shared_ptr<const Keys> keys, ConduitPtr datagrams,
                          const Destination& server, const Destination& destination) {
  return layered_conduit(std::move(datagrams),
                         std::make_shared<ClientSide>(environment, std::move(keys), server, destination));
}

std::unique_ptr<SessionProtocol> server_sessions(Environment& environment,
                                                 std::shared_ptr<const ServerOptions> options) {
  return std::make_unique<ServerSide>(environment, options);
}

}  // namespace winze::shadowsocks
