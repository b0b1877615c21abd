#include "winze/layer/esp_stream.h"

#include <asio/post.hpp>
#include <memory>
#include <utility>
#include <vector>

#include "winze/base/error.h"
#include "winze/proto/esp/tcp_encap.h"

namespace winze::esp {
namespace {

struct State : std::enable_shared_from_this<State> {
  State(Environment& env, StreamPtr below, StreamRole role, const EspStreamOptions& stream_options)
      : environment(env),
        stream(std::move(below)),
        options(stream_options),
        deframer(role == StreamRole::kResponder),
        peer(stream->remote(), Network::kUdp) {
    if (role == StreamRole::kOriginator) fresh_backlog().append(kStreamPrefix);
  }

  // --- sending ---

  // Messages wait in one buffer, which a copy is needed for anyway: a write for each would cost more.
  Buffer& fresh_backlog() {
    if (backlog.capacity() == 0) {
      const Overhead around = stream->overhead();
      backlog = environment.pool.acquire(around.front + 4096 + around.back, around.front);
    }
    return backlog;
  }

  std::size_t send(std::span<Datagram> datagrams) {
    std::size_t taken = 0;
    for (const Datagram& datagram : datagrams) {
      const std::size_t size = datagram.payload.size();
      if (closed || size > kLargestFramed || backlog.size() + size > options.backlog) continue;
      append_frame(fresh_backlog(), datagram.payload.span());
      ++taken;
    }
    dropped += datagrams.size() - taken;
    write();
    return taken;
  }

  void write() {
    if (writing || closed || backlog.empty()) return;
    writing = true;
    stream->write(std::exchange(backlog, Buffer()), [self = shared_from_this()](std::error_code error) {
      self->writing = false;
      if (error) return self->fail(error);
      self->write();
    });
  }

  // --- receiving ---

  void receive(PacketConduit::ReceiveHandler new_handler) {
    if (closed || handler) {
      const std::error_code error = closed ? failure : Errc::kBusy;
      return asio::post(environment.executor, [h = std::move(new_handler), error]() mutable { h(error, {}); });
    }
    handler = std::move(new_handler);
    write();  // the prefix, when nothing else has been sent
    read();
  }

  void read() {
    if (closed || !handler || std::exchange(reading, true)) return;
    stream->read([self = shared_from_this()](std::error_code error, Buffer bytes) {
      self->reading = false;
      if (self->closed) return;
      if (error) return self->fail(error == Errc::kEof && !self->deframer.at_boundary() ? Errc::kTruncated : error);
      self->deframer.feed(std::move(bytes));
      std::span<const std::uint8_t> message;
      while (self->deframer.next(message, error)) self->take(message);
      if (!self->batch.empty()) self->deliver();
      if (error) return self->fail(error);
      self->read();
    });
  }

  // A copy into a buffer of its own, because each packet is decrypted, kept and passed on by itself.
  void take(std::span<const std::uint8_t> message) {
    Buffer payload = environment.pool.acquire(room.front + message.size() + room.back, room.front);
    payload.append(message);
    batch.push_back({.payload = std::move(payload), .peer = peer});
  }

  void deliver() {
    auto to = std::exchange(handler, nullptr);
    std::vector<Datagram> now = std::exchange(batch, std::move(spare));
    to({}, now);
    now.clear();
    spare = std::move(now);
  }

  void fail(std::error_code error) {
    if (closed) return;
    failure = error;
    close();
  }

  void close() {
    if (std::exchange(closed, true)) return;
    stream->close();
    if (!handler) return;
    asio::post(environment.executor,
               [h = std::exchange(handler, nullptr), error = failure]() mutable { h(error, {}); });
  }

  Environment& environment;
  StreamPtr stream;
  EspStreamOptions options;
  Deframer deframer;
  Destination peer;
  Buffer backlog;
  PacketConduit::ReceiveHandler handler;
  std::vector<Datagram> batch, spare;  // two, in turn, so that no batch costs an allocation
  Overhead room;
  std::error_code failure = Errc::kAborted;
  std::uint64_t dropped = 0;
  bool writing = false, reading = false, closed = false;
};

class EspStream final : public PacketConduit {
 public:
  explicit EspStream(std::shared_ptr<State> state) : state_(std::move(state)) {}
  ~EspStream() override { state_->close(); }

  std::size_t send(std::span<Datagram> datagrams) override { return state_->send(datagrams); }
  void receive(ReceiveHandler handler) override { state_->receive(std::move(handler)); }
  void close() override { state_->close(); }
  std::size_t mtu() const override { return kLargestFramed; }
  Overhead overhead() const override { return {}; }
  void reserve(Overhead room) override { state_->room = room; }
  std::uint64_t dropped() const override { return state_->dropped; }
  const Executor& executor() const override { return state_->environment.executor; }

 private:
  std::shared_ptr<State> state_;
};

}  // namespace

ConduitPtr conduit_over(Environment& environment, StreamPtr stream, StreamRole role, const EspStreamOptions& options) {
  return std::make_unique<EspStream>(std::make_shared<State>(environment, std::move(stream), role, options));
}

}  // namespace winze::esp
