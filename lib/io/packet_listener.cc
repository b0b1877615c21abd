#include "winze/io/packet_listener.h"

#include <algorithm>
#include <asio/post.hpp>
#include <deque>
#include <unordered_map>
#include <utility>

#include "winze/base/error.h"
#include "winze/io/inbox.h"

namespace winze {
namespace {

struct KeyHash {
  std::size_t operator()(const SessionKey& key) const {
    // FNV-1a over the few bytes that differ.
    std::uint64_t hash = 0xcbf29ce484222325;
    const auto mix = [&hash](std::uint64_t value) { hash = (hash ^ value) * 0x100000001b3; };
    for (const std::uint8_t byte : key.source.address.bytes()) mix(byte);
    mix(key.source.port);
    mix(key.number);
    return static_cast<std::size_t>(hash ^ hash >> 32);
  }
};

// Of those who have none: a session is what one endpoint sends.
class PlainSessions final : public SessionProtocol {
 public:
  Overhead overhead() const override { return {}; }
  std::optional<SessionKey> open(Datagram& datagram) override {
    return SessionKey{.source = {*datagram.peer.address(), datagram.peer.port}};
  }
  bool seal(const SessionKey&, Datagram&) override { return true; }
  void identify(const SessionKey&, SessionSource&) const override {}
  void end(const SessionKey&) override {}
};

// One session's end of the socket.
struct Session {
  Session(const SessionKey& session_key, const Destination& from, const Executor& executor, std::size_t limit)
      : key(session_key), peer(from), inbox(executor, limit) {
    source.endpoint = {*from.address(), from.port};
  }
  SessionKey key;
  SessionSource source;
  // Of the latest datagram: where it came from, and to; the answers go the same way back.
  Destination peer;
  IpAddress local;
  DatagramInbox inbox;
  std::uint64_t dropped = 0;
};

// Owned by the listener and by each session's conduit; the socket goes with the last of them.
struct Shared : std::enable_shared_from_this<Shared> {
  Shared(Environment& env, ConduitPtr conduit, const Endpoint& at, const SessionLimits& session_limits,
         std::unique_ptr<SessionProtocol> session_protocol)
      : environment(env),
        socket(std::move(conduit)),
        local(at),
        limits(session_limits),
        protocol(std::move(session_protocol)) {}

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
    Destination from = datagram.peer;
    const std::optional<SessionKey> key = protocol->open(datagram);
    if (!key) return;
    Session* session = find(*key, from);
    if (session == nullptr) return protocol->end(*key);
    session->peer = std::move(from);
    session->local = datagram.local;
    if (!session->inbox.push(datagram)) ++session->dropped;
  }

  // That there is, or a new one; null where there may be no more.
  Session* find(const SessionKey& key, const Destination& from) {
    const auto found = sessions.find(key);
    if (found != sessions.end()) return found->second.get();
    if (closed || sessions.size() >= limits.sessions) return nullptr;
    auto session = std::make_shared<Session>(key, from, environment.executor, limits.bytes);
    protocol->identify(key, session->source);
    sessions.emplace(key, session);
    fresh.push_back(session);
    offer();
    return session.get();
  }

  // Seals what a session sends, moved to the front, and sends it as one batch.
  std::size_t send(const Session& session, std::span<Datagram> datagrams) {
    std::size_t kept = 0;
    for (Datagram& datagram : datagrams) {
      if (!protocol->seal(session.key, datagram)) continue;
      datagram.peer = session.peer;
      datagram.local = session.local;
      if (&datagram != &datagrams[kept]) datagrams[kept] = std::move(datagram);
      ++kept;
    }
    return kept == 0 ? 0 : socket->send(datagrams.first(kept));
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
    for (const auto& session : fresh) erase(session->key);
    fresh.clear();
    close_unused();
    if (!handler) return;
    asio::post(environment.executor,
               [handler = std::exchange(handler, nullptr)]() mutable { handler(Errc::kAborted, nullptr, {}); });
  }

  // The socket is gone, for the listener and for each session.
  void fail(std::error_code error) {
    failure = error;
    for (const auto& [key, session] : sessions) session->inbox.close(error);
    if (!handler) return;
    asio::post(environment.executor,
               [accepting = std::exchange(handler, nullptr), error]() mutable { accepting(error, nullptr, {}); });
  }

  void erase(const SessionKey& key) {
    if (sessions.erase(key) != 0) protocol->end(key);
  }

  void close_unused() {
    if (closed && sessions.empty()) socket->close();
  }

  // For all sessions, as much as any has asked for.
  void reserve(Overhead wanted) {
    room = {std::max(room.front, wanted.front), std::max(room.back, wanted.back)};
    socket->reserve(room);
  }

  Environment& environment;
  ConduitPtr socket;
  Endpoint local;
  SessionLimits limits;
  std::unique_ptr<SessionProtocol> protocol;
  std::unordered_map<SessionKey, std::shared_ptr<Session>, KeyHash> sessions;
  std::deque<std::shared_ptr<Session>> fresh;  // not accepted yet
  PacketListener::Handler handler;
  std::error_code failure;
  Overhead room;
  bool closed = false;
};

class SessionConduit final : public PacketConduit {
 public:
  SessionConduit(std::shared_ptr<Shared> shared, std::shared_ptr<Session> session)
      : shared_(std::move(shared)), session_(std::move(session)) {}
  ~SessionConduit() override { close(); }

  std::size_t send(std::span<Datagram> datagrams) override {
    const std::size_t taken = open_ ? shared_->send(*session_, datagrams) : 0;
    session_->dropped += datagrams.size() - taken;
    return taken;
  }
  void receive(ReceiveHandler handler) override { session_->inbox.receive(std::move(handler)); }
  void close() override {
    if (!std::exchange(open_, false)) return;
    session_->inbox.close();
    shared_->erase(session_->key);
    shared_->close_unused();
  }
  std::size_t mtu() const override {
    const Overhead own = shared_->protocol->overhead();
    return shared_->socket->mtu() - own.front - own.back;
  }
  Overhead overhead() const override { return shared_->protocol->overhead() + shared_->socket->overhead(); }
  void reserve(Overhead room) override { shared_->reserve(room); }
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

PacketListenResult udp_listen(Environment& environment, const UdpOptions& options, const SessionLimits& limits,
                              std::unique_ptr<SessionProtocol> protocol) {
  SocketResult opened = open_udp(environment, options);
  PacketListenResult result{.error = opened.error, .what = std::move(opened.what), .listener = nullptr};
  if (opened.error) return result;
  if (!protocol) protocol = std::make_unique<PlainSessions>();
  result.listener = std::make_unique<UdpListener>(
      std::make_shared<Shared>(environment, std::move(opened.conduit), opened.local, limits, std::move(protocol)));
  return result;
}

}  // namespace winze
