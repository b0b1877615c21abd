#include "winze/layer/vless_conduit.h"

#include <asio/post.hpp>
#include <utility>
#include <vector>

#include "winze/base/error.h"
#include "winze/proto/vless/datagram.h"

namespace winze::vless {
namespace {

constexpr std::size_t kLengthSize = 2;
constexpr std::size_t kBacklog = 128 << 10;
// A read may bring tens of thousands of tiny datagrams, each of which takes a buffer of the pool.
constexpr std::size_t kBatch = 64;
constexpr std::size_t kLargeBuffer = 16 << 10;

struct State : std::enable_shared_from_this<State> {
  State(Environment& env, StreamPtr below) : environment(env), stream(std::move(below)) {}

  // --- sending ---

  std::size_t send(std::span<Datagram> datagrams) {
    std::size_t taken = 0;
    for (Datagram& datagram : datagrams) taken += add(datagram.payload) ? 1 : 0;
    dropped += datagrams.size() - taken;
    if (!writing && !backlog.empty()) write();
    return taken;
  }

  bool add(Buffer& payload) {
    if (closed || write_failed || payload.size() > kSafeDatagramSize || backlog.size() + payload.size() > kBacklog) {
      return false;
    }
    if (!encode_datagram(payload)) return false;
    if (backlog.empty()) {
      backlog = std::move(payload);
    } else {
      // Copied, so that a burst is one record of TLS and one system call.
      backlog.append(std::as_const(payload).span());
    }
    return true;
  }

  void write() {
    writing = true;
    stream->write(std::exchange(backlog, {}), [self = shared_from_this()](std::error_code error) {
      self->writing = false;
      // What is wrong with the stream its reader tells.
      if (error) self->write_failed = true;
      if (!error && !self->closed && !self->backlog.empty()) self->write();
    });
  }

  // --- receiving ---

  void receive(PacketConduit::ReceiveHandler handler) {
    if (closed || receiving) {
      const Errc error = closed ? Errc::kClosed : Errc::kBusy;
      return asio::post(environment.executor, [handler = std::move(handler), error]() mutable { handler(error, {}); });
    }
    receiving = true;
    if (received.empty()) return read(std::move(handler));
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
    if (closed) return end(Errc::kAborted, std::move(handler));
    std::vector<Datagram> batch;
    auto rest = std::as_const(received).span();
    while (batch.size() < kBatch) {
      const auto datagram = decode_datagram(rest);
      if (!datagram) break;
      // A copy into a buffer of its own, because each datagram goes on by itself.
      Buffer payload = environment.pool.acquire(room.front + datagram->size() + room.back, room.front);
      payload.append(*datagram);
      batch.push_back({.payload = std::move(payload)});
    }
    keep(rest, batch.size() == kBatch);
    if (batch.empty()) return read(std::move(handler));
    receiving = false;
    handler({}, batch);
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
    if (closed) error = Errc::kAborted;
    if (error == Errc::kEof && !received.empty()) error = Errc::kTruncated;
    handler(error, {});
  }

  void close() {
    if (std::exchange(closed, true)) return;
    // In order, so that the layers below do not take it for a broken connection.
    if (!writing) stream->shutdown_write([](std::error_code) {});
    stream->close();
  }

  Environment& environment;
  StreamPtr stream;
  Overhead room;
  Buffer backlog;   // framed, behind the write under way
  Buffer received;  // not yet delivered
  std::uint64_t dropped = 0;
  bool writing = false;
  bool write_failed = false;
  bool receiving = false;
  bool closed = false;
};

class StreamConduit final : public PacketConduit {
 public:
  explicit StreamConduit(std::shared_ptr<State> state) : state_(std::move(state)) {}
  ~StreamConduit() override { state_->close(); }

  std::size_t send(std::span<Datagram> datagrams) override { return state_->send(datagrams); }
  void receive(ReceiveHandler handler) override { state_->receive(std::move(handler)); }
  void close() override { state_->close(); }
  std::size_t mtu() const override { return kSafeDatagramSize; }
  Overhead overhead() const override { return Overhead{.front = kLengthSize, .back = 0} + state_->stream->overhead(); }
  void reserve(Overhead room) override { state_->room = room; }
  std::uint64_t dropped() const override { return state_->dropped; }
  const Executor& executor() const override { return state_->environment.executor; }

 private:
  std::shared_ptr<State> state_;
};

}  // namespace

ConduitPtr stream_conduit(Environment& environment, StreamPtr stream) {
  return std::make_unique<StreamConduit>(std::make_shared<State>(environment, std::move(stream)));
}

}  // namespace winze::vless
