#include "winze/io/asio_adapter.h"

#include <doctest/doctest.h>

#include <asio/awaitable.hpp>
#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/read.hpp>
#include <asio/read_until.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/use_future.hpp>
#include <asio/write.hpp>
#include <string>

#include "support/segments.h"
#include "winze/io/memory.h"
#include "winze/io/system.h"

namespace winze {
namespace {

struct Fixture {
  asio::io_context context{1};
  SystemEnvironment system{context.get_executor()};
  Environment& environment = system.environment();
};

// Gives out the stream it was made with.
class OneStreamDialer final : public Dialer {
 public:
  OneStreamDialer(Environment& environment, StreamPtr stream) : environment_(environment), stream_(std::move(stream)) {}
  Pending dial(const Destination&, Handler handler) override {
    auto waiting = std::make_shared<Handler>(std::move(handler));
    if (stream_) {
      asio::post(executor(), [waiting, stream = std::move(stream_)]() mutable { (*waiting)({}, std::move(stream)); });
      return {};
    }
    return Pending([this, waiting] { asio::post(executor(), [waiting] { (*waiting)(Errc::kAborted, nullptr); }); });
  }
  const Executor& executor() const override { return environment_.executor; }

 private:
  Environment& environment_;
  StreamPtr stream_;
};

asio::awaitable<void> ask(Dialer& dialer, std::string& answer, std::error_code& end) {
  auto token = asio::redirect_error(asio::use_awaitable, end);
  AsioStream stream(co_await async_dial(dialer, Destination("a.test", 80), asio::use_awaitable));
  const std::string request(100000, 'q');
  co_await asio::async_write(stream, asio::buffer(request + "\n"), asio::use_awaitable);
  co_await stream.async_shutdown_write(asio::use_awaitable);
  co_await asio::async_read(stream, asio::dynamic_buffer(answer), token);
}

asio::awaitable<void> reply(StreamPtr below, std::size_t& line_size) {
  AsioStream stream(std::move(below));
  std::string line;
  line_size = co_await asio::async_read_until(stream, asio::dynamic_buffer(line), '\n', asio::use_awaitable);
  const std::string_view parts[] = {"one ", "", "two"};
  for (std::string_view part : parts) co_await asio::async_write(stream, asio::buffer(part), asio::use_awaitable);
  co_await stream.async_shutdown_write(asio::use_awaitable);
}

TEST_CASE("asio: coroutines over a stream, whatever the segments") {
  for (std::size_t segment : test::kSegmentSizes) {
    CAPTURE(segment);
    Fixture f;
    auto [near, far] = memory_pair(f.environment, {.segment = segment});
    OneStreamDialer dialer(f.environment, std::move(near));
    std::string answer;
    std::error_code end;
    std::size_t line_size = 0;
    asio::co_spawn(f.context, ask(dialer, answer, end), asio::detached);
    asio::co_spawn(f.context, reply(std::move(far), line_size), asio::detached);
    f.context.run();
    CHECK(line_size == 100001);
    CHECK(answer == "one two");
    CHECK(end == asio::error::eof);
  }
}

TEST_CASE("asio: a small buffer takes a large read piece by piece") {
  Fixture f;
  auto [near, far] = memory_pair(f.environment, {});
  AsioStream stream(std::move(near));
  far->write(Buffer::copy_of("abcdef"), [](std::error_code) {});
  std::string got;
  char piece[4];
  for (int i = 0; i < 2; ++i) {
    bool inside = true;
    stream.async_read_some(asio::buffer(piece), [&](std::error_code error, std::size_t n) {
      CHECK_FALSE(error);
      CHECK_FALSE(inside);
      got += std::string(piece, n) + "|";
    });
    inside = false;
    f.context.restart();
    f.context.run();
  }
  CHECK(got == "abcd|ef|");
}

TEST_CASE("asio: cancellation ends a read and a dial") {
  Fixture f;
  auto [near, far] = memory_pair(f.environment, {});
  AsioStream stream(std::move(near));
  OneStreamDialer nobody(f.environment, nullptr);
  asio::cancellation_signal signal;
  char piece[4];
  std::error_code read_error, dial_error;
  stream.async_read_some(
      asio::buffer(piece),
      asio::bind_cancellation_slot(signal.slot(), [&](std::error_code error, std::size_t) { read_error = error; }));
  f.context.poll();
  signal.emit(asio::cancellation_type::terminal);
  asio::cancellation_signal dial_signal;
  async_dial(
      nobody, Destination("a.test", 80),
      asio::bind_cancellation_slot(dial_signal.slot(), [&](std::error_code error, StreamPtr) { dial_error = error; }));
  dial_signal.emit(asio::cancellation_type::terminal);
  f.context.restart();
  f.context.run();
  CHECK(read_error == Errc::kAborted);
  CHECK(dial_error == Errc::kAborted);
}

}  // namespace
}  // namespace winze
