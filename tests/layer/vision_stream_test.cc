// VLESS's flow xtls-rprx-vision over TLS, as streams: nothing is lost where both ends leave TLS, however the bytes are
// cut, and from there on they are on the wire as they are.
#include <doctest/doctest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/inner_tls.h"
#include "support/layer_cases.h"
#include "support/segments.h"
#include "support/simulator.h"
#include "winze/base/error.h"
#include "winze/io/codec_stream.h"
#include "winze/io/memory.h"
#include "winze/proto/vless/codec.h"

namespace winze {
namespace {

using test::application_data;

const Uuid kId = *Uuid::parse("6d1c6a3e-2f0b-4f0e-9a57-0d5b7c2f4a11");

const test::LayerCase& layer(std::string_view name) {
  for (const test::LayerCase& each : test::layer_cases()) {
    if (each.name == name) return each;
  }
  throw std::runtime_error("no such layer");
}

// Shows what goes over the wire, both ways.
class Tap final : public StreamCodec {
 public:
  explicit Tap(std::string& seen) : seen_(seen) {}
  Overhead overhead() const override { return {}; }
  std::error_code seal(Buffer& data) override { return note(data); }
  std::error_code open(Buffer& data, Buffer&) override { return note(data); }

 private:
  std::error_code note(const Buffer& data) {
    seen_ += data.text();
    return {};
  }
  std::string& seen_;
};

struct End {
  void open(Environment& environment, StreamPtr below, std::vector<std::unique_ptr<StreamCodec>> codecs) {
    open_next(environment, std::move(below), std::make_shared<decltype(codecs)>(std::move(codecs)), 0);
  }

  void open_next(Environment& environment, StreamPtr below,
                 std::shared_ptr<std::vector<std::unique_ptr<StreamCodec>>> codecs, std::size_t at) {
    if (at == codecs->size()) {
      stream = std::move(below);
      return read();
    }
    open_codec(environment, std::move(below), std::move((*codecs)[at]), Duration::zero(),
               [this, &environment, codecs, at](Opened opened) {
                 error = opened.error;
                 if (error) return detail.assign(detail_of(opened)), void();
                 open_next(environment, std::move(opened.stream), codecs, at + 1);
               })
        .detach();
  }

  void read() {
    stream->read([this](std::error_code failed, Buffer data) {
      received += data.text();
      read_error = failed;
      if (!failed) read();
    });
  }

  void write(std::string_view text) {
    stream->write(Buffer::copy_of(text, stream->overhead()), [this](std::error_code failed) { CHECK_FALSE(failed); });
  }

  StreamPtr stream;
  std::error_code error;
  std::string detail;
  std::string received;
  std::error_code read_error;
};

struct Fixture {
  explicit Fixture(std::size_t segment, std::string_view tls = "tls 1.3") {
    auto [near, far] = memory_pair(sim.environment(), {.segment = segment});
    auto users = std::make_shared<vless::UserTable>();
    users->add(kId, {.name = "peer", .flow = vless::Flow::kVision});
    std::vector<std::unique_ptr<StreamCodec>> up, down;
    up.push_back(std::make_unique<Tap>(wire));
    if (!tls.empty()) up.push_back(layer(tls).client(sim.environment()));
    up.push_back(std::make_unique<vless::ClientCodec>(kId, Destination("a.test", 443), sim.environment().random));
    if (!tls.empty()) down.push_back(layer(tls).server(sim.environment()));
    down.push_back(
        std::make_unique<vless::ServerCodec>(users, vless::ServerOptions{.random = &sim.environment().random}));
    client.open(sim.environment(), std::move(near), std::move(up));
    server.open(sim.environment(), std::move(far), std::move(down));
    sim.run_ready();
  }
  // What reads still is called back.
  ~Fixture() {
    client.stream.reset();
    server.stream.reset();
    sim.run_ready();
  }

  void say(bool up, const std::string& text) {
    (up ? client : server).write(text);
    sim.run_ready();
    (up ? sent_up : sent_down) += text;
  }

