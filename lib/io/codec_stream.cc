#include "winze/io/codec_stream.h"

#include <asio/post.hpp>
#include <cstring>
#include <utility>

#include "winze/base/error.h"

namespace winze {
namespace {

// Bytes of replies (pongs, key updates) that may wait for a slow peer before the stream fails: more than any honest
// peer causes.
constexpr std::size_t kReplyLimit = 64 << 10;

// Shared by the stream and its pending operations.
struct State : std::enable_shared_from_this<State> {
  State(Environment& env, StreamPtr stream_below, std::unique_ptr<StreamCodec> stream_codec)
      : environment(env), below(std::move(stream_below)), codec(std::move(stream_codec)) {}

  // --- reading ---

  void read(Stream::ReadHandler handler) {
    read_handler = std::move(handler);
    if (!reading) start_read();
  }

  void start_read() {
    reading = true;
    if (!primed || !ready.empty() || read_error) {
      return asio::post(environment.executor, [self = shared_from_this()] { self->read_kept(); });
    }
    below->read(
        [self = shared_from_this()](std::error_code error, Buffer data) { self->on_read(error, std::move(data)); });
  }

  void on_read(std::error_code error, Buffer data) {
    if (closed) return;
    if (!error) return opened(std::move(data));
    if (error == Errc::kEof) error = codec->open_end();
    read_error = error;
    deliver(error, {});
  }

  // What the opening left, or what was read before it was asked for.
  void read_kept() {
    if (closed) return;
    if (!ready.empty()) return deliver({}, std::move(ready));
    if (read_error) return deliver(read_error, {});
    primed = true;
    opened(std::move(unopened));
  }

  void opened(Buffer data) {
    const std::error_code error = codec->open(data, reply);
    if (!opening_left && codec->opening_left_below()) {
      opening_left = true;
      below->stop_opening();
    }
    if (!reply.empty()) send_reply();
    if (error) read_error = error;
    if (!data.empty()) return deliver({}, std::move(data));
    if (read_error) return deliver(read_error, {});
    // What came may have been the answer that a write waits for.
    run_deferred();
    if (!read_handler && !is_write_waiting()) {
      reading = false;
      return;
    }
    start_read();
  }

  // To the application, or aside when it has not asked yet.
  void deliver(std::error_code error, Buffer data) {
    reading = false;
    if (auto handler = std::exchange(read_handler, nullptr)) {
      handler(error, std::move(data));
    } else if (!error) {
      ready = std::move(data);
    }
    run_deferred();
  }

  // --- writing ---

  // Replies go between two writes of the application, never into one.
  void send_reply() {
    if (writing || ended) {
      if (reply.size() > kReplyLimit && !read_error) read_error = Errc::kTruncated;
      return;
    }
    writing = true;
    below->write(std::exchange(reply, {}), [self = shared_from_this()](std::error_code error) {
      self->writing = false;
      if (error && !self->write_error) self->write_error = error;
      self->after_write();
    });
  }

  void start_write(Buffer data) {
    writing = true;
    if (!reply.empty()) {
      // They were sealed before `data`, so they go first.
      data.ensure_room({reply.size(), 0});
      std::memcpy(data.prepend(reply.size()), reply.data(), reply.size());
      reply.release();
    }
    below->write(std::move(data), [self = shared_from_this()](std::error_code error) {
      self->writing = false;
      if (self->closed) return;
      if (error) self->write_error = error;
      if (!error) self->leave_below();
      auto handler = std::exchange(self->write_handler, nullptr);
      self->after_write();
      handler(error);
    });
  }

  // What was written last may have been the last that goes through the layer below.
  void leave_below() {
    if (sealing_left || !codec->sealing_left_below()) return;
    sealing_left = true;
    below->stop_sealing();
  }

  // What waited for the write that has just ended.
  void after_write() {
    if (closed) return;
    run_deferred();
    if (!writing && !reply.empty()) send_reply();
  }

  // Whether a write is held back until the peer has answered.
  bool is_write_waiting() const { return deferred && !read_error && codec->seal_waits(); }

  void run_deferred() {
    if (!deferred || writing || closed || is_write_waiting()) return;
    std::exchange(deferred, nullptr)();
  }

