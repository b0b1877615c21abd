#include "winze/chain/session.h"

#include <asio/post.hpp>
#include <cstring>
#include <utility>

#include "account.h"
#include "carried.h"
#include "forward.h"
#include "record.h"
#include "refusal.h"
#include "winze/base/error.h"
#include "winze/io/udp.h"
#include "winze/layer/socks_association.h"
#include "winze/proto/mux/error.h"
#include "winze/proto/proxy_protocol/header.h"

namespace winze::chain {
namespace {

struct Session : std::enable_shared_from_this<Session> {
  Session(Environment& env, std::shared_ptr<const Inbound> in, StreamPtr accepted, absl::AnyInvocable<void()> on_done)
      : environment(env), inbound(std::move(in)), client(std::move(accepted)), done(std::move(on_done)) {
    connection.inbound = inbound->tag;
    connection.source = client->remote();
    account.inbound = Open(inbound->traffic);
    begun = environment.clock.now();
  }
  // One of a carrier's.
  Session(Environment& env, std::shared_ptr<const Inbound> in, Connection known, StreamPtr accepted,
          absl::AnyInvocable<void()> on_done)
      : environment(env),
        inbound(std::move(in)),
        client(std::move(accepted)),
        done(std::move(on_done)),
        connection(std::move(known)),
        carried(true) {
    account.inbound = Open(inbound->traffic);
    begun = environment.clock.now();
  }

  // --- the layers, lowest first ---

  void open_transport(std::size_t index) {
    if (index == inbound->transports.size()) return open_proxy();
    const Inbound::Transport& transport = inbound->transports[index];
    step = open_codec(environment, std::move(client), transport.make(), time_left(),
                      [self = shared_from_this(), index](Opened opened) {
                        const Inbound::Transport& opening = self->inbound->transports[index];
                        if (opened.error) {
                          self->connection.detail = detail_of(opened);
                          return self->fail(opening.name, opened.error);
                        }
                        if (opening.learn) opening.learn(*opened.codec, self->connection);
                        self->client = std::move(opened.stream);
                        self->open_transport(index + 1);
                      });
  }

  void open_proxy() {
    if (!inbound->make_proxy) {
      if (!carried) connection.destination = inbound->destination;
      const bool carrier = !carried && is_carrier(connection.destination);
      if (!admit(carrier ? Asking::kCarrier : Asking::kConnection)) return;
      if (!carrier) return dial();
      return inbound->mux.accepts ? start_carrier() : refuse("mux", Errc::kRefusedPolicy);
    }
    step = open_codec(environment, std::move(client), inbound->make_proxy(connection), time_left(),
                      [self = shared_from_this()](Opened opened) { self->on_proxy(std::move(opened)); });
  }

  void on_proxy(Opened opened) {
    if (opened.error) {
      if (auto first = bytes_of_stranger(opened)) return fall_back(std::move(opened), std::move(*first));
      connection.detail = detail_of(opened);
      return fail(inbound->protocol, opened.error);
    }
    client = std::move(opened.stream);
    proxy = static_cast<ProxyServerCodec*>(opened.codec);
    if (proxy->is_forward()) return start_forward();
    connection.destination = proxy->request().destination;
    connection.user = proxy->request().user;
    const bool carrier = !carried && is_carrier(connection.destination);
    if (!admit(carrier ? Asking::kCarrier : Asking::kConnection)) return;
    if (carrier) return inbound->mux.accepts ? grant_carrier() : refuse("mux", Errc::kRefusedPolicy);
    connection.destination.network == Network::kUdp ? open_conduit() : dial();
  }

  // Whether the user is served; if not it is being refused.
  bool admit(Asking asking = Asking::kConnection) {
    if (!inbound->users || connection.user.empty()) return true;
    Users::Decision decision = inbound->users->admit(
        environment, connection.user, connection.source.address,
        [weak = weak_from_this()](std::error_code error) {
          if (const auto self = weak.lock()) self->dismiss(error);
        },
        asking);
    account.user = std::move(decision.admission);
    if (!decision.error) return true;
    connection.detail = std::move(decision.detail);
    refuse("user", decision.error);
    return false;
  }

  // The user is not served any longer.
  void dismiss(std::error_code error) {
    dismissed = error;
    cancel();
  }

  // The connection carries others.
  void grant_carrier() {
    proxy->grant({});
    if (!proxy->answers_at_once()) return start_carrier();
    client->write({}, [self = shared_from_this()](std::error_code error) {
      if (self->over) return;
      if (error) return self->fail(self->inbound->protocol, error);
      self->start_carrier();
    });
  }

