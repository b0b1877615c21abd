#include "forward.h"

#include <array>
#include <asio/post.hpp>
#include <optional>
#include <utility>

#include "account.h"
#include "record.h"
#include "refusal.h"
#include "winze/base/error.h"
#include "winze/io/gate.h"
#include "winze/io/idle_timer.h"
#include "winze/proto/http/answer.h"
#include "winze/proto/http/forward_request.h"
#include "winze/proto/http/forward_response.h"

namespace winze::chain {
namespace {

// How long a client may stay silent between two requests, as it is told.
constexpr unsigned kKeepAliveSeconds = 60;

// Where the bytes of one request and its response are counted, and what holds them back.
struct Metered {
  struct Flow {
    Gate gate;
    Buffer rest;  // to be written
    Stream::WriteHandler then;
  };

  Metered(Environment& environment, Account of)
      : account(std::move(of)),
        meter(account.meter()),
        flows{Flow{Gate(environment, meter, Way::kUp), {}, nullptr},
              Flow{Gate(environment, meter, Way::kDown), {}, nullptr}} {}

  Flow& flow(Way way) { return flows[static_cast<std::size_t>(way)]; }
  void stop() {
    for (Flow& each : flows) each.gate.stop();
  }

  Account account;
  Meter meter;
  std::array<Flow, 2> flows;
};

struct Forward : std::enable_shared_from_this<Forward> {
  Forward(Environment& env, std::shared_ptr<const Inbound> in, const Connection& connection, StreamPtr stream,
          absl::AnyInvocable<void()> on_done)
      : environment(env),
        inbound(std::move(in)),
        pattern(connection),
        record(connection),
        client(std::move(stream)),
        requests(*inbound->forward),
        idle(env.clock),
        done(std::move(on_done)) {}

  // --- one request after the other ---

  void next_request() {
    record = pattern;
    begun = environment.clock.now();
    exchange_open = false;
    constexpr Duration kKeepAlive = std::chrono::seconds(kKeepAliveSeconds);
    const Duration limit = inbound->policy.idle;
    limit_silence(limit == Duration::zero() ? kKeepAlive : std::min(limit, kKeepAlive));
    pump_request({});
  }

  // Feeds the request engine, with what the client has sent.
  void pump_request(Buffer more) {
    from_client.append(std::as_const(more).span());
    for (;;) {
      if (over) return;
      Buffer out;
      switch (requests.feed(from_client, out)) {
        case http::ForwardRequests::Event::kMore:
          return read_client();
        case http::ForwardRequests::Event::kHead:
          return dial(std::move(out));
        case http::ForwardRequests::Event::kBody:
          return write_origin(std::move(out), false);
        case http::ForwardRequests::Event::kEnd:
          // Now, not when it is written: the response may come first, and the client is kept if all of it was taken.
          response->request_ended();
          return write_origin(std::move(out), true);
        case http::ForwardRequests::Event::kConnect:
          return end({}, {});
        case http::ForwardRequests::Event::kRejected:
          if (response && response->has_answered()) out.release();
          return answer_and_end("http", requests.error(), std::move(out));
      }
    }
  }

  void read_client() {
    client->read([self = shared_from_this()](std::error_code error, Buffer data) {
      if (self->over) return;
      self->idle.touch();
      if (!error) return self->pump_request(std::move(data));
      const bool orderly = error == Errc::kEof && self->requests.is_between() && !self->exchange_open;
      self->end(orderly ? "" : "request", orderly ? std::error_code() : error);
    });
  }