  test::Simulator sim{1};
  std::string wire;
  End client, server;
  std::string sent_up, sent_down;
};

TEST_CASE("vision: both ends leave TLS, and nothing is lost, in segments of any size") {
  for (const std::size_t segment : test::kSegmentSizes) {
    CAPTURE(segment);
    Fixture f(segment);
    REQUIRE(f.client.stream);
    f.say(true, test::client_hello());
    REQUIRE(f.server.stream);
    f.say(false, test::server_hello() + application_data(3000, 'c'));
    // The client leaves with its first record; the rest of what it writes at once follows on the bare wire.
    f.say(true, application_data(53, 'f') + application_data(20, 'g').substr(0, 9));
    f.say(true, application_data(20, 'g').substr(9));
    f.say(true, application_data(1000, 'q'));
    CHECK(f.server.received == f.sent_up);
    CHECK(f.wire.find(application_data(1000, 'q')) != std::string::npos);
    CHECK(f.wire.find(application_data(53, 'f')) == std::string::npos);
    f.say(false, application_data(200, 't'));
    f.say(false, application_data(16384, 'v') + application_data(5000, 'w'));
    f.say(true, application_data(1, 'x'));
    CHECK(f.client.received == f.sent_down);
    CHECK(f.server.received == f.sent_up);
    CHECK(f.wire.find(application_data(5000, 'w')) != std::string::npos);
    // The end of a direction is the end of the connection's, without a mark of TLS.
    const std::size_t size = f.wire.size();
    f.client.stream->shutdown_write([](std::error_code) {});
    f.sim.run_ready();
    CHECK(f.server.read_error == Errc::kEof);
    f.say(false, application_data(7, 'y'));
    f.server.stream->shutdown_write([](std::error_code) {});
    f.sim.run_ready();
    CHECK(f.client.received == f.sent_down);
    CHECK(f.client.read_error == Errc::kEof);
    CHECK(f.wire.size() == size + 12);
  }
}

TEST_CASE("vision: raw bytes that come with the last record of TLS are handed on unopened") {
  // Both writes are on the wire before the server reads.
  for (const std::size_t size : {std::size_t{1}, std::size_t{1000}, std::size_t{16000}, std::size_t{200000}}) {
    CAPTURE(size);
    Fixture f(1 << 20);
    f.say(true, test::client_hello());
    f.say(false, test::server_hello());
    std::string raw;
    while (raw.size() < size) raw += application_data(std::min<std::size_t>(size, 16000), 'r');
    f.client.stream->write(Buffer::copy_of(application_data(53) + raw, f.client.stream->overhead()),
                           [](std::error_code) {});
    f.sim.run_ready();
    f.say(true, application_data(10, 'e'));
    CHECK(f.server.received.ends_with(raw + application_data(10, 'e')));
    CHECK_FALSE(f.server.read_error);
  }
}

TEST_CASE("vision: what is not TLS 1.3 inside stays within") {
  Fixture f(1400);
  f.say(true, "GET / HTTP/1.1\r\n\r\n");
  for (int i = 0; i < 10; ++i) f.say(i % 2 == 0, std::string(500, static_cast<char>('a' + i)));
  CHECK(f.server.received == f.sent_up);
  CHECK(f.client.received == f.sent_down);
  CHECK(f.wire.find(std::string(100, 'j')) == std::string::npos);
}

TEST_CASE("vision: needs TLS 1.3 right below") {
  for (const std::string_view tls : {"tls 1.2", ""}) {
    Fixture f(65536, tls);
    CHECK(f.client.error == Errc::kUnsupported);
    CHECK(f.client.detail == "the flow xtls-rprx-vision needs TLS 1.3 right below VLESS");
  }
}

TEST_CASE("vision: bytes around TLS are an error for who has not left it") {
  test::Simulator sim{1};
  auto [near, far] = memory_pair(sim.environment());
  End client, server;
  std::vector<std::unique_ptr<StreamCodec>> up, down;
  up.push_back(layer("tls 1.3").client(sim.environment()));
  down.push_back(layer("tls 1.3").server(sim.environment()));
  client.open(sim.environment(), std::move(near), std::move(up));
  server.open(sim.environment(), std::move(far), std::move(down));
  sim.run_ready();
  REQUIRE(server.stream);
  CHECK(client.stream->can_be_left());
  client.stream->stop_sealing();
  client.write(application_data(100));
  sim.run_ready();
  CHECK(server.read_error);
  CHECK(server.received.empty());
}

}  // namespace
}  // namespace winze