  void start_carrier() {
    const ProxyRequest request = proxy != nullptr ? proxy->request() : ProxyRequest();
    step = serve_carrier(
        environment, inbound, connection, request, std::move(client),
        [self = shared_from_this()](std::error_code error) { error ? self->fail("mux", error) : self->end(); });
    connection.outbound = "mux";
  }

  // What a fallback is to see of one who has not said, up to the end or while there was time, what a user knows.
  std::optional<Buffer> bytes_of_stranger(Opened& opened) const {
    if (!opened.below || !inbound->fallback) return std::nullopt;
    auto& codec = static_cast<ProxyServerCodec&>(*opened.failed_codec);
    if (codec.is_stranger(opened.error)) return std::move(opened.unread);
    if (opened.error != Errc::kTruncated && opened.error != Errc::kTimedOut) return std::nullopt;
    return codec.take_received();
  }

  // Plain HTTP requests: each leaves a record of its own.
  void start_forward() {
    if (!inbound->forward) return fail(inbound->protocol, Errc::kUnsupported);
    reported = true;
    step = forward(environment, inbound, connection, std::move(client), [self = shared_from_this()] { self->end(); });
  }

  Duration time_left() const {
    if (inbound->policy.handshake == Duration::zero()) return Duration::zero();
    const Duration spent = environment.clock.now() - begun;
    return std::max(inbound->policy.handshake - spent, Duration(1));
  }

  // --- the request ---

  Route choose_route() {
    Route route = inbound->router(connection);
    connection.outbound = route.outbound;
    if (route.dialer) account.outbound = Open(route.traffic);
    return route;
  }

  void dial() {
    if (carried && is_carrier(connection.destination)) return refuse("mux", mux::Errc::kNestedMux);
    const Route route = choose_route();
    if (!route.dialer) return on_dialed(Errc::kRefusedPolicy, nullptr);
    dialer = route.dialer;
    step = dialer->dial(connection.destination, [self = shared_from_this()](DialError error, StreamPtr stream) {
      self->connection.detail = std::move(error.detail);
      self->on_dialed(error, std::move(stream));
    });
  }

  void on_dialed(std::error_code error, StreamPtr stream) {
    if (error == Errc::kAborted) return fail("dial", error);
    if (error) return refuse("dial", error);
    if (proxy == nullptr) return start_relay(std::move(stream));
    proxy->grant(stream->local());
    if (!proxy->answers_at_once()) return start_relay(std::move(stream));
    server = std::move(stream);
    client->write({}, [self = shared_from_this()](std::error_code write_error) {
      if (self->over) return;
      if (write_error) return self->fail(self->inbound->protocol, write_error);
      self->start_relay(std::move(self->server));
    });
  }

  void refuse(std::string_view stage, std::error_code error) {
    if (proxy == nullptr) {
      if (carried) client->abort();  // says that this is not an orderly end
      return fail(stage, error);
    }
    proxy->refuse(refusal_for(error));
    client->write({}, [self = shared_from_this(), stage, error](std::error_code) { self->fail(stage, error); });
  }

  RelayOptions options() const {
    const Policy policy = proxy != nullptr ? policy_for(*inbound, proxy->request().level) : inbound->policy;
    return relay_options(policy, account.meter());
  }

  void start_relay(StreamPtr stream) {
    step = relay(environment, std::move(client), std::move(stream), options(),
                 [self = shared_from_this()](const RelayResult& result) { self->relayed(result); });
  }

  void relayed(const RelayResult& result) {
    note(result, connection);
    if (result.error) return fail("relay", result.error);
    end();
  }

  // --- a request for UDP ---

  void open_conduit() {
    if (!inbound->packets_in_stream && !inbound->associates) return refuse("dial", Errc::kUnsupported);
    if (inbound->associates) connection.destination = everyone();
    const Route route = choose_route();
    if (!route.dialer) return refuse("dial", Errc::kRefusedPolicy);
    dialer = route.dialer;
    step =
        dialer->open_conduit(connection.destination, [self = shared_from_this()](DialError error, ConduitPtr conduit) {
          if (self->over) return;
          self->connection.detail = std::move(error.detail);
          if (error == Errc::kAborted) return self->fail("dial", error);
          if (error) return self->refuse("dial", error);
          self->inbound->associates ? self->associate(std::move(conduit)) : self->relay_in_stream(std::move(conduit));
        });
  }

  void relay_in_stream(ConduitPtr conduit) {
    proxy->grant({});
    // The conduit keeps the stream, and with it the codec.
    ConduitPtr near = inbound->packets_in_stream(environment, std::move(client), proxy->request());
    start_relay(std::move(near), std::move(conduit));
  }

