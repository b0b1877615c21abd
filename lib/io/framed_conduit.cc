#include "winze/io/framed_conduit.h"

#include <asio/post.hpp>
#include <utility>
#include <vector>

#include "winze/base/error.h"

namespace winze {
namespace {

// A read may bring tens of thousands of tiny datagrams, each of which takes a buffer of the pool.
constexpr std::size_t kBatch = 64;
constexpr std::size_t kLargeBuffer = 16 << 10;

struct State : std::enable_shared_from_this<State> {
  State(Environment& env, StreamPtr below, std::unique_ptr<DatagramFraming> datagram_framing,
        const FramedConduitOptions& conduit_options)
      : environment(env),
        stream(std::move(below)),
        framing(std::move(datagram_framing)),
        options(conduit_options),
        overhead(framing->overhead() + stream->overhead()) {
    stream->limit_unsent(kUnsentLimit);
    if (!framing->preamble().empty()) backlog = Buffer::copy_of(framing->preamble(), stream->overhead());
  }

  // --- sending ---

  std::size_t send(std::span<Datagram> datagrams) {
    std::size_t taken = 0;
    for (Datagram& datagram : datagrams) taken += add(datagram) ? 1 : 0;
    dropped += datagrams.size() - taken;
    write();
    return taken;
  }

  bool add(Datagram& datagram) {
    Buffer& payload = datagram.payload;
    if (closed || failure || payload.size() > framing->largest()) return false;
    const std::size_t limit = framing->is_urgent(payload) ? 2 * options.backlog : options.backlog;
    if (backlog.size() + payload.size() > limit || !framing->encode(datagram)) return false;
    if (backlog.empty()) {
      backlog = std::move(payload);
    } else {
      // Copied, so that a burst is one record of TLS and one system call.
      backlog.append(std::as_const(payload).span());
    }
    return true;
  }

  void write() {
    if (writing || closed || failure || backlog.empty()) return;
    writing = true;
    stream->write(std::exchange(backlog, {}), [self = shared_from_this()](std::error_code error) {
      self->writing = false;
      if (!error) return self->write();
      if (self->closed || self->failure) return;
      // A pending read tells it.
      self->failure = error;
      self->stream->close();
    });
  }

  // --- receiving ---

  void receive(PacketConduit::ReceiveHandler handler) {
    if (closed || receiving) {
      const Errc error = closed ? Errc::kClosed : Errc::kBusy;
      return asio::post(environment.executor, [handler = std::move(handler), error]() mutable { handler(error, {}); });
    }
    receiving = true;
    write();  // the preamble, when nothing else has been sent
    if (received.empty() && !failure) return read(std::move(handler));
    asio::post(environment.executor, [self = shared_from_this(), handler = std::move(handler)]() mutable {
      self->deliver(std::move(handler));
    });
  }

  void read(PacketConduit::ReceiveHandler waiting) {
    stream->read([self = shared_from_this(), handler = std::move(waiting)](std::error_code error, Buffer data) mutable {
      if (error) return self->end(error, std::move(handler));
      if (self->received.empty()) {
        self->received = std::move(data);
      } else {
        self->received.append(std::as_const(data).span());
      }
      self->deliver(std::move(handler));
    });
  }

  void deliver(PacketConduit::ReceiveHandler handler) {
    if (closed || failure) return end(failure, std::move(handler));
    std::vector<Datagram> batch = std::exchange(spare, {});
    auto rest = std::as_const(received).span();
    while (batch.size() < kBatch) {
      Destination peer = options.peer;
      const auto datagram = framing->decode(rest, peer, failure);
      if (!datagram) break;
      // A copy into a buffer of its own, because each datagram goes on by itself.
      Buffer payload = environment.pool.acquire(room.front + datagram->size() + room.back, room.front);
      payload.append(*datagram);
      batch.push_back({.payload = std::move(payload), .peer = std::move(peer)});
    }
    keep(rest, batch.size() == kBatch);
    if (batch.empty()) return failure ? end(failure, std::move(handler)) : read(std::move(handler));
    receiving = false;
    handler({}, batch);
    batch.clear();
    spare = std::move(batch);
  }

  // What waits for more bytes gives the large buffer of the read back.
  void keep(std::span<const std::uint8_t> rest, bool more_now) {
    if (rest.empty()) return received.release();
    if (!more_now && received.capacity() > kLargeBuffer) {
      received = Buffer::copy_of(rest);
    } else {
      received.trim_front(received.size() - rest.size());
    }
  }

  void end(std::error_code error, PacketConduit::ReceiveHandler handler) {
    receiving = false;
    if (!failure) failure = error == Errc::kEof && !received.empty() ? Errc::kTruncated : error;
    handler(closed ? std::error_code(Errc::kAborted) : failure, {});
  }

  void close() {
    if (std::exchange(closed, true)) return;
    // In order, so that the layers below do not take it for a broken connection.
    if (!writing && !failure) stream->shutdown_write([](std::error_code) {});
    stream->close();
  }

  Environment& environment;
  StreamPtr stream;
  std::unique_ptr<DatagramFraming> framing;
  FramedConduitOptions options;
  Overhead overhead, room;
  Buffer backlog;               // framed, behind the write under way
  Buffer received;              // not yet delivered
  std::vector<Datagram> spare;  // kept from batch to batch
  std::error_code failure;      // after it nothing is sent, and receive() tells it
  std::uint64_t dropped = 0;
  bool writing = false;
  bool receiving = false;
  bool closed = false;
};

class FramedConduit final : public PacketConduit {
 public:
  explicit FramedConduit(std::shared_ptr<State> state) : state_(std::move(state)) {}
  ~FramedConduit() override { state_->close(); }

  std::size_t send(std::span<Datagram> datagrams) override { return state_->send(datagrams); }
  void receive(ReceiveHandler handler) override { state_->receive(std::move(handler)); }
  void close() override { state_->close(); }
  std::size_t mtu() const override { return state_->framing->largest(); }
  Overhead overhead() const override { return state_->overhead; }
  void reserve(Overhead room) override { state_->room = room; }
  std::uint64_t dropped() const override { return state_->dropped; }
  const Executor& executor() const override { return state_->environment.executor; }

 private:
  std::shared_ptr<State> state_;
};

}  // namespace

ConduitPtr framed_conduit(Environment& environment, StreamPtr stream, std::unique_ptr<DatagramFraming> framing,
                          const FramedConduitOptions& options) {
  return std::make_unique<FramedConduit>(
      std::make_shared<State>(environment, std::move(stream), std::move(framing), options));
}

}  // namespace winze
