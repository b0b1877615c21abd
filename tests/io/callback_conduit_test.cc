#include "winze/io/callback_conduit.h"

#include <doctest/doctest.h>

#include <asio/io_context.hpp>
#include <string>
#include <vector>

#include "winze/base/error.h"
#include "winze/io/system.h"

namespace winze {
namespace {

struct Fixture {
  asio::io_context context{1};
  SystemEnvironment system{context.get_executor()};
  Environment& environment = system.environment();
  std::vector<std::string> to_host;
  CallbackPair pair;

  explicit Fixture(const CallbackConduitOptions& options = {})
      : pair(make_callback_conduit(environment, options, [this](std::span<Datagram> packets) {
          for (const Datagram& packet : packets) to_host.emplace_back(packet.payload.text());
        })) {}

  std::size_t deliver(const std::vector<std::string>& texts) {
    std::vector<Buffer> packets;
    for (const std::string& text : texts) packets.push_back(Buffer::copy_of(text));
    return pair.feed.deliver(packets);
  }
  void run() {
    context.restart();
    context.poll();
  }
};

TEST_CASE("callback conduit: batches pass both ways, never inside the call that brings them") {
  Fixture f;
  std::vector<std::string> received;
  f.pair.conduit->receive([&](std::error_code error, std::span<Datagram> packets) {
    CHECK_FALSE(error);
    for (const Datagram& packet : packets) received.emplace_back(packet.payload.text());
  });
  CHECK(f.deliver({"a", "b"}) == 2);
  CHECK(f.deliver({"c"}) == 1);
  CHECK(received.empty());
  f.run();
  CHECK(received == std::vector<std::string>{"a", "b", "c"});
  Datagram out{.payload = Buffer::copy_of("out"), .peer = {}};
  CHECK(f.pair.conduit->send(std::span(&out, 1)) == 1);
  CHECK(f.to_host == std::vector<std::string>{"out"});
}

TEST_CASE("callback conduit: what nobody receives is held up to the backlog") {
  Fixture f({.backlog = 2 * Buffer::copy_of("a").capacity()});
  CHECK(f.deliver({"a", "b", "c", "d"}) == 2);
  CHECK(f.pair.feed.dropped() == 2);
  std::size_t received = 0;
  f.pair.conduit->receive([&](std::error_code, std::span<Datagram> packets) { received = packets.size(); });
  f.run();
  CHECK(received == 2);
}

TEST_CASE("callback conduit: close and destruction cancel, and nothing is taken or given any more") {
  Fixture f;
  std::error_code pending, busy, late;
  f.pair.conduit->receive([&](std::error_code error, std::span<Datagram>) { pending = error; });
  f.pair.conduit->receive([&](std::error_code error, std::span<Datagram>) { busy = error; });
  f.pair.conduit->close();
  f.pair.conduit->receive([&](std::error_code error, std::span<Datagram>) { late = error; });
  f.run();
  CHECK(pending == Errc::kAborted);
  CHECK(busy == Errc::kBusy);
  CHECK(late == Errc::kClosed);
  CHECK(f.deliver({"a"}) == 0);
  Datagram out{.payload = Buffer::copy_of("out"), .peer = {}};
  CHECK(f.pair.conduit->send(std::span(&out, 1)) == 0);
  f.pair.conduit.reset();
  CHECK(f.deliver({"a"}) == 0);
  CHECK(f.pair.feed.dropped() == 2);
  CHECK(f.to_host.empty());
}

}  // namespace
}  // namespace winze