  // Runs `operation`, which seals, now or as soon as it may.
  void when_writable(absl::AnyInvocable<void()> operation) {
    if (!writing && !codec->seal_waits()) return operation();
    deferred = std::move(operation);
    if (!writing && !reading) start_read();
  }

  void end_write(StreamCodec::End end) {
    if (end == StreamCodec::End::kKeepBelow) {
      end_unsaid = true;
      return asio::post(environment.executor, [self = shared_from_this()] { self->finish_write({}); });
    }
    below->shutdown_write([self = shared_from_this()](std::error_code error) { self->finish_write(error); });
  }

  void finish_write(std::error_code error) {
    writing = false;
    if (closed) return;
    auto handler = std::exchange(write_handler, nullptr);
    handler(error);
  }

  void post_read(Stream::ReadHandler handler, std::error_code error) {
    asio::post(environment.executor, [handler = std::move(handler), error]() mutable { handler(error, {}); });
  }

  void post_write(Stream::WriteHandler handler, std::error_code error) {
    asio::post(environment.executor, [handler = std::move(handler), error]() mutable { handler(error); });
  }

  void stop_opening() {
    Buffer taken;
    codec->stop_opening(taken);
    if (ready.empty()) {
      ready = std::move(taken);
    } else {
      ready.append(std::as_const(taken).span());
    }
    read_error = {};
  }

  void close() {
    if (closed) return;
    // Our direction ended in order, which the protocol could not say alone; now that the other ends too, the layers
    // below can, and the peer does not take this for a broken connection.
    if (end_unsaid && !write_error) below->shutdown_write([](std::error_code) {});
    below->close();
    drop_operations();
  }

  void abort() {
    if (closed) return;
    below->abort();
    drop_operations();
  }

  // The handlers leave us, so that a loop that never runs again releases what they hold.
  void drop_operations() {
    closed = true;
    deferred = nullptr;
    if (read_handler) post_read(std::exchange(read_handler, nullptr), Errc::kAborted);
    if (write_handler) post_write(std::exchange(write_handler, nullptr), Errc::kAborted);
  }

  Environment& environment;
  StreamPtr below;
  std::unique_ptr<StreamCodec> codec;
  Buffer unopened;       // received during the opening, beyond it
  bool primed = false;   // `unopened` went to open(), which may also yield what the codec kept of the opening
  Buffer ready;          // opened before the application asked
  bool reading = false;  // a read is under way
  Buffer reply;          // what the codec wants to tell the peer
  std::error_code read_error;
  std::error_code write_error;
  bool closed = false;
  bool ended = false;  // shutdown_write() was called
  bool end_unsaid = false;
  bool writing = false;       // an operation of ours is pending on `below`
  bool sealing_left = false;  // the layer below was left by our codec
  bool opening_left = false;
  Stream::ReadHandler read_handler;
  Stream::WriteHandler write_handler;
  absl::AnyInvocable<void()> deferred;  // a write that waits for a reply under way
};

class CodecStream final : public Stream {
 public:
  explicit CodecStream(std::shared_ptr<State> state) : state_(std::move(state)) {}
  ~CodecStream() override { state_->close(); }

  void read(ReadHandler handler) override {
    State& s = *state_;
    if (passes_reads()) return s.below->read(std::move(handler));
    if (s.closed || s.read_handler) return s.post_read(std::move(handler), s.closed ? Errc::kClosed : Errc::kBusy);
    s.read(std::move(handler));
  }

  void write(Buffer data, WriteHandler handler) override {
    State& s = *state_;
    if (passes_writes()) return s.below->write(std::move(data), std::move(handler));
    if (std::error_code error = write_refusal()) return s.post_write(std::move(handler), error);
    s.write_handler = std::move(handler);
    if (!s.writing && !s.codec->seal_waits()) return seal_and_write(s, std::move(data));
    s.when_writable([&s, data = std::move(data)]() mutable { seal_and_write(s, std::move(data)); });
  }

  void shutdown_write(WriteHandler handler) override {
    State& s = *state_;
    if (std::error_code error = write_refusal()) return s.post_write(std::move(handler), error);
    s.write_handler = std::move(handler);
    s.when_writable([&s] { seal_end(s); });
  }

