// A host that never answers what its own engine asks: EngineOptions::host_timeout. Keys that do not sign are in
// certificates_test.cc, passwords that do not come in eap_test.cc.
#include <doctest/doctest.h>

#include <string_view>

#include "proto/ike/wire.h"
#include "support/ike_pair.h"

namespace winze::ike {
namespace {

using namespace std::chrono_literals;
using test::IkePair;

EngineOptions patient(Duration host_timeout) {
  EngineOptions options;
  options.host_timeout = host_timeout;
  return options;
}

void take_secret(Connection& connection) { connection.local.psk = connection.remote.psk = Secret(); }

TEST_CASE("ike: an initiator whose host brings no secret ends, at the exact time, and says why") {
  Connection a = IkePair::connection(true);
  take_secret(a);
  IkePair pair(81, patient(10s));
  pair.connect(IkePair::share(a));
  REQUIRE(pair.a.count<AskPsk>() == 1);
  // The answer to IKE_SA_INIT has taken two flights.
  pair.run(9s + 10ms);
  CHECK(pair.a.count<Closed>() == 0);
  pair.run(20ms);
  REQUIRE(pair.a.count<Closed>() == 1);
  CHECK(pair.a.last<Closed>()->reason.stage == Stage::kAuth);
  CHECK(pair.a.last<Closed>()->reason.cause == Cause::kHostTimedOut);
  CHECK(pair.a.engine.size() == 0);
  CHECK_FALSE(pair.a.engine.answer(pair.now, pair.a.last<AskPsk>()->id, Secret(std::string_view("late"))));
}

TEST_CASE("ike: without a limit the host is waited for") {
  Connection a = IkePair::connection(true);
  take_secret(a);
  IkePair pair(82, patient(0s));
  pair.connect(IkePair::share(a));
  pair.run(1h);
  CHECK(pair.a.engine.size() == 1);
  CHECK(pair.a.engine.deadline() == kNever);
  CHECK(pair.a.engine.answer(pair.now, pair.a.last<AskPsk>()->id, Secret(std::string_view("at last"))));
}

struct Question {
  std::string_view name;
  void (*want)(Connection& a, Connection& b, EngineOptions& of_b);
};

const Question kQuestions[] = {
    {"connection", [](Connection&, Connection&, EngineOptions& of_b) { of_b.ask_connection = true; }},
    {"secret", [](Connection&, Connection& b, EngineOptions&) { take_secret(b); }},
    {"authorize", [](Connection&, Connection& b, EngineOptions&) { b.ask_authorize = true; }},
    {"addresses",
     [](Connection& a, Connection& b, EngineOptions&) {
       a.request.addresses = {{IpAddress(), 32}};
       b.pool = true;
     }},
    {"narrow", [](Connection&, Connection& b, EngineOptions&) { b.ask_narrow = true; }},
};

TEST_CASE("ike: a responder whose host does not answer refuses the peer, and says why") {
  // By its own time, or because half open IKE SAs get no more.
  for (const Duration host_timeout : {Duration(10s), Duration(60s)}) {
    for (const Question& question : kQuestions) {
      CAPTURE(question.name);
      Connection a = IkePair::connection(true), b = IkePair::connection(false);
      EngineOptions of_b = patient(host_timeout);
      question.want(a, b, of_b);
      IkePair pair(83, {}, std::move(of_b));
      pair.connect(IkePair::share(a), IkePair::share(b));
      pair.run(8s);
      CHECK(pair.b.count<Closed>() == 0);
      pair.run(host_timeout == Duration(10s) ? 2s : 22s);
      REQUIRE(pair.b.count<Closed>() == 1);
      CHECK(pair.b.last<Closed>()->reason.stage == Stage::kAuth);
      CHECK(pair.b.last<Closed>()->reason.cause == Cause::kHostTimedOut);
      REQUIRE(pair.a.count<Closed>() == 1);
      CHECK(pair.a.last<Closed>()->reason.notify == notify::kAuthenticationFailed);
      pair.run(60s);
      CHECK(pair.b.engine.size() == 0);
    }
  }
}

TEST_CASE("ike: a child that the host says nothing of is refused for now, and taken when it is asked for again") {
  Connection b = IkePair::connection(false);
  b.ask_narrow = true;
  IkePair pair(84, {}, patient(10s));
  bool answers = true;
  pair.b.on_event = [&](const Event& event) {
    const auto* const ask = std::get_if<AskNarrow>(&event);
    if (ask != nullptr && answers) pair.b.engine.answer(pair.now, ask->id, ask->selectors);
  };
  pair.connect(nullptr, IkePair::share(b));
  REQUIRE(pair.a.count<ChildUp>() == 1);
  answers = false;
  REQUIRE(pair.a.engine.rekey_child(pair.now, pair.a.last<ChildUp>()->child));
  pair.run(9s);
  CHECK(pair.b.count<ChildRefused>() == 0);
  answers = true;
  pair.run(5s);
  REQUIRE(pair.b.count<ChildRefused>() == 1);
  CHECK(pair.b.last<ChildRefused>()->reason.stage == Stage::kUp);
  CHECK(pair.b.last<ChildRefused>()->reason.cause == Cause::kHostTimedOut);
  CHECK(pair.b.last<ChildRefused>()->config != nullptr);
  CHECK(pair.a.count<ChildOutbound>() == 1);
  CHECK(pair.a.count<Closed>() + pair.b.count<Closed>() == 0);
  CHECK(pair.traffic_flows());
}

}  // namespace
}  // namespace winze::ike
