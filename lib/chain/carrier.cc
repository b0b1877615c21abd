#include <asio/post.hpp>
#include <list>
#include <utility>

#include "carried.h"
#include "record.h"
#include "winze/base/error.h"
#include "winze/layer/mux_carrier.h"
#include "winze/proto/mux/cool.h"

namespace winze::chain {
namespace {

// What the connections on a carrier share.
std::shared_ptr<const Inbound> inbound_of(const Inbound& carrier, std::uint32_t level) {
  auto out = std::make_shared<Inbound>(carrier);
  out->transports.clear();
  out->fallback = nullptr;
  out->forward.reset();
  out->make_proxy = nullptr;
  out->protocol = "mux";
  out->policy = policy_for(carrier, level);
  out->policy_of = nullptr;
  return out;
}

struct Carriage : std::enable_shared_from_this<Carriage> {
  Carriage(Environment& env, const Inbound& served, const Connection& carrier_connection, std::uint32_t level,
           absl::AnyInvocable<void(std::error_code)> on_done)
      : environment(env), inbound(inbound_of(served, level)), known(carrier_connection), done(std::move(on_done)) {}

  void start(StreamPtr stream) {
    carrier.emplace(
        environment, std::move(stream), std::make_unique<mux::CoolSession>(mux::Role::kServer),
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
    const auto place = sessions.emplace(sessions.end());
    auto on_done = [weak = weak_from_this(), place] {
      if (const auto self = weak.lock()) self->ended(place);
    };
    *place = sub.conduit ? serve_carried(environment, inbound, std::move(connection), sub.opening,
                                         std::move(sub.conduit), std::move(on_done))
                         : serve_carried(environment, inbound, std::move(connection), std::move(sub.stream),
                                         std::move(on_done));
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
    carrier.reset();
    for (Pending& session : sessions) session.cancel();
    error = Errc::kAborted;
    asio::post(environment.executor, [self = shared_from_this()] { self->finish(); });
  }

  Environment& environment;
  std::shared_ptr<const Inbound> inbound;
  Connection known;
  absl::AnyInvocable<void(std::error_code)> done;
  std::optional<mux::Carrier> carrier;
  std::list<Pending> sessions;
  std::error_code error;
  bool over = false;
};

}  // namespace

bool is_carrier(const Destination& destination) { return mux::is_cool(destination); }

bool is_carrier(const Inbound& inbound, const Destination& destination) {
  return inbound.mux.cool && mux::is_cool(destination);
}

Pending serve_carrier(Environment& environment, const std::shared_ptr<const Inbound>& inbound,
                      const Connection& carrier, std::uint32_t level, StreamPtr stream,
                      absl::AnyInvocable<void(std::error_code)> done) {
  auto carriage = std::make_shared<Carriage>(environment, *inbound, carrier, level, std::move(done));
  carriage->start(std::move(stream));
  return Pending([carriage] { carriage->cancel(); });
}

}  // namespace winze::chain