  void close() override { state_->close(); }
  void abort() override { state_->abort(); }
  Overhead overhead() const override { return state_->codec->overhead() + state_->below->overhead(); }
  void reserve(Overhead room) override { state_->below->reserve(room); }
  void limit_unsent(std::size_t bytes) override { state_->below->limit_unsent(bytes); }
  const Executor& executor() const override { return state_->environment.executor; }
  Endpoint local() const override { return state_->below->local(); }
  Endpoint remote() const override { return state_->below->remote(); }
  bool holds_opening() const override { return state_->codec->holds_opening() || state_->below->holds_opening(); }
  bool can_be_left() const override { return state_->codec->can_be_left(); }
  void stop_sealing() override { state_->codec->stop_sealing(); }
  void stop_opening() override { state_->stop_opening(); }
  RawSocket* verbatim_source() override { return passes_reads() ? state_->below->verbatim_source() : nullptr; }
  RawSocket* verbatim_sink() override { return passes_writes() ? state_->below->verbatim_sink() : nullptr; }

 private:
  bool passes_reads() const {
    const State& s = *state_;
    return s.codec->opens_verbatim() && s.unopened.empty() && s.ready.empty() && !s.read_error && !s.reading &&
           !s.closed;
  }
  bool passes_writes() const {
    const State& s = *state_;
    return s.codec->seals_verbatim() && s.reply.empty() && !s.writing && !s.ended && !s.write_handler && !s.closed;
  }
  std::error_code write_refusal() const {
    const State& s = *state_;
    if (s.closed || s.ended) return Errc::kClosed;
    if (s.write_handler) return Errc::kBusy;
    return s.write_error;
  }

  static void seal_and_write(State& s, Buffer data) {
    // A write that waited for the peer's answer, and got its refusal.
    if (s.codec->seal_waits()) {
      s.write_error = s.read_error;
      return s.post_write(std::exchange(s.write_handler, nullptr), s.write_error);
    }
    if (std::error_code error = s.codec->seal(data)) {
      s.write_error = error;
      return s.post_write(std::exchange(s.write_handler, nullptr), error);
    }
    if (data.empty() && s.reply.empty()) {
      s.writing = true;
      return asio::post(s.environment.executor, [self = s.shared_from_this()] { self->finish_write({}); });
    }
    s.start_write(std::move(data));
  }

  static void seal_end(State& s) {
    if (s.codec->seal_waits()) {
      s.write_error = s.read_error;
      return s.post_write(std::exchange(s.write_handler, nullptr), s.write_error);
    }
    s.ended = true;
    s.writing = true;
    Buffer mark = std::exchange(s.reply, {});
    const StreamCodec::End end = s.codec->seal_end(mark);
    if (mark.empty()) return s.end_write(end);
    s.below->write(std::move(mark), [self = s.shared_from_this(), end](std::error_code error) {
      if (error || self->closed) return self->finish_write(error);
      self->end_write(end);
    });
  }

  std::shared_ptr<State> state_;
};

// Leaves everything as it is.
class PlainCodec final : public StreamCodec {
 public:
  Overhead overhead() const override { return {}; }
  std::error_code seal(Buffer&) override { return {}; }
  std::error_code open(Buffer&, Buffer&) override { return {}; }
  std::error_code open_end() override { return Errc::kEof; }
  bool seals_verbatim() const override { return true; }
  bool opens_verbatim() const override { return true; }
};

// One opening under way.
struct Opening : std::enable_shared_from_this<Opening> {
  Opening(Environment& env, StreamPtr stream_below, std::unique_ptr<StreamCodec> stream_codec, OpenHandler on_done)
      : environment(env),
        below(std::move(stream_below)),
        codec(std::move(stream_codec)),
        timer(env.clock.make_timer()),
        handler(std::move(on_done)) {}

  void start(Duration timeout) {
    if (timeout > Duration::zero()) {
      timer->arm(environment.clock.now() + timeout, [weak = weak_from_this()] {
        if (const auto self = weak.lock()) self->time_out();
      });
    }
    asio::post(environment.executor, [self = shared_from_this()] { self->step({}); });
  }

  void step(Buffer data) {
    if (!handler) return;
    in = std::move(data);
    Buffer out;
    const bool done = codec->handshake(in, out, error) == StreamCodec::Handshake::kDone;
    if (out.empty()) return next(done);
    below->write(std::move(out), [self = shared_from_this(), done](std::error_code write_error) {
      if (!self->handler) return;
      if (write_error && !self->error) self->error = write_error;
      self->next(done);
    });
  }

