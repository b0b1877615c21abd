#include "winze/io/memory.h"

#include <algorithm>
#include <asio/post.hpp>
#include <deque>
#include <memory>
#include <utility>

#include "winze/base/error.h"

namespace winze {
namespace {

// One direction. Its writer and its reader both hold it.
struct Pipe {
  Environment& environment;
  MemoryPairOptions options;
  std::deque<Buffer> queue;
  std::size_t held = 0;
  bool ended = false;        // the writer has no more
  bool broken = false;       // ... because it failed
  bool reader_gone = false;  // nobody will read
  Stream::ReadHandler reader;
  Stream::WriteHandler writer;
  Overhead room;

  void post_read(Stream::ReadHandler handler, std::error_code error, Buffer data) {
    asio::post(environment.executor, [handler = std::move(handler), error, data = std::move(data)]() mutable {
      handler(error, std::move(data));
    });
  }
  void post_write(Stream::WriteHandler handler, std::error_code error) {
    asio::post(environment.executor, [handler = std::move(handler), error]() mutable { handler(error); });
  }

  Buffer take() {
    Buffer& front = queue.front();
    const std::size_t n = std::min(front.size(), options.segment);
    Buffer out = environment.pool.acquire(room.front + n + room.back, room.front);
    out.append(std::span<const std::uint8_t>(front.span().first(n)));
    front.trim_front(n);
    if (front.empty()) queue.pop_front();
    held -= n;
    return out;
  }

  void pump() {
    if (reader && !queue.empty()) post_read(std::exchange(reader, nullptr), {}, take());
    if (reader && ended)
      post_read(std::exchange(reader, nullptr),
                broken ? std::make_error_code(std::errc::connection_reset) : std::error_code(Errc::kEof), {});
    if (writer && (held <= options.window || reader_gone)) {
      post_write(std::exchange(writer, nullptr),
                 reader_gone ? std::make_error_code(std::errc::broken_pipe) : std::error_code());
    }
  }
};

class MemoryStream final : public Stream {
 public:
  MemoryStream(std::shared_ptr<Pipe> in, std::shared_ptr<Pipe> out) : in_(std::move(in)), out_(std::move(out)) {}
  ~MemoryStream() override { close(); }

  void read(ReadHandler handler) override {
    if (closed_) return in_->post_read(std::move(handler), Errc::kClosed, {});
    if (in_->reader) return in_->post_read(std::move(handler), Errc::kBusy, {});
    in_->reader = std::move(handler);
    in_->pump();
  }

  void write(Buffer data, WriteHandler handler) override {
    if (std::error_code error = write_error()) return out_->post_write(std::move(handler), error);
    if (out_->reader_gone) {
      return out_->post_write(std::move(handler), std::make_error_code(std::errc::broken_pipe));
    }
    if (!data.empty()) {
      out_->held += data.size();
      out_->queue.push_back(std::move(data));
    }
    out_->writer = std::move(handler);
    out_->pump();
  }

  void shutdown_write(WriteHandler handler) override {
    if (std::error_code error = write_error()) return out_->post_write(std::move(handler), error);
    out_->ended = true;
    out_->pump();
    out_->post_write(std::move(handler), {});
  }

  void close() override {
    if (std::exchange(closed_, true)) return;
    if (in_->reader) in_->post_read(std::exchange(in_->reader, nullptr), Errc::kAborted, {});
    if (out_->writer) out_->post_write(std::exchange(out_->writer, nullptr), Errc::kAborted);
    in_->reader_gone = true;
    in_->queue.clear();
    in_->held = 0;
    in_->pump();
    out_->ended = true;
    out_->pump();
  }

  void abort() override {
    out_->broken = !out_->ended && out_->queue.empty();
    close();
  }
  Overhead overhead() const override { return {}; }
  void reserve(Overhead room) override { in_->room = room; }
  const Executor& executor() const override { return in_->environment.executor; }
  Endpoint local() const override { return {}; }
  Endpoint remote() const override { return {}; }

 private:
  std::error_code write_error() const {
    if (closed_ || out_->ended) return Errc::kClosed;
    if (out_->writer) return Errc::kBusy;
    return {};
  }

  std::shared_ptr<Pipe> in_;
  std::shared_ptr<Pipe> out_;
  bool closed_ = false;
};

class FaultyStream final : public Stream {
 public:
  FaultyStream(StreamPtr below, std::uint64_t fail_at, std::error_code error, std::uint64_t* operations)
      : below_(std::move(below)), fail_at_(fail_at), error_(error), operations_(operations) {}

  void read(ReadHandler handler) override {
    if (!fails()) return below_->read(std::move(handler));
    asio::post(executor(), [handler = std::move(handler), error = error_]() mutable { handler(error, {}); });
  }

  void write(Buffer data, WriteHandler handler) override {
    if (!fails()) return below_->write(std::move(data), std::move(handler));
    data.trim_back(data.size() - data.size() / 2);
    below_->write(std::move(data),
                  [handler = std::move(handler), error = error_](std::error_code) mutable { handler(error); });
  }

  void shutdown_write(WriteHandler handler) override {
    if (!fails()) return below_->shutdown_write(std::move(handler));
    asio::post(executor(), [handler = std::move(handler), error = error_]() mutable { handler(error); });
  }

  void close() override { below_->close(); }
  void abort() override { below_->abort(); }
  Overhead overhead() const override { return below_->overhead(); }
  void reserve(Overhead room) override { below_->reserve(room); }
  void limit_unsent(std::size_t bytes) override { below_->limit_unsent(bytes); }
  const Executor& executor() const override { return below_->executor(); }
  Endpoint local() const override { return below_->local(); }
  Endpoint remote() const override { return below_->remote(); }
  bool holds_opening() const override { return below_->holds_opening(); }

 private:
  bool fails() {
    const std::uint64_t operation = count_++;
    if (operations_ != nullptr) *operations_ = count_;
    return operation >= fail_at_;
  }

  StreamPtr below_;
  std::uint64_t fail_at_;
  std::error_code error_;
  std::uint64_t* operations_;
  std::uint64_t count_ = 0;
};

}  // namespace

std::pair<StreamPtr, StreamPtr> memory_pair(Environment& environment, const MemoryPairOptions& options) {
  auto forth = std::shared_ptr<Pipe>(new Pipe{.environment = environment, .options = options});
  auto back = std::shared_ptr<Pipe>(new Pipe{.environment = environment, .options = options});
  return {std::make_unique<MemoryStream>(back, forth), std::make_unique<MemoryStream>(forth, back)};
}

StreamPtr faulty_stream(StreamPtr below, std::uint64_t fail_at, std::error_code error, std::uint64_t* operations) {
  return std::make_unique<FaultyStream>(std::move(below), fail_at, error, operations);
}

}  // namespace winze