  void associate(ConduitPtr conduit) {
    const IpAddress& client_address = connection.source.address;
    const IpAddress at = inbound->associate_at.value_or(client->local().address);
    // Of a Unix socket neither is known.
    if (client_address.is_unspecified() || at.is_unspecified()) return refuse("dial", Errc::kUnsupported);
    SocketResult opened = open_udp(environment, {.bind = {at, 0}, .keeps_area = false});
    if (opened.error) {
      connection.detail = opened.what;
      return refuse("dial", opened.error);
    }
    proxy->grant(opened.local);
    client->write({}, [self = shared_from_this(), socket = std::move(opened.conduit),
                       conduit = std::move(conduit)](std::error_code error) mutable {
      if (self->over) return;
      if (error) return self->fail(self->inbound->protocol, error);
      const IpAddress& from = self->connection.source.address;
      self->start_relay(socks::server_association(std::move(self->client), std::move(socket), from),
                        std::move(conduit));
    });
  }

  void start_relay(ConduitPtr near, ConduitPtr far) {
    step = relay(environment, std::move(near), std::move(far), options(),
                 [self = shared_from_this()](const RelayResult& result) { self->relayed(result); });
  }

  // --- fallback: the bytes read so far go where a web server answers ---

  void fall_back(Opened opened, Buffer first) {
    std::optional<FallbackTarget> target = inbound->fallback(connection, std::as_const(first).span());
    if (!target) return fail(inbound->protocol, opened.error);
    client = std::move(opened.below);
    connection.outbound = "fallback";
    connection.detail = opened.error.message();
    if (target->proxy_protocol != 0) put_source(target->proxy_protocol, first);
    dialer = target->dialer;
    step = dialer->dial(
        {}, [self = shared_from_this(), first = std::move(first)](std::error_code error, StreamPtr stream) mutable {
          if (error) return self->fail("fallback", error);
          self->server = std::move(stream);
          self->server->write(std::move(first), [self](std::error_code write_error) {
            if (self->over) return;
            if (write_error) return self->fail("fallback", write_error);
            self->start_relay(std::move(self->server));
          });
        });
  }

  void put_source(int version, Buffer& first) const {
    Buffer header;
    proxy_protocol::encode(version, proxy_protocol::Addresses{connection.source, client->local()}, header);
    std::memcpy(first.prepend(header.size()), header.data(), header.size());
  }

  // --- the end ---

  void fail(std::string_view stage, std::error_code error) {
    connection.stage = dismissed ? "user" : stage;
    connection.error = dismissed ? dismissed : error;
    end();
  }

  void end() {
    if (std::exchange(over, true)) return;
    step.detach();
    client.reset();
    server.reset();
    account = {};
    connection.duration = environment.clock.now() - begun;
    if (inbound->on_end && !reported) inbound->on_end(connection);
    if (auto report = std::exchange(done, nullptr)) report();
  }

  void cancel() {
    if (over) return;
    cancelled = true;
    // Whatever is under way ends with kAborted, and so does the session; a write in between has no Pending of its own.
    step.cancel();
    if (client) client->abort();
    if (server) server->abort();
    asio::post(environment.executor, [self = shared_from_this()] { self->fail("session", Errc::kAborted); });
  }

  Environment& environment;
  std::shared_ptr<const Inbound> inbound;
  StreamPtr client;
  StreamPtr server;
  DialerPtr dialer;  // kept while it dials
  ProxyServerCodec* proxy = nullptr;
  absl::AnyInvocable<void()> done;
  Connection connection;
  Account account;
  std::error_code dismissed;  // why the user is not served any longer
  TimePoint begun;
  Pending step;
  bool carried = false;
  bool cancelled = false;
  bool reported = false;  // by others
  bool over = false;
};

// Not within the call that serves it: one that is refused ends at once.
Pending begin(std::shared_ptr<Session> session) {
  asio::post(session->environment.executor, [session] {
    if (!session->cancelled) session->open_transport(0);
  });
  return Pending([weak = std::weak_ptr(session)] {
    if (auto strong = weak.lock()) strong->cancel();
  });
}

}  // namespace

Pending serve(Environment& environment, std::shared_ptr<const Inbound> inbound, StreamPtr stream,
              absl::AnyInvocable<void()> done) {
  return begin(std::make_shared<Session>(environment, std::move(inbound), std::move(stream), std::move(done)));
}

Pending serve_carried(Environment& environment, std::shared_ptr<const Inbound> inbound, Connection known,
                      StreamPtr stream, absl::AnyInvocable<void()> done) {
  return begin(
      std::make_shared<Session>(environment, std::move(inbound), std::move(known), std::move(stream), std::move(done)));
}

}  // namespace winze::chain