  void next(bool done) {
    if (done && !error && codec->may_leave_below() && !below->can_be_left()) error = Errc::kUnsupported;
    if (error || done) return finish();
    reading = true;
    below->read([self = shared_from_this()](std::error_code read_error, Buffer data) {
      self->reading = false;
      if (self->heir) return std::exchange(self->heir, nullptr)->on_read(read_error, std::move(data));
      if (!self->handler) return;
      if (!read_error) return self->step(std::move(data));
      self->error = read_error == Errc::kEof ? std::error_code(Errc::kTruncated) : read_error;
      self->finish();
    });
  }

  void stop(std::error_code why) {
    if (!handler) return;
    error = why;
    // The handler runs on the executor, not inside the caller's drop of its Pending; the operation below is cancelled
    // first, so that `below` comes back without one.
    below->close();
    auto finishing = std::exchange(handler, nullptr);
    timer->disarm();
    asio::post(environment.executor, [finishing = std::move(finishing), why]() mutable {
      finishing(Opened{.error = why, .stream = nullptr, .below = nullptr, .unread = {}, .failed_codec = nullptr});
    });
  }

  // The read under way cannot be taken back without closing: what it brings is for who reads next.
  void time_out() {
    if (!handler || !reading) return stop(Errc::kTimedOut);
    heir = std::make_shared<State>(environment, std::move(below), std::make_unique<PlainCodec>());
    heir->primed = heir->reading = true;
    below = std::make_unique<CodecStream>(heir);
    error = Errc::kTimedOut;
    finish();
  }

  void finish() {
    timer->disarm();
    auto finishing = std::exchange(handler, nullptr);
    Opened result;
    result.error = error;
    if (error) {
      result.below = std::move(below);
      result.unread = std::move(in);
      result.failed_codec = std::move(codec);
    } else {
      result.codec = codec.get();
      auto state = std::make_shared<State>(environment, std::move(below), std::move(codec));
      state->unopened = std::move(in);
      result.stream = std::make_unique<CodecStream>(std::move(state));
    }
    finishing(std::move(result));
  }

  Environment& environment;
  StreamPtr below;
  std::unique_ptr<StreamCodec> codec;
  TimerPtr timer;
  OpenHandler handler;
  Buffer in;
  std::error_code error;
  bool reading = false;
  std::shared_ptr<State> heir;  // of the read under way
};

class CodecDialer final : public Dialer {
 public:
  CodecDialer(Environment& environment, DialerPtr below, CodecFactory make, Duration timeout)
      : environment_(environment), below_(std::move(below)), make_(std::move(make)), timeout_(timeout) {}

  Pending dial(const Destination& destination, Handler handler) override {
    // Two operations, one after the other; the Pending cancels whichever is under way.
    auto current = std::make_shared<Pending>();
    *current = below_->dial(destination, [this, destination, current, handler = std::move(handler)](
                                             DialError error, StreamPtr below) mutable {
      if (error) return handler(std::move(error), nullptr);
      current->detach();
      *current = open_codec(environment_, std::move(below), make_(destination), timeout_,
                            [current, handler = std::move(handler)](Opened opened) mutable {
                              current->detach();
                              handler(DialError(opened.error, detail_of(opened)), std::move(opened.stream));
                            });
    });
    return Pending([current] { current->cancel(); });
  }

  const Executor& executor() const override { return environment_.executor; }

 private:
  Environment& environment_;
  DialerPtr below_;
  CodecFactory make_;
  Duration timeout_;
};

}  // namespace

std::string_view detail_of(const Opened& opened) {
  return opened.failed_codec ? opened.failed_codec->detail() : std::string_view();
}

Pending open_codec(Environment& environment, StreamPtr below, std::unique_ptr<StreamCodec> codec, Duration timeout,
                   OpenHandler handler) {
  auto opening = std::make_shared<Opening>(environment, std::move(below), std::move(codec), std::move(handler));
  opening->start(timeout);
  return Pending([weak = std::weak_ptr(opening)] {
    if (auto strong = weak.lock()) strong->stop(Errc::kAborted);
  });
}

DialerPtr codec_dialer(Environment& environment, DialerPtr below, CodecFactory make, Duration handshake_timeout) {
  return std::make_shared<CodecDialer>(environment, std::move(below), std::move(make), handshake_timeout);
}

}  // namespace winze
