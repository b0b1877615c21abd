// Associations under global ids: kept, taken over and over for good, by sessions on one executor and on two.
#include "winze/chain/associations.h"

#include <doctest/doctest.h>

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <atomic>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/fake_dialer.h"
#include "support/simulator.h"
#include "winze/base/error.h"
#include "winze/io/system.h"

namespace winze::chain {
namespace {

using namespace std::chrono_literals;
using Texts = std::vector<std::string>;
using test::send;

const Destination kPeer("192.0.2.1", 53, Network::kUdp);

// An executor of a node.
struct Loop {
  Loop(std::uint64_t seed, const std::shared_ptr<AssociationTable>& table) : sim(seed) {
    associations.emplace(sim.environment(), table);
  }
  test::Simulator sim;
  std::optional<Associations> associations;
  std::shared_ptr<test::FakeDialer> dialer = std::make_shared<test::FakeDialer>(sim.environment());
};

// What a session has asked for.
struct Session {
  ConduitPtr conduit;
  std::error_code error;
  int answers = 0;
  Pending pending;
};

struct Fixture {
  explicit Fixture(const AssociationLimits& limits = {}) : table(make_association_table(limits)) {}
  ~Fixture() {
    for (const auto& session : sessions) session->conduit.reset();
    run();
  }

  Session& open(Loop& loop, const Associations::Flow& flow) {
    Session& session = *sessions.emplace_back(std::make_unique<Session>());
    session.pending =
        loop.associations->open(flow, loop.dialer, [&session](const DialError& error, ConduitPtr conduit) {
          session.pending.detach();
          ++session.answers;
          session.error = error;
          session.conduit = std::move(conduit);
        });
    CHECK(session.answers == 0);
    run();
    return session;
  }
  // One that has what the dialer opens.
  Session& open_fresh(Loop& loop, const Associations::Flow& flow) {
    const std::size_t before = loop.dialer->opens.size();
    Session& session = open(loop, flow);
    REQUIRE(loop.dialer->opens.size() == before + 1);
    CHECK(is_everyone(loop.dialer->opens.back()->destination));
    auto [outside, world] = test::conduit_pair(loop.sim.environment());
    worlds.push_back(std::move(world));
    test::answer(loop.dialer->opens.back(), {}, std::move(outside));
    run();
    REQUIRE(session.conduit);
    return session;
  }
  // Neither executor waits for the other.
  void run() {
    for (int i = 0; i < 8; ++i) {
      a.sim.run_ready();
      b.sim.run_ready();
    }
  }
  std::size_t opens() const { return a.dialer->opens.size() + b.dialer->opens.size(); }
  // Whether what the n-th dial has opened is still there.
  bool is_open(std::size_t n) { return send(*worlds[n], "?", kPeer); }