  void dial(Buffer head) {
    exchange_open = true;
    limit_silence(policy_for(*inbound, requests.request().proxy.level).idle);
    record.destination = requests.request().proxy.destination;
    record.user = requests.request().proxy.user;
    Account account;
    if (std::error_code error = admit(account)) return refuse("user", error);
    const Route route = inbound->router(record);
    record.outbound = route.outbound;
    if (!route.dialer) return refuse("dial", Errc::kRefusedPolicy);
    account.outbound = Open(route.traffic);
    metered.emplace(environment, std::move(account));
    dialer = route.dialer;
    step = dialer->dial(record.destination,
                        [self = shared_from_this(), head = std::move(head)](DialError error, StreamPtr stream) mutable {
                          if (self->over) return;
                          self->record.detail = std::move(error.detail);
                          if (error) return self->refuse("dial", error);
                          self->origin = std::move(stream);
                          self->response.emplace(self->requests.request(), kKeepAliveSeconds);
                          self->write_head(std::move(head));
                        });
  }

  std::error_code admit(Account& account) {
    // The session counts the connection; what passes is counted here too.
    account.through = inbound->traffic;
    if (!inbound->users || record.user.empty()) return {};
    Users::Decision decision = inbound->users->admit(environment, record.user, record.source.address,
                                                     [weak = weak_from_this()](std::error_code error) {
                                                       if (const auto self = weak.lock()) self->dismiss(error);
                                                     });
    account.user = std::move(decision.admission);
    record.detail = std::move(decision.detail);
    return decision.error;
  }

  // The response is read from then on, so that a request without a body has ended before its head passes.
  void write_head(Buffer head) {
    write(Way::kUp, std::move(head), [self = shared_from_this()](std::error_code error) {
      if (self->over) return;
      self->read_origin();
      // The origin may have answered early and closed; its response decides.
      if (!error) self->pump_request({});
    });
  }

  void refuse(std::string_view stage, std::error_code error) {
    Buffer answer;
    http::append_answer(http::status_of(refusal_for(error)), inbound->forward->realm, answer);
    answer_and_end(stage, error, std::move(answer));
  }

  void write_origin(Buffer data, bool last) {
    write(Way::kUp, std::move(data), [self = shared_from_this(), last](std::error_code error) {
      if (self->over || !self->response) return;
      // The origin may have answered early and closed; its response decides.
      if (error) return;
      if (!last) return self->pump_request({});
      self->request_complete = true;
      if (self->response_complete) self->finish_exchange();
    });
  }

  // --- the response ---

  void read_origin() {
    origin->read([self = shared_from_this()](std::error_code error, Buffer data) {
      if (self->over) return;
      self->idle.touch();
      if (!error) {
        self->from_origin = std::move(data);
        return self->pump_response();
      }
      Buffer out;
      const auto event = self->response->end(error == Errc::kEof, out);
      self->on_response(event, std::move(out));
    });
  }

  void pump_response() {
    Buffer out;
    const auto event = response->feed(from_origin, out);
    on_response(event, std::move(out));
  }

  void on_response(http::ForwardResponse::Event event, Buffer out) {
    using Event = http::ForwardResponse::Event;
    if (event == Event::kMore) return read_origin();
    if (event == Event::kFailed) return answer_and_end("response", response->error(), std::move(out));
    write(Way::kDown, std::move(out), [self = shared_from_this(), event](std::error_code error) {
      if (self->over) return;
      if (error) return self->end("client", error);
      if (event == Event::kBytes) return self->pump_response();
      self->response_complete = true;
      if (!self->response->keeps_client()) return self->end({}, {});
      if (self->request_complete) self->finish_exchange();
    });
  }

  void finish_exchange() {
    report({}, {});
    step.detach();
    origin.reset();
    response.reset();
    from_origin.release();
    request_complete = response_complete = false;
    next_request();
  }

  // --- writing, as the limits let it pass ---

  void write(Way way, Buffer data, Stream::WriteHandler then) {
    Metered::Flow& flow = metered->flow(way);
    flow.rest = std::move(data);
    flow.then = std::move(then);
    if (flow.rest.empty()) return write_piece(way, 0);
    write_next(way);
  }

