// Users that two executors serve while a third thread changes them: what ThreadSanitizer is to look at.
#include <doctest/doctest.h>

#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "winze/chain/users.h"
#include "winze/io/memory.h"
#include "winze/io/relay.h"
#include "winze/io/system.h"

namespace winze::chain {
namespace {

using namespace std::chrono_literals;

constexpr int kRounds = 100;
constexpr std::size_t kBytes = 20'000;

// Relays of one user, one after the other, each of kBytes up.
struct Worker {
  explicit Worker(Users& of_users) : users(of_users) {}

  void next() {
    running.detach();
    held.reset();
    client.reset();
    server.reset();
    if (rounds++ == kRounds) return;
    Users::Decision decision =
        users.admit(environment, "alice", *IpAddress::parse("192.0.2.1"), [this](std::error_code) {
          ++dismissed;
          running.cancel();
        });
    // Removed at the moment, or spent.
    if (decision.error) return asio::post(context, [this] { next(); });
    held = std::move(decision.admission);
    auto [near, relay_client] = memory_pair(environment);
    auto [relay_server, far] = memory_pair(environment);
    client = std::move(near);
    server = std::move(far);
    running = relay(environment, std::move(relay_client), std::move(relay_server), {.meter = held->meter()},
                    [this](const RelayResult& result) {
                      bytes += result.up;
                      asio::post(context, [this] { next(); });
                    });
    client->write(Buffer::copy_of(std::string(kBytes, 'x')), [this](std::error_code error) {
      if (!error && client) client->shutdown_write([](std::error_code) {});
    });
    server->shutdown_write([](std::error_code) {});
    drain();
  }
  void drain() {
    server->read([this](std::error_code error, Buffer) {
      if (!error && server) drain();
    });
  }

  asio::io_context context{1};
  SystemEnvironment system{context.get_executor()};
  Environment& environment = system.environment();
  Users& users;
  std::unique_ptr<Admission> held;
  StreamPtr client, server;
  Pending running;
  int rounds = 0;
  int dismissed = 0;
  std::uint64_t bytes = 0;
};

TEST_CASE("users: served by two threads, changed and read by a third") {
  Users users;
  REQUIRE(users.add("alice", 0, {}));
  Worker first(users), second(users);
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (Worker* worker : {&first, &second}) {
    threads.emplace_back([worker] {
      asio::post(worker->context, [worker] { worker->next(); });
      worker->context.run();
    });
  }
  std::thread host([&] {
    for (std::uint64_t i = 0; !stop; ++i) {
      users.update("alice", {.limits = {.up = i % 3 == 0 ? 0 : 100u << 20, .quota = i % 5 == 0 ? 0 : 1ull << 40}});
      CHECK(users.list().size() <= 1);
      if (i % 8 == 7) {
        users.remove("alice");
        users.add("alice", 0, {});
      }
      std::this_thread::sleep_for(1ms);
    }
  });
  for (std::thread& thread : threads) thread.join();
  stop = true;
  host.join();
  CHECK(first.rounds == kRounds + 1);
  CHECK(second.rounds == kRounds + 1);
  CHECK(first.bytes + second.bytes > 0);
  const auto alice = users.find("alice");
  REQUIRE(alice);
  CHECK(alice->connections == 0);
  CHECK(alice->up <= first.bytes + second.bytes);
}

TEST_CASE("users: a quota that two threads use is kept to the byte") {
  Users users;
  constexpr std::uint64_t kQuota = kBytes * kRounds + 123;
  REQUIRE(users.add("alice", 0, {.limits = {.quota = kQuota}}));
  Worker first(users), second(users);
  std::vector<std::thread> threads;
  for (Worker* worker : {&first, &second}) {
    threads.emplace_back([worker] {
      asio::post(worker->context, [worker] { worker->next(); });
      worker->context.run();
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(users.find("alice")->up == kQuota);
  CHECK(first.bytes + second.bytes == kQuota);
}

}  // namespace
}  // namespace winze::chain