  std::shared_ptr<AssociationTable> table;
  Loop a{1, table}, b{2, table};
  std::vector<ConduitPtr> worlds;
  std::vector<std::unique_ptr<Session>> sessions;
};

Associations::Flow flow(std::uint8_t id, std::string_view user = "ann") {
  return {.users = nullptr, .inbound = "in", .outbound = "out", .user = std::string(user), .id = {id}};
}

TEST_CASE("associations: what a session leaves the next one finds, on its executor and on another") {
  for (const bool crosses : {false, true}) {
    CAPTURE(crosses);
    Fixture f;
    f.open_fresh(f.a, flow(1)).conduit.reset();
    f.run();
    CHECK(send(*f.worlds[0], "to nobody", kPeer));
    f.run();
    Session& next = f.open(crosses ? f.b : f.a, flow(1));
    REQUIRE(next.conduit);
    CHECK(f.opens() == 1);
    const test::Receiver world(*f.worlds[0]), here(*next.conduit);
    CHECK(send(*next.conduit, "out", kPeer));
    CHECK(send(*f.worlds[0], "back", kPeer));
    f.run();
    CHECK(world.texts() == Texts{"out"});
    CHECK(world.peers()[0] == kPeer);
    CHECK(here.texts() == Texts{"back"});
    CHECK(here.peers()[0] == kPeer);
    CHECK(next.conduit->dropped() == 0);
  }
}

TEST_CASE("associations: what a session holds another takes over, and the first has no more to do with it") {
  for (const bool crosses : {false, true}) {
    CAPTURE(crosses);
    Fixture f;
    Session& first = f.open_fresh(f.a, flow(1));
    const test::Receiver at_first(*first.conduit);
    Session& next = f.open(crosses ? f.b : f.a, flow(1));
    REQUIRE(next.conduit);
    CHECK(at_first.error() == Errc::kEof);
    CHECK_FALSE(send(*first.conduit, "late", kPeer));
    first.conduit.reset();
    f.run();
    const test::Receiver world(*f.worlds[0]);
    CHECK(send(*next.conduit, "mine", kPeer));
    f.run();
    CHECK(world.texts() == Texts{"mine"});
    // And back.
    Session& last = f.open(f.a, flow(1));
    REQUIRE(last.conduit);
    CHECK(f.opens() == 1);
  }
}

TEST_CASE("associations: another's is not found: of a user, an inbound, an outbound, an id") {
  Fixture f;
  const auto users = std::make_shared<Users>();
  users->add("ann", 0, {});
  f.open_fresh(f.a, flow(1)).conduit.reset();
  f.open_fresh(f.a, flow(1, "bob"));
  f.open_fresh(f.b, flow(2));
  Associations::Flow other = flow(1);
  other.inbound = "another";
  f.open_fresh(f.b, other);
  other = flow(1);
  other.outbound = "another";
  f.open_fresh(f.a, other);
  other = flow(1);
  other.users = users;
  f.open_fresh(f.a, other);
  CHECK(f.opens() == 6);
  for (std::size_t i = 0; i < 6; ++i) CHECK(f.is_open(i));
}

TEST_CASE("associations: over when nobody has come for it in time") {
  Fixture f({.keep = 10s});
  f.open_fresh(f.a, flow(1)).conduit.reset();
  f.run();
  f.a.sim.run_for(9s);
  CHECK(f.is_open(0));
  Session& next = f.open(f.b, flow(1));
  f.a.sim.run_for(30s);
  CHECK(f.is_open(0));
  next.conduit.reset();
  f.run();
  f.a.sim.run_for(9s);
  CHECK(f.is_open(0));
  f.a.sim.run_for(2s);
  CHECK_FALSE(f.is_open(0));
  f.open_fresh(f.a, flow(1));
}

TEST_CASE("associations: of a user and of all so many are kept, the latest") {
  Fixture f({.per_user = 2, .all = 3});
  for (const std::uint8_t id : {1, 2, 3}) f.open_fresh(id == 2 ? f.b : f.a, flow(id));
  for (const auto& session : f.sessions) {
    session->conduit.reset();
    f.run();
  }
  CHECK_FALSE(f.is_open(0));
  CHECK(f.is_open(1));
  CHECK(f.is_open(2));
  for (const std::string_view user : {"bob", "eve"}) {
    f.open_fresh(f.a, flow(1, user)).conduit.reset();
    f.run();
  }
  CHECK_FALSE(f.is_open(1));
  CHECK(f.is_open(2));
  CHECK(f.is_open(3));
  CHECK(f.is_open(4));
  // One that is held again is not among them.
  Session& held = f.open(f.b, flow(3));
  CHECK(held.conduit);
  f.open_fresh(f.b, flow(4, "joe")).conduit.reset();
  f.run();
  for (const std::size_t i : {2, 3, 4, 5}) CHECK(f.is_open(i));
}

// A conduit that fails when it is told to.
class Failing final : public PacketConduit {
 public:
  explicit Failing(const Executor& executor) : executor_(executor), inbox(std::make_shared<DatagramInbox>(executor)) {}
  ~Failing() override { inbox->close(); }
  std::size_t send(std::span<Datagram> datagrams) override { return datagrams.size(); }
  void receive(ReceiveHandler handler) override { inbox->receive(std::move(handler)); }
  void close() override { inbox->close(); }
  std::size_t mtu() const override { return 1400; }
  Overhead overhead() const override { return {.front = 3, .back = 4}; }
  std::uint64_t dropped() const override { return 0; }
  const Executor& executor() const override { return executor_; }

 private:
  Executor executor_;