  void write_next(Way way) {
    Metered::Flow& flow = metered->flow(way);
    const std::size_t size = std::min(flow.rest.size(), flow.gate.largest());
    flow.gate.enter(size, [self = shared_from_this(), way](std::size_t bytes) { self->write_piece(way, bytes); });
  }

  void write_piece(Way way, std::size_t bytes) {
    Stream& to = way == Way::kUp ? *origin : *client;
    Buffer piece = split_front(metered->flow(way).rest, bytes, to.overhead(), environment.pool);
    to.write(std::move(piece), [self = shared_from_this(), way, bytes](std::error_code error) {
      if (self->over || !self->metered) return;
      self->idle.touch();
      Metered::Flow& flow = self->metered->flow(way);
      if (!error) flow.gate.count(bytes);
      if (!error && !flow.rest.empty()) return self->write_next(way);
      std::exchange(flow.then, nullptr)(error);
    });
  }

  // --- the end ---

  void answer_and_end(std::string_view stage, std::error_code error, Buffer answer) {
    record.stage = stage;
    record.error = error;
    // Leaves time for the answer to go out, but not more than the handshake would have.
    limit_silence(inbound->policy.handshake);
    exchange_open = true;
    client->write(std::move(answer), [self = shared_from_this()](std::error_code) {
      if (self->over) return;
      self->client->shutdown_write([self](std::error_code) { self->end(self->record.stage, self->record.error); });
    });
  }

  void report(std::string_view stage, std::error_code error) {
    record.stage = stage;
    record.error = error;
    record.duration = environment.clock.now() - begun;
    if (metered) {
      record.up = metered->flow(Way::kUp).gate.bytes();
      record.down = metered->flow(Way::kDown).gate.bytes();
      metered->stop();
      metered.reset();
    }
    if (exchange_open && inbound->on_end) inbound->on_end(record);
  }

  void end(std::string_view stage, std::error_code error) {
    if (std::exchange(over, true)) return;
    report(std::string(stage), error);
    step.detach();
    idle.stop();
    client->close();
    if (origin) origin->close();
    if (auto finished = std::exchange(done, nullptr)) finished();
  }

  // The user is not served any longer.
  void dismiss(std::error_code error) {
    if (over) return;
    client->abort();
    if (origin) origin->abort();
    end("user", error);
  }

  void cancel() {
    if (over) return;
    step.cancel();
    asio::post(environment.executor, [self = shared_from_this()] { self->end("session", Errc::kAborted); });
  }

  // --- time ---

  // From now on.
  void limit_silence(Duration limit) {
    idle.touch();
    idle.start(limit, [weak = weak_from_this()] {
      const auto self = weak.lock();
      if (!self || self->over) return;
      self->end(self->exchange_open ? "idle" : "", self->exchange_open ? Errc::kTimedOut : std::error_code());
    });
  }

  Environment& environment;
  std::shared_ptr<const Inbound> inbound;
  Connection pattern;
  Connection record;
  StreamPtr client;
  StreamPtr origin;
  DialerPtr dialer;
  http::ForwardRequests requests;
  std::optional<http::ForwardResponse> response;
  std::optional<Metered> metered;  // while a request is under way
  Buffer from_client;
  Buffer from_origin;
  IdleTimer idle;
  absl::AnyInvocable<void()> done;
  Pending step;
  TimePoint begun;
  bool exchange_open = false;  // a request is under way: its end is worth a record
  bool request_complete = false;
  bool response_complete = false;
  bool over = false;
};

}  // namespace

Pending forward(Environment& environment, std::shared_ptr<const Inbound> inbound, const Connection& connection,
                StreamPtr client, absl::AnyInvocable<void()> done) {
  auto forwarding =
      std::make_shared<Forward>(environment, std::move(inbound), connection, std::move(client), std::move(done));
  forwarding->next_request();
  return Pending([weak = std::weak_ptr(forwarding)] {
    if (auto strong = weak.lock()) strong->cancel();
  });
}

}  // namespace winze::chain
