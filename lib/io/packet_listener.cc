#include "winze/io/packet_listener.h"

#include <asio/post.hpp>
#include <deque>
#include <map>
#include <utility>

#include "winze/base/error.h"
#include "winze/io/inbox.h"

namespace winze {
namespace {

// One session's end of the socket.
struct Session {
  Session(const Endpoint& from, const Executor& executor, std::size_t limit)
      : source(from), peer(from, Network::kUdp), inbox(executor, limit) {}
  Endpoint source;
  Destination peer;
  IpAddress local;  // that the latest datagram came to, and the answers leave from
  DatagramInbox inbox;
  std::uint64_t dropped = 0;
};

// Owned by the listener and by each session's conduit; the socket goes with the last of them.
struct Shared : std::enable_shared_from_this<Shared> {
  Shared(Environment& env, ConduitPtr conduit, const Endpoint& at, const SessionLimits& session_limits)
      : environment(env), socket(std::move(conduit)), local(at), limits(session_limits) {}

  void pump() {
    socket->receive([weak = weak_from_this()](std::error_code error, std::span<Datagram> datagrams) {
      const auto self = weak.lock();
      if (!self) return;
      if (error) return self->fail(error);
      for (Datagram& datagram : datagrams) self->sort(datagram);
      self->pump();
    });
  }

  void sort(Datagram& datagram) {
    const Endpoint source{*datagram.peer.address(), datagram.peer.port};
    auto found = sessions.find(source);
    if (found == sessions.end()) {
      if (closed || sessions.size() >= limits.sessions) return;
      auto session = std::make_shared<Session>(source, environment.executor, limits.bytes);
      found = sessions.emplace(source, session).first;
      fresh.push_back(std::move(session));
      offer();
    }
    found->second->local = datagram.local;
    if (!found->second->inbox.push(datagram)) ++found->second->dropped;
  }

  // A new session to whom accepts.
  void offer();
  void accept(PacketListener::Handler accepting) {
    if (closed || handler || failure) {
      const std::error_code error = closed ? Errc::kClosed : handler ? Errc::kBusy : failure;
      return asio::post(environment.executor,
                        [accepting = std::move(accepting), error]() mutable { accepting(error, nullptr, {}); });
    }
    handler = std::move(accepting);
    offer();
  }

  void close() {
    if (std::exchange(closed, true)) return;
    for (const auto& session : fresh) sessions.erase(session->source);
    fresh.clear();
    close_unused();
    if (!handler) return;
    asio::post(environment.executor,
               [handler = std::exchange(handler, nullptr)]() mutable { handler(Errc::kAborted, nullptr, {}); });
  }

  // The socket is gone, for the listener and for each session.
  void fail(std::error_code error) {
    failure = error;
    for (const auto& [source, session] : sessions) session->inbox.close(error);
    if (!handler) return;
    asio::post(environment.executor,
               [accepting = std::exchange(handler, nullptr), error]() mutable { accepting(error, nullptr, {}); });
  }

  void erase(const Endpoint& source) {
    sessions.erase(source);
    close_unused();
  }

  void close_unused() {
    if (closed && sessions.empty()) socket->close();
  }

  Environment& environment;
  ConduitPtr socket;
  Endpoint local;
  SessionLimits limits;
  std::map<Endpoint, std::shared_ptr<Session>> sessions;
  std::deque<std::shared_ptr<Session>> fresh;  // not accepted yet
  PacketListener::Handler handler;
  std::error_code failure;
  bool closed = false;
};

class SessionConduit final : public PacketConduit {
 public:
  SessionConduit(std::shared_ptr<Shared> shared, std::shared_ptr<Session> session)
      : shared_(std::move(shared)), session_(std::move(session)) {}
  ~SessionConduit() override { close(); }

  std::size_t send(std::span<Datagram> datagrams) override {
    for (Datagram& datagram : datagrams) {
      datagram.peer = session_->peer;
      datagram.local = session_->local;
    }
    const std::size_t taken = open_ ? shared_->socket->send(datagrams) : 0;
    session_->dropped += datagrams.size() - taken;
    return taken;
  }
  void receive(ReceiveHandler handler) override { session_->inbox.receive(std::move(handler)); }
  void close() override {
    if (!std::exchange(open_, false)) return;
    session_->inbox.close();
    shared_->erase(session_->source);
  }
  std::size_t mtu() const override { return shared_->socket->mtu(); }
  Overhead overhead() const override { return {}; }
  std::uint64_t dropped() const override { return session_->dropped; }
  const Executor& executor() const override { return shared_->environment.executor; }

 private:
  std::shared_ptr<Shared> shared_;
  std::shared_ptr<Session> session_;
  bool open_ = true;
};

void Shared::offer() {
  if (!handler || fresh.empty()) return;
  auto conduit = std::make_unique<SessionConduit>(shared_from_this(), fresh.front());
  asio::post(environment.executor,
             [accepting = std::exchange(handler, nullptr), conduit = std::move(conduit),
              source = fresh.front()->source]() mutable { accepting({}, std::move(conduit), source); });
  fresh.pop_front();
}

class UdpListener final : public PacketListener {
 public:
  explicit UdpListener(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) { shared_->pump(); }
  ~UdpListener() override { shared_->close(); }

  void accept(Handler handler) override { shared_->accept(std::move(handler)); }
  void close() override { shared_->close(); }
  Endpoint local() const override { return shared_->local; }

 private:
  std::shared_ptr<Shared> shared_;
};

}  // namespace

PacketListenResult udp_listen(Environment& environment, const UdpOptions& options, const SessionLimits& limits) {
  SocketResult opened = open_udp(environment, options);
  PacketListenResult result{.error = opened.error, .what = std::move(opened.what), .listener = nullptr};
  if (opened.error) return result;
  result.listener = std::make_unique<UdpListener>(
      std::make_shared<Shared>(environment, std::move(opened.conduit), opened.local, limits));
  return result;
}

}  // namespace winze
