#include <asio/post.hpp>
#include <list>
#include <utility>

#include "carried.h"
#include "record.h"
#include "winze/base/error.h"
#include "winze/io/codec_stream.h"
#include "winze/layer/mux_carrier.h"
#include "winze/layer/sing_conduit.h"
#include "winze/proto/mux/cool.h"
#include "winze/proto/mux/error.h"
#include "winze/proto/mux/sing.h"

namespace winze::chain {
namespace {

// What the connections on a carrier share. Of mux.cool's it is known what they are for; sing-mux's say it as those of a
// proxy protocol do.
std::shared_ptr<const Inbound> inbound_of(const Inbound& carrier, const Connection& connection, std::uint32_t level) {
  auto out = std::make_shared<Inbound>(carrier);
  out->transports.clear();
  out->fallback = nullptr;
  out->forward.reset();
  out->make_proxy = nullptr;
  out->protocol = "mux";
  out->policy = policy_for(carrier, level);
  out->policy_of = nullptr;
  if (mux::is_cool(connection.destination)) return out;
  out->make_proxy = [user = connection.user, level](const Connection&) {
    return std::make_unique<mux::sing::StreamServerCodec>(user, level);
  };
  out->associates = false;
  out->packets_in_stream = [](Environment& environment, StreamPtr stream, const ProxyRequest& request) {
    return mux::sing::stream_conduit(environment, std::move(stream), request.destination);
  };
  return out;
}

struct Carriage : std::enable_shared_from_this<Carriage> {
  Carriage(Environment& env, const Inbound& served, const Connection& carrier_connection, const ProxyRequest& request,
           absl::AnyInvocable<void(std::error_code)> on_done)
      : environment(env),
        inbound(inbound_of(served, carrier_connection, request.level)),
        known(carrier_connection),
        datagrams_only(request.datagrams_only),
        done(std::move(on_done)) {}

  void start(StreamPtr stream) {
    if (mux::is_cool(known.destination)) {
      return carry(std::move(stream), std::make_unique<mux::CoolSession>(mux::Role::kServer));
    }
    opening =
        open_codec(environment, std::move(stream),
                   std::make_unique<mux::sing::CarrierServerCodec>(inbound->mux.wants_padding, environment.random),
                   inbound->policy.handshake, [weak = weak_from_this()](Opened opened) {
                     if (const auto self = weak.lock()) self->opened(std::move(opened));
                   });
  }

  void opened(Opened opened) {
    opening.detach();
    if (opened.error) return carrier_ended(opened.error);
    const auto protocol = static_cast<mux::sing::CarrierServerCodec*>(opened.codec)->protocol();
    carry(std::move(opened.stream), mux::sing::make_session(protocol, mux::Role::kServer));
  }

  void carry(StreamPtr stream, std::unique_ptr<mux::Session> session) {
    carrier.emplace(
        environment, std::move(stream), std::move(session),
        mux::CarrierOptions{.max_streams = inbound->mux.max_streams, .idle = inbound->policy.idle},
        [weak = weak_from_this()](mux::Carrier::Accepted accepted) {
          if (const auto self = weak.lock()) self->accepted(std::move(accepted));
        },
        [weak = weak_from_this()](std::error_code cause) {
          if (const auto self = weak.lock()) self->carrier_ended(cause);
        });
  }

  void accepted(mux::Carrier::Accepted sub) {
    Connection connection = known;
    connection.destination = sub.opening.destination;
    if (datagrams_only && sub.stream) return refuse(std::move(connection), *sub.stream);
    // Also those count whose sub-stream is gone while their destination is dialed.
    if (sessions.size() >= inbound->mux.max_streams) {
      if (sub.stream) sub.stream->abort();
      return;
    }
    const auto place = sessions.emplace(sessions.end());
    auto on_done = [weak = weak_from_this(), place] {
      if (const auto self = weak.lock()) self->ended(place);
    };
    *place = sub.conduit ? serve_carried(environment, inbound, std::move(connection), sub.opening,
                                         std::move(sub.conduit), std::move(on_done))
                         : serve_carried(environment, inbound, std::move(connection), std::move(sub.stream),
                                         std::move(on_done));
  }

  void refuse(Connection connection, Stream& stream) {
    stream.abort();
    connection.stage = "mux";
    connection.error = mux::Errc::kDatagramsOnly;
    if (inbound->on_end) inbound->on_end(connection);
  }

  void ended(std::list<Pending>::iterator place) {
    place->detach();
    sessions.erase(place);
    if (over && sessions.empty()) finish();
  }

  // Its sub-streams have failed, and so end by themselves.
  void carrier_ended(std::error_code cause) {
    over = true;
    if (cause != Errc::kEof) error = cause;
    if (sessions.empty()) finish();
  }

  void finish() {
    if (auto report = std::exchange(done, nullptr)) report(error);
  }

  // Each session leaves its record before the carrier does: what ends them is posted first.
  void cancel() {
    if (!done) return;
    opening.cancel();
    carrier.reset();
    for (Pending& session : sessions) session.cancel();
    error = Errc::kAborted;
    asio::post(environment.executor, [self = shared_from_this()] { self->finish(); });
  }

  Environment& environment;
  std::shared_ptr<const Inbound> inbound;
  Connection known;
  bool datagrams_only;
  absl::AnyInvocable<void(std::error_code)> done;
  Pending opening;
  std::optional<mux::Carrier> carrier;
  std::list<Pending> sessions;
  std::error_code error;
  bool over = false;
};

}  // namespace

bool is_carrier(const Destination& destination) {
  return mux::is_cool(destination) || mux::sing::is_carrier(destination);
}

Pending serve_carrier(Environment& environment, const std::shared_ptr<const Inbound>& inbound,
                      const Connection& carrier, const ProxyRequest& request, StreamPtr stream,
                      absl::AnyInvocable<void(std::error_code)> done) {
  auto carriage = std::make_shared<Carriage>(environment, *inbound, carrier, request, std::move(done));
  carriage->start(std::move(stream));
  return Pending([carriage] { carriage->cancel(); });
}

}  // namespace winze::chain