 public:
  std::shared_ptr<DatagramInbox> inbox;
};

TEST_CASE("associations: an outbound that fails ends who holds it, and is not taken over") {
  for (const bool held : {false, true}) {
    CAPTURE(held);
    Fixture f;
    Session& session = f.open(f.a, flow(1));
    auto outside = std::make_unique<Failing>(f.a.sim.environment().executor);
    const auto inbox = outside->inbox;
    test::answer(f.a.dialer->opens[0], {}, std::move(outside));
    f.run();
    REQUIRE(session.conduit);
    CHECK(session.conduit->mtu() == 1400);
    CHECK(session.conduit->overhead() == Overhead{.front = 3, .back = 4});
    const test::Receiver here(*session.conduit);
    if (!held) session.conduit.reset();
    f.run();
    inbox->close(Errc::kTruncated);
    f.run();
    if (held) CHECK(here.error() == Errc::kTruncated);
    f.open_fresh(f.a, flow(1));
  }
}

TEST_CASE("associations: while it is being opened it is taken over as well, and left is given up") {
  Fixture f;
  Session& first = f.open(f.a, flow(1));
  Session& next = f.open(f.b, flow(1));
  CHECK(first.answers == 1);
  CHECK(first.error == Errc::kEof);
  CHECK(next.answers == 0);
  auto [outside, world] = test::conduit_pair(f.a.sim.environment());
  test::answer(f.a.dialer->opens[0], {}, std::move(outside));
  f.run();
  CHECK(next.conduit);
  Session& left = f.open(f.a, flow(2));
  left.pending.cancel();
  CHECK(left.answers == 0);
  f.run();
  CHECK(left.answers == 1);
  CHECK(left.error == Errc::kAborted);
  CHECK_FALSE(bool(f.a.dialer->opens[1]->handler));
  Session& refused = f.open(f.a, flow(2));
  test::answer(f.a.dialer->opens[2], DialError(Errc::kRefusedPolicy, "why"), ConduitPtr());
  f.run();
  CHECK(refused.error == Errc::kRefusedPolicy);
  f.open_fresh(f.b, flow(2));
}

TEST_CASE("associations: over when the user is removed, at once or with its session, and counted as no connection") {
  Fixture f;
  const auto users = std::make_shared<Users>();
  users->add("ann", 0, {.limits = {.connections = 1, .addresses = 1}});
  Associations::Flow kept = flow(1), held = flow(2);
  kept.users = held.users = users;
  f.open_fresh(f.a, kept).conduit.reset();
  Session& session = f.open_fresh(f.b, held);
  f.run();
  CHECK(users->find("ann")->connections == 0);
  CHECK(users->find("ann")->connections_total == 0);
  CHECK(users->find("ann")->addresses == 0);
  CHECK(users->remove("ann"));
  f.run();
  CHECK_FALSE(f.is_open(0));
  // The session is told so itself.
  CHECK(f.is_open(1));
  session.conduit.reset();
  f.run();
  CHECK_FALSE(f.is_open(1));
  CHECK(f.open(f.a, kept).error == UserErrc::kRemoved);
  users->add("ann", 0, {});
  f.open_fresh(f.a, kept);
}

TEST_CASE("associations: an executor that goes takes its own along, and who waits for them opens others") {
  Fixture f;
  f.open_fresh(f.a, flow(1)).conduit.reset();
  f.open_fresh(f.a, flow(2));
  Session& held = f.open(f.b, flow(2));
  const test::Receiver there(*held.conduit);
  Session& waiting = *f.sessions.emplace_back(std::make_unique<Session>());
  waiting.pending = f.b.associations->open(flow(1), f.b.dialer, [&](const DialError& error, ConduitPtr conduit) {
    waiting.pending.detach();
    ++waiting.answers;
    waiting.error = error;
    waiting.conduit = std::move(conduit);
  });
  f.a.associations.reset();
  f.run();
  CHECK_FALSE(f.is_open(0));
  CHECK_FALSE(f.is_open(1));
  CHECK(there.error() == Errc::kAborted);
  CHECK_FALSE(send(*held.conduit, "x", kPeer));
  CHECK(held.conduit->dropped() == 1);
  CHECK(waiting.answers == 0);
  CHECK(f.b.dialer->opens.size() == 1);
  waiting.pending.cancel();
  f.run();
  CHECK(waiting.error == Errc::kAborted);
}

TEST_CASE("associations: stopped, nothing is kept") {
  Fixture f;
  f.open_fresh(f.a, flow(1)).conduit.reset();
  Session& held = f.open_fresh(f.a, flow(2));
  f.run();
  f.a.associations->stop();
  CHECK_FALSE(f.is_open(0));
  CHECK(f.is_open(1));
  held.conduit.reset();
  f.run();
  CHECK_FALSE(f.is_open(1));
}

TEST_CASE("associations: between executors so much waits, and the rest is dropped") {
  Fixture f;
  f.open_fresh(f.a, flow(1)).conduit.reset();
  f.run();
  Session& session = f.open(f.b, flow(1));
  const test::Receiver world(*f.worlds[0]);
  std::size_t taken = 0;
  for (int i = 0; i < 1000; ++i) taken += send(*session.conduit, std::string(1000, 'x'), kPeer) ? 1 : 0;
  CHECK(taken > 400);
  CHECK(taken < 600);
  CHECK(session.conduit->dropped() == 1000 - taken);
  f.run();
  CHECK(world.texts().size() == taken);
  CHECK(send(*session.conduit, "again", kPeer));
}

// Sessions on two threads that take one flow from each other: what ThreadSanitizer is to look at.
struct Thread {
  Thread(const std::shared_ptr<AssociationTable>& table, std::atomic<int>& threads_running)
      : associations(environment, table), running(threads_running) {}

