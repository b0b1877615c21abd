#include "winze/layer/mux_carrier.h"

#include <asio/post.hpp>
#include <utility>

#include "mux_carrier_state.h"
#include "winze/base/error.h"
#include "winze/proto/mux/error.h"

namespace winze::mux {

void Carrier::State::start() {
  below->limit_unsent(kUnsentLimit);
  watch_idle();
  read();
  schedule_write();
}

Sub* Carrier::State::find(StreamId id) {
  const auto found = subs.find(id);
  return found == subs.end() ? nullptr : found->second.get();
}

SubPtr Carrier::State::add(StreamId id, Opening opening) {
  auto sub = std::make_shared<Sub>(id, std::move(opening), environment.executor);
  subs.emplace(id, sub);
  idle.stop();
  return sub;
}

SubPtr Carrier::State::open(const Opening& opening) {
  if (closed) return nullptr;
  const std::optional<StreamId> id = session->open(opening);
  return id ? add(*id, opening) : nullptr;
}

void Carrier::State::post(Stream::WriteHandler handler, std::error_code error) {
  asio::post(environment.executor, [handler = std::move(handler), error]() mutable { handler(error); });
}

void Carrier::State::close(Sub& sub, bool failed) {
  if (std::exchange(sub.closed, true)) return;
  uncount(sub, sub.held);
  sub.received.clear();
  if (sub.inbox) sub.inbox->close();
  if (sub.reader) {
    asio::post(environment.executor,
               [handler = std::exchange(sub.reader, nullptr)]() mutable { handler(winze::Errc::kAborted, {}); });
  }
  if (sub.writer) post(std::exchange(sub.writer, nullptr), winze::Errc::kAborted);
  if (!sub.failure && !closed) session->close(sub.id, failed || !sub.pending.empty());
  sub.pending.release();
  sub.backlog.release();
  if (closed) return;
  unblock(sub);
  subs.erase(sub.id);
  watch_idle();
  schedule_write();
  read();
}

void Carrier::State::watch_idle() {
  if (!subs.empty() || closed || options.idle == Duration::zero()) return;
  idle.touch();
  idle.start(options.idle, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (self && self->subs.empty()) self->end(winze::Errc::kEof);
  });
}

void Carrier::State::fail(std::error_code error) {
  if (!session->wants_flush() || writing) return end(error);
  Buffer last;
  session->flush(last);
  writing = true;
  below->write(std::move(last), [self = shared_from_this(), error](std::error_code) {
    if (!self->closed) self->end(error);
  });
}

void Carrier::State::end(std::error_code error) {
  if (closed) return;
  fail_all(error == winze::Errc::kEof ? make_error_code(Errc::kCarrierEnded) : error);
  auto report = std::exchange(on_end_of_carrier, nullptr);
  close();
  if (report) report(error);
}

void Carrier::State::fail_all(std::error_code error) {
  for (const auto& [id, sub] : std::exchange(subs, {})) {
    sub->failure = error;
    fail_writer(*sub, error);
    if (sub->inbox) sub->inbox->close(error);
    if (!sub->reader) continue;
    asio::post(environment.executor, [self = shared_from_this(), sub = sub] {
      if (sub->reader) self->deliver(*sub);
    });
  }
  queue.clear();
  served.clear();
  blocked.clear();
  completing.clear();
}

void Carrier::State::close() {
  if (std::exchange(closed, true)) return;
  on_accept = nullptr;
  on_end_of_carrier = nullptr;
  fail_all(make_error_code(Errc::kCarrierEnded));
  idle.stop();
  end_timer->disarm();
  // In order, so that the layers below do not take it for a broken connection.
  if (!writing) below->shutdown_write([](std::error_code) {});
  below->close();
}

namespace {

class SubStream final : public Stream {
 public:
  SubStream(std::shared_ptr<Carrier::State> carrier, SubPtr sub) : carrier_(std::move(carrier)), sub_(std::move(sub)) {}
  ~SubStream() override { carrier_->close(*sub_, false); }

  void read(ReadHandler handler) override { carrier_->read(sub_, std::move(handler)); }
  void write(Buffer data, WriteHandler handler) override { carrier_->write(sub_, std::move(data), std::move(handler)); }
  void shutdown_write(WriteHandler handler) override { carrier_->shutdown(sub_, std::move(handler)); }
  void close() override { carrier_->close(*sub_, false); }
  void abort() override { carrier_->close(*sub_, true); }
  Overhead overhead() const override { return carrier_->session->overhead() + carrier_->below->overhead(); }
  void reserve(Overhead room) override { sub_->room = room; }
  const Executor& executor() const override { return carrier_->environment.executor; }
  Endpoint local() const override { return carrier_->below->local(); }
  Endpoint remote() const override { return carrier_->below->remote(); }
  bool holds_opening() const override { return !sub_->closed && carrier_->session->is_unannounced(sub_->id); }

 private:
  std::shared_ptr<Carrier::State> carrier_;
  SubPtr sub_;
};

class SubConduit final : public PacketConduit {
 public:
  SubConduit(std::shared_ptr<Carrier::State> carrier, SubPtr sub)
      : carrier_(std::move(carrier)), sub_(std::move(sub)) {}
  ~SubConduit() override { carrier_->close(*sub_, false); }

  std::size_t send(std::span<Datagram> datagrams) override { return carrier_->send(sub_, datagrams); }
  void receive(ReceiveHandler handler) override { sub_->inbox->receive(std::move(handler)); }
  void close() override { carrier_->close(*sub_, false); }
  std::size_t mtu() const override { return carrier_->session->largest_datagram(); }
  Overhead overhead() const override { return carrier_->session->overhead() + carrier_->below->overhead(); }
  void reserve(Overhead room) override { sub_->room = room; }
  std::uint64_t dropped() const override { return sub_->dropped; }
  const Executor& executor() const override { return carrier_->environment.executor; }

 private:
  std::shared_ptr<Carrier::State> carrier_;
  SubPtr sub_;
};

}  // namespace

StreamPtr Carrier::State::make_stream(SubPtr sub) {
  return std::make_unique<SubStream>(shared_from_this(), std::move(sub));
}
ConduitPtr Carrier::State::make_conduit(SubPtr sub) {
  return std::make_unique<SubConduit>(shared_from_this(), std::move(sub));
}

Carrier::Carrier(Environment& environment, StreamPtr below, std::unique_ptr<Session> session,
                 const CarrierOptions& options, AcceptHandler on_accept, EndHandler on_end)
    : state_(std::make_shared<State>(environment, std::move(below), std::move(session), options, std::move(on_accept),
                                     std::move(on_end))) {
  state_->start();
}

Carrier::~Carrier() { state_->close(); }

StreamPtr Carrier::open_stream(const Opening& opening) {
  SubPtr sub = state_->open(opening);
  return sub ? state_->make_stream(std::move(sub)) : nullptr;
}

ConduitPtr Carrier::open_conduit(const Opening& opening) {
  SubPtr sub = state_->open(opening);
  return sub ? state_->make_conduit(std::move(sub)) : nullptr;
}

bool Carrier::may_open() const { return !state_->closed && state_->session->may_open(); }
std::size_t Carrier::streams() const { return state_->subs.size(); }
std::size_t Carrier::held() const { return state_->held; }

}  // namespace winze::mux
