// A request that comes again is answered from the cache: with the same bytes, to where it comes from.
#include <doctest/doctest.h>

#include <string_view>
#include <vector>

#include "support/ike_impostor.h"

namespace winze::ike {
namespace {

using namespace std::chrono_literals;
using test::Bytes;
using test::IkePair;
using test::Impostor;

Bytes bytes_of(const Buffer& buffer) { return {buffer.span().begin(), buffer.span().end()}; }

const Endpoint kElsewhere{*IpAddress::parse("203.0.113.66"), 40000};

// Everything that both ends send, with who has sent it.
struct Record {
  std::vector<std::pair<bool, Bytes>> all;

  explicit Record(IkePair& pair) {
    pair.bend = [this](bool from_a, const Buffer& datagram) {
      all.emplace_back(from_a, bytes_of(datagram));
      return IkePair::Fate{};
    };
  }
  std::vector<Bytes> of(bool a) const {
    std::vector<Bytes> some;
    for (const auto& [from_a, bytes] : all) {
      if (from_a == a) some.push_back(bytes);
    }
    return some;
  }
};

std::vector<Transmit> repeat(IkePair& pair, test::IkeEnd& to, const Path& path, const Bytes& request) {
  to.engine.receive(pair.now, path, Buffer::copy_of(request));
  std::vector<Transmit> answers;
  while (auto out = to.engine.next_transmit()) answers.push_back(std::move(*out));
  return answers;
}

TEST_CASE("ike: IKE_SA_INIT that comes again gets the same answer, and no second IKE SA") {
  IkePair pair(71);
  const Record record(pair);
  pair.b.engine.set_connections({IkePair::share(IkePair::connection(false))});
  pair.a.engine.initiate(pair.now, IkePair::share(IkePair::connection(true)), pair.route());
  pair.run(15ms);
  REQUIRE(record.of(false).size() == 1);
  const Path path{pair.b.plain, pair.a.plain, 1, false, false};
  const auto again = repeat(pair, pair.b, path, record.of(true)[0]);
  REQUIRE(again.size() == 1);
  CHECK(bytes_of(again[0].datagram) == record.of(false)[0]);
  // From elsewhere it is another's.
  Path other = path;
  other.remote = kElsewhere;
  const auto others = repeat(pair, pair.b, other, record.of(true)[0]);
  REQUIRE(others.size() == 1);
  CHECK(bytes_of(others[0].datagram) != record.of(false)[0]);
  CHECK(pair.b.engine.size() == 2);
}

TEST_CASE("ike: a request of each exchange that comes again is answered from the cache, from another path too") {
  struct Row {
    std::string_view name;
    bool by_a;
    void (*act)(Impostor&);
  };
  const Row rows[] = {
      {"IKE_AUTH", true, [](Impostor&) {}},
      {"CREATE_CHILD_SA, a rekey by A", true,
       [](Impostor& w) { w.pair.a.engine.rekey_child(w.pair.now, w.pair.a.children.begin()->first); }},
      {"CREATE_CHILD_SA, a rekey by B", false,
       [](Impostor& w) { w.pair.b.engine.rekey_child(w.pair.now, w.pair.b.children.begin()->first); }},
      {"CREATE_CHILD_SA, a child of B", false,
       [](Impostor& w) {
         w.pair.b.engine.add_child(w.pair.now, w.sa_b, std::make_shared<ChildConfig>(IkePair::child(false)));
       }},
      {"CREATE_CHILD_SA, an IKE SA of A", true, [](Impostor& w) { w.pair.a.engine.rekey(w.pair.now, w.sa_a); }},
      {"CREATE_CHILD_SA, an IKE SA of B", false, [](Impostor& w) { w.pair.b.engine.rekey(w.pair.now, w.sa_b); }},
      {"DELETE of a child by B", false,
       [](Impostor& w) { w.pair.b.engine.delete_child(w.pair.now, w.pair.b.children.begin()->first); }},
      {"DELETE by A", true, [](Impostor& w) { w.pair.a.engine.close(w.pair.now, w.sa_a); }},
      {"DELETE by B", false, [](Impostor& w) { w.pair.b.engine.close(w.pair.now, w.sa_b); }},
  };
  for (const Row& row : rows) {
    CAPTURE(row.name);
    std::unique_ptr<Record> record;
    const auto listen = [&](IkePair& pair) { record = std::make_unique<Record>(pair); };
    Impostor world(72, false, test::open_book(true), test::open_book(false), {}, {}, listen);
    IkePair& pair = world.pair;
    row.act(world);
    pair.run(15ms);  // answered, and the answer is under way
    const auto asked = record->of(row.by_a);
    const Bytes& request = asked.back();
    const Bytes answer = record->of(!row.by_a).back();
    test::IkeEnd& to = row.by_a ? pair.b : pair.a;
    const test::IkeEnd& from = row.by_a ? pair.a : pair.b;
    const std::size_t events = to.events.size(), size = to.engine.size();
    for (const Endpoint& source : {from.floated, kElsewhere}) {
      const Path path{to.floated, source, 2, true, false};
      const auto again = repeat(pair, to, path, request);
      REQUIRE(again.size() == 1);
      CHECK(bytes_of(again[0].datagram) == answer);
      CHECK(again[0].path == path);
    }
    CHECK(to.engine.counters().replays_answered == 2);
    // Nothing was done twice, and nobody has moved.
    (void)test::overhear(to);
    CHECK(to.events.size() == events);
    CHECK(to.engine.size() == size);
    const auto info = to.engine.info(row.by_a ? world.sa_b : world.sa_a);
    if (info) CHECK(info->path.remote == from.floated);
    // An older one is none that could be meant.
    const std::uint64_t ignored = to.engine.counters().out_of_window;
    if (asked.size() > 2) {
      CHECK(repeat(pair, to, {to.floated, from.floated, 2, true, false}, asked[asked.size() - 2]).empty());
      CHECK(to.engine.counters().out_of_window == ignored + 1);
    }
  }
}

TEST_CASE("ike: of a request in fragments the first alone brings the answer again, all of its fragments") {
  Connection a = test::open_book(true), b = test::open_book(false);
  a.fragment_size = b.fragment_size = 300;
  a.request.domains = b.reply.domains = {std::string(200, 'd'), std::string(200, 'e')};
  a.request.addresses = {{IpAddress(), 32}};
  std::unique_ptr<Record> record;
  Impostor world(73, false, a, b, {}, {}, [&](IkePair& pair) { record = std::make_unique<Record>(pair); });
  REQUIRE(world.is_up());
  const auto asked = record->of(true), answered = record->of(false);
  REQUIRE(asked.size() >= 3);
  REQUIRE(answered.size() >= 3);
  const Path path{world.pair.b.floated, kElsewhere, 2, true, false};
  for (std::size_t i = 1; i < asked.size(); ++i) {
    const auto again = repeat(world.pair, world.pair.b, path, asked[i]);
    REQUIRE(again.size() == (i == 1 ? answered.size() - 1 : 0));
    for (std::size_t k = 0; k < again.size(); ++k) CHECK(bytes_of(again[k].datagram) == answered[k + 1]);
  }
}

}  // namespace
}  // namespace winze::ike