  void next() {
    pending.detach();
    conduit.reset();
    if (rounds++ == kRounds) return finish();
    pending = associations.open(flow(1), dialer, [this](const DialError& error, ConduitPtr opened) {
      if (error) return asio::post(context, [this] { next(); });
      ++opens;
      conduit = std::move(opened);
      for (int i = 0; i < 5; ++i) send(*conduit, "x", kPeer);
      conduit->receive([this](std::error_code, std::span<Datagram>) { asio::post(context, [this] { next(); }); });
    });
  }

  // The other may need what is opened here until it has finished too.
  void finish() {
    if (!std::exchange(finished, true)) --running;
    if (running == 0) {
      associations.stop();  // or what is kept would hold the loop for its minute
      return work.reset();
    }
    timer->arm(environment.clock.now() + 1ms, [this] { finish(); });
  }

  // Opens what echoes.
  class Echo final : public Dialer {
   public:
    explicit Echo(Environment& environment) : environment_(environment) {}
    Pending dial(const Destination&, Handler) override { return {}; }
    Pending open_conduit(const Destination&, ConduitHandler handler) override {
      asio::post(environment_.executor, [this, handler = std::move(handler)]() mutable {
        auto [near, far] = test::conduit_pair(environment_);
        auto echo = std::make_shared<ConduitPtr>(std::move(far));
        serve(echo);
        handler({}, std::move(near));
      });
      return {};
    }
    const Executor& executor() const override { return environment_.executor; }

   private:
    void serve(const std::shared_ptr<ConduitPtr>& echo) {
      echoes_.push_back(echo);
      pump(*echo);
    }
    static void pump(ConduitPtr& echo) {
      echo->receive([&echo](std::error_code error, std::span<Datagram> datagrams) {
        if (error) return;
        echo->send(datagrams);
        pump(echo);
      });
    }
    Environment& environment_;
    std::vector<std::shared_ptr<ConduitPtr>> echoes_;
  };

  static constexpr int kRounds = 200;
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
  SystemEnvironment system{context.get_executor()};
  Environment& environment = system.environment();
  TimerPtr timer = environment.clock.make_timer();
  std::shared_ptr<Echo> dialer = std::make_shared<Echo>(environment);
  Associations associations;
  ConduitPtr conduit;
  Pending pending;
  std::atomic<int>& running;
  bool finished = false;
  int rounds = 0;
  int opens = 0;
};

TEST_CASE("associations: two threads take one flow from each other") {
  const auto table = make_association_table();
  std::atomic<int> running{2};
  Thread first(table, running), second(table, running);
  std::vector<std::thread> threads;
  for (Thread* thread : {&first, &second}) {
    threads.emplace_back([thread] {
      asio::post(thread->context, [thread] { thread->next(); });
      thread->context.run();
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(first.rounds == Thread::kRounds + 1);
  CHECK(second.rounds == Thread::kRounds + 1);
  CHECK(first.opens + second.opens > 0);
}

}  // namespace
}  // namespace winze::chain
