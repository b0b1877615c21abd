// WebSocket over a memory pair, driven by CodecStream: what the codec's own tests cannot see.
#include <doctest/doctest.h>

#include <asio/io_context.hpp>
#include <string>

#include "support/segments.h"
#include "winze/base/error.h"
#include "winze/io/codec_stream.h"
#include "winze/io/memory.h"
#include "winze/io/system.h"
#include "winze/proto/ws/codec.h"

namespace winze {
namespace {

struct Fixture {
  asio::io_context context{1};
  SystemEnvironment system{context.get_executor()};
  Environment& environment = system.environment();
  SeededRandom random{1};
  StreamPtr client;
  StreamPtr server;
  Pending opening_client;
  Pending opening_server;

  // Only the client is open then when it has early data.
  void open(const ws::ClientOptions& client_options, const ws::ServerOptions& server_options, std::size_t segment) {
    auto [near, far] = memory_pair(environment, {.segment = segment});
    opening_client =
        open_codec(environment, std::move(near),
                   std::make_unique<ws::ClientCodec>(std::make_shared<const ws::ClientOptions>(client_options), random),
                   Duration::zero(), [this](Opened opened) {
                     CHECK_FALSE(opened.error);
                     client = std::move(opened.stream);
                   });
    opening_server =
        open_codec(environment, std::move(far),
                   std::make_unique<ws::ServerCodec>(std::make_shared<const ws::ServerOptions>(server_options)),
                   Duration::zero(), [this](Opened opened) {
                     CHECK_FALSE(opened.error);
                     server = std::move(opened.stream);
                   });
    run();
  }

  void run() {
    context.restart();
    context.poll();
  }
};

// Reads until the end; what it reads from `stream` goes to `text`, the end's cause to `error`.
void drain(StreamPtr& stream, std::string& text, std::error_code& error) {
  stream->read([&](std::error_code read_error, Buffer data) {
    text += data.text();
    error = read_error;
    if (!read_error) drain(stream, text, error);
  });
}

TEST_CASE("ws stream: early data, and writes that wait for the response although nobody reads") {
  for (std::size_t segment : test::kSegmentSizes) {
    CAPTURE(segment);
    Fixture f;
    f.open({.host = "a", .early_data = {.max = 5}}, {}, segment);
    REQUIRE(f.client);
    CHECK_FALSE(f.server);
    int written = 0;
    bool ended = false;
    f.client->write(Buffer::copy_of("early, and late"), [&](std::error_code error) {
      CHECK_FALSE(error);
      ++written;
      f.client->write(Buffer::copy_of(", and second"), [&](std::error_code second_error) {
        CHECK_FALSE(second_error);
        ++written;
        f.client->shutdown_write([&](std::error_code end_error) {
          CHECK_FALSE(end_error);
          ended = true;
        });
      });
    });
    f.run();
    CHECK(written == 2);
    CHECK(ended);
    REQUIRE(f.server);
    std::string received;
    std::error_code error;
    drain(f.server, received, error);
    f.run();
    CHECK(received == "early, and late, and second");
    CHECK_FALSE(error);

    std::string answered;
    std::error_code end;
    f.server->write(Buffer::copy_of("answer"), [](std::error_code write_error) { CHECK_FALSE(write_error); });
    f.run();
    drain(f.client, answered, end);
    f.run();
    CHECK(answered == "answer");
    f.server->close();
    f.run();
    CHECK(end == Errc::kEof);
  }
}

TEST_CASE("ws stream: a write that waits for a response which does not come fails") {
  Fixture f;
  auto [near, far] = memory_pair(f.environment, {});
  f.opening_client = open_codec(
      f.environment, std::move(near),
      std::make_unique<ws::ClientCodec>(
          std::make_shared<const ws::ClientOptions>(ws::ClientOptions{.host = "a", .early_data = {.max = 5}}),
          f.random),
      Duration::zero(), [&](Opened opened) { f.client = std::move(opened.stream); });
  f.run();
  REQUIRE(f.client);
  std::error_code second;
  f.client->write(Buffer::copy_of("early"), [&](std::error_code error) {
    CHECK_FALSE(error);
    f.client->write(Buffer::copy_of("late"), [&](std::error_code write_error) { second = write_error; });
  });
  f.run();
  CHECK_FALSE(second);
  far->close();
  f.run();
  CHECK(second == Errc::kTruncated);
}

TEST_CASE("ws stream: closing while a write waits ends it") {
  Fixture f;
  auto [near, far] = memory_pair(f.environment, {});
  f.opening_client = open_codec(
      f.environment, std::move(near),
      std::make_unique<ws::ClientCodec>(
          std::make_shared<const ws::ClientOptions>(ws::ClientOptions{.host = "a", .early_data = {.max = 5}}),
          f.random),
      Duration::zero(), [&](Opened opened) { f.client = std::move(opened.stream); });
  f.run();
  std::error_code second;
  f.client->write(Buffer::copy_of("early"), [&](std::error_code) {
    f.client->write(Buffer::copy_of("late"), [&](std::error_code write_error) { second = write_error; });
  });
  f.run();
  f.client->close();
  f.run();
  CHECK(second == Errc::kAborted);
}

TEST_CASE("ws stream: half-close between peers that know it") {
  for (std::size_t segment : test::kSegmentSizes) {
    CAPTURE(segment);
    Fixture f;
    f.open({.host = "a", .ending = ws::Ending::kHalf}, {.ending = ws::Ending::kHalf}, segment);
    REQUIRE(f.client);
    REQUIRE(f.server);
    std::string received;
    std::error_code end;
    f.client->write(Buffer::copy_of("request"), [&](std::error_code) {
      f.client->shutdown_write([](std::error_code error) { CHECK_FALSE(error); });
    });
    drain(f.server, received, end);
    f.run();
    CHECK(received == "request");
    CHECK(end == Errc::kEof);
    std::string answered;
    std::error_code answer_end;
    drain(f.client, answered, answer_end);
    f.server->write(Buffer::copy_of(std::string(100000, 'x')), [&](std::error_code) {
      f.server->shutdown_write([](std::error_code error) { CHECK_FALSE(error); });
    });
    f.run();
    CHECK(answered == std::string(100000, 'x'));
    CHECK(answer_end == Errc::kEof);
  }
}

}  // namespace
}  // namespace winze
