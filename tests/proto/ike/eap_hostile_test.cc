// EAP inside IKE_AUTH where one end plays false, or asks a server that is elsewhere.
#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "support/ike_impostor.h"
#include "winze/base/bytes.h"

namespace winze::ike {
namespace {

using namespace std::chrono_literals;
using test::Bytes;
using test::Heard;
using test::IkePair;
using test::Said;

class OneUser final : public eap::Passwords {
 public:
  void find(std::string_view user, Handler found) override {
    found(user == "carol" ? std::optional<Secret>(Secret(std::string_view("tumbleweed"))) : std::nullopt);
  }
};

// A gateway that proves itself by a secret, and a client that does by EAP.
struct Ends {
  SeededRandom random{3};
  test::RogueKeys keys;
  Connection a = test::open_book(true), b = test::open_book(false);

  Ends() {
    a.local.method = AuthMethod::kEap;
    a.local.eap = std::make_shared<const eap::PeerOptions>(
        eap::PeerOptions{.identity = "carol", .password = Secret(std::string_view("tumbleweed"))});
    b.remote = {.method = AuthMethod::kEap};
    b.remote.eap = [this] { return eap::make_authenticator({.users = std::make_shared<OneUser>()}, random); };
  }
  EngineOptions options() {
    EngineOptions made;
    made.key_log = [this](std::string_view line) { keys.take(line); };
    return made;
  }
  void connect(IkePair& pair) { pair.connect(IkePair::share(a), IkePair::share(b)); }
};

// --- A gateway that plays false. It is the true one, whose messages are others on their way.

// The n-th message of IKE_AUTH from the gateway becomes what `edit` makes of it, and all that follow.
template <typename F>
void play_false(IkePair& pair, Ends& ends, unsigned from, F edit) {
  pair.bend = [&pair, &ends, from, edit, n = 0u](bool from_a, const Buffer& datagram) mutable {
    if (from_a || datagram.data()[4 + 18] != static_cast<std::uint8_t>(Exchange::kAuth)) return IkePair::Fate{};
    const auto heard = test::open_with(ends.keys, datagram);
    if (!heard || n++ < from) return IkePair::Fate{};
    const Said other = edit(*heard);
    test::bring(
        pair, true,
        ends.keys.seal(pair.net, Exchange::kAuth, false, true, heard->header.message_id, other.first, other.bytes));
    return IkePair::Fate{0};
  };
}

Bytes eap_request(std::uint8_t id, std::uint8_t type, const Bytes& data = {}) {
  Bytes packet(5 + data.size());
  packet[0] = 1;
  packet[1] = id;
  store_u16(&packet[2], static_cast<std::uint16_t>(packet.size()));
  packet[4] = type;
  std::ranges::copy(data, packet.begin() + 5);
  return packet;
}

Said only_eap(const Bytes& packet) {
  return test::said([&](PayloadWriter& out) { out.add(PayloadType::kEap, packet); });
}

TEST_CASE("security: an EAP success before the method's end opens nothing (CVE-2021-45079)") {
  for (const unsigned from : {0u, 1u, 2u}) {
    CAPTURE(from);
    Ends ends;
    IkePair pair(131, ends.options());
    play_false(pair, ends, from, [&](const Heard& heard) {
      const std::uint8_t id = static_cast<std::uint8_t>(heard.header.message_id);
      // In the first message together with the gateway's own proof, which stands.
      return test::rewritten(heard.inner, [&](PayloadType type, Bytes body) -> std::optional<Bytes> {
        return type == PayloadType::kEap ? Bytes{3, id, 0, 4} : body;
      });
    });
    ends.connect(pair);
    pair.run(60s);
    CHECK(pair.a.count<Up>() + pair.b.count<Up>() == 0);
    REQUIRE(pair.a.count<Closed>() == 1);
    CHECK(pair.a.last<Closed>()->reason.text.find("EAP") != std::string::npos);
    CHECK(pair.a.engine.size() + pair.b.engine.size() == 0);
  }
}

TEST_CASE("security: a gateway that asks by methods that were not agreed on gets a Nak, and no password") {
  // MD5, GTC, which would have the password as it is; AKA; a type that is none.
  for (const std::uint8_t type : {4, 6, 23, 255}) {
    CAPTURE(type);
    Ends ends;
    IkePair pair(132, ends.options());
    std::vector<Bytes> said;
    play_false(pair, ends, 0, [&](const Heard& heard) {
      const Bytes packet = eap_request(static_cast<std::uint8_t>(heard.header.message_id + 1), type, Bytes(17, 16));
      if (heard.header.message_id > 1) return only_eap(packet);
      return test::rewritten(heard.inner, [&](PayloadType of, Bytes body) -> std::optional<Bytes> {
        return of == PayloadType::kEap ? packet : body;
      });
    });
    // What the client says goes to nobody but us.
    const IkePair::Bend false_gateway = pair.bend;
    pair.bend = [&](bool from_a, const Buffer& datagram) {
      if (const auto heard = from_a ? test::open_with(ends.keys, datagram) : std::nullopt) {
        heard->with_contents([&](const Contents& contents) {
          if (contents.eap) said.emplace_back(contents.eap->begin(), contents.eap->end());
        });
      }
      return false_gateway(from_a, datagram);
    };
    ends.connect(pair);
    pair.run(900s);
    CHECK(pair.a.count<Up>() == 0);
    REQUIRE(!said.empty());
    for (const Bytes& packet : said) {
      REQUIRE(packet.size() > 4);
      CHECK(packet[4] == 3);  // Nak
      CHECK(as_text(packet).find("tumbleweed") == std::string_view::npos);
    }
  }
}

TEST_CASE("security: a conversation without end is ended by the client") {
  enum class Kind { kNotifications, kIdentities, kTheSame };
  for (const Kind kind : {Kind::kNotifications, Kind::kIdentities, Kind::kTheSame}) {
    CAPTURE(static_cast<int>(kind));
    Ends ends;
    IkePair pair(133, ends.options());
    std::size_t rounds = 0;
    bool over = false;
    // The gateway says something after each word of the client, for as long as that one answers.
    pair.bend = [&](bool from_a, const Buffer& datagram) {
      const auto heard = test::open_with(ends.keys, datagram);
      if (!heard || over) return IkePair::Fate{};
      const bool auth = heard->header.exchange == Exchange::kAuth;
      if (!from_a) return IkePair::Fate{auth && rounds > 0 ? 0u : 1u};
      if (!auth) {
        over = true;
        return IkePair::Fate{0};
      }
      if (heard->header.message_id < 2) return IkePair::Fate{};
      if (++rounds == 2000) over = true;
      const std::uint8_t id = kind == Kind::kTheSame ? 7 : static_cast<std::uint8_t>(rounds);
      const Said next = only_eap(eap_request(id, kind == Kind::kNotifications ? 2 : 1, {'?'}));
      test::bring(
          pair, true,
          ends.keys.seal(pair.net, Exchange::kAuth, false, true, heard->header.message_id, next.first, next.bytes));
      return IkePair::Fate{0};
    };
    ends.connect(pair);
    for (int i = 0; i < 3000 && pair.a.engine.size() != 0; ++i) pair.run(1s);
    CHECK(rounds >= 200);
    CHECK(rounds < 400);
    CHECK(pair.a.engine.size() == 0);
    REQUIRE(pair.a.count<Closed>() == 1);
    CHECK(pair.a.count<Up>() == 0);
  }
}

TEST_CASE("security: EAP where none should be, and none where it should be") {
  struct Row {
    std::string_view name;
    bool client_uses_eap;
    unsigned from;
    std::function<Said(const Heard&)> edit;
  };
  const auto instead_of_auth = [](const Heard& heard) {
    return test::rewritten(heard.inner, [](PayloadType type, Bytes body) -> std::optional<Bytes> {
      if (type == PayloadType::kAuth) return std::nullopt;
      return body;
    });
  };
  const Row rows[] = {
      {"a client with a secret is asked for its identity", false, 0,
       [](const Heard&) {
         return test::said([&](PayloadWriter& out) {
           write_id(out, PayloadType::kIdResponder, Identity::parse("b.test"));
           out.add(PayloadType::kEap, eap_request(1, 1));
         });
       }},
      {"a client with a secret hears success", false, 0,
       [](const Heard&) {
         return test::said([](PayloadWriter& out) {
           write_id(out, PayloadType::kIdResponder, Identity::parse("b.test"));
           out.add(PayloadType::kEap, Bytes{3, 1, 0, 4});
         });
       }},
      {"the gateway begins EAP and does not prove itself", true, 0, instead_of_auth},
      {"the gateway proves itself and leaves EAP out", true, 0,
       [](const Heard& heard) {
         return test::rewritten(heard.inner, [](PayloadType type, Bytes body) -> std::optional<Bytes> {
           if (type == PayloadType::kEap) return std::nullopt;
           return body;
         });
       }},
      {"the gateway leaves EAP out later", true, 1, [](const Heard&) { return Said{}; }},
      {"EAP of no length", true, 1, [](const Heard&) { return only_eap({}); }},
      {"EAP that is a response", true, 1,
       [](const Heard&) {
         return only_eap({2, 1, 0, 5, 1});
       }},
      {"EAP of a length that is not true", true, 1,
       [](const Heard&) {
         return only_eap({1, 1, 1, 5, 1});
       }},
      {"a failure", true, 1,
       [](const Heard&) {
         return only_eap({4, 2, 0, 4});
       }},
      {"AUTH before EAP is at its end", true, 1,
       [](const Heard&) { return test::said([](PayloadWriter& out) { write_auth(out, 2, Bytes(32)); }); }},
  };
  for (const Row& row : rows) {
    CAPTURE(row.name);
    Ends ends;
    if (!row.client_uses_eap) {
      ends.a = test::open_book(true);
      ends.b = test::open_book(false);
    }
    IkePair pair(134, ends.options());
    play_false(pair, ends, row.from, row.edit);
    ends.connect(pair);
    pair.run(60s);
    CHECK(pair.a.count<Up>() == 0);
    REQUIRE(pair.a.count<Closed>() == 1);
    CHECK(pair.a.last<Closed>()->reason.cause != Cause::kTimedOut);
    CHECK(pair.a.engine.size() == 0);
  }
}

TEST_CASE("security: a client that plays false in EAP is not let in") {
  struct Row {
    std::string_view name;
    Bytes packet;
    bool auth;
  };
  for (const Row& row : {
           Row{"it says success itself", {3, 1, 0, 4}, false},
           Row{"it says AUTH before the end", {}, true},
           Row{"it says nothing", {}, false},
           Row{"it asks", eap_request(1, 1), false},
           Row{"a length that is not true", {2, 1, 1, 0, 26}, false},
       }) {
    CAPTURE(row.name);
    Ends ends;
    IkePair pair(135, ends.options());
    // From the second request on.
    pair.bend = [&](bool from_a, const Buffer& datagram) {
      const auto heard = from_a ? test::open_with(ends.keys, datagram) : std::nullopt;
      if (!heard || heard->header.message_id < 2) return IkePair::Fate{};
      const Said other = row.auth             ? test::said([](PayloadWriter& out) { write_auth(out, 2, Bytes(32)); })
                         : row.packet.empty() ? Said{}
                                              : only_eap(row.packet);
      test::bring(
          pair, false,
          ends.keys.seal(pair.net, Exchange::kAuth, true, false, heard->header.message_id, other.first, other.bytes));
      return IkePair::Fate{0};
    };
    ends.connect(pair);
    pair.run(300s);
    CHECK(pair.b.count<Up>() == 0);
    CHECK(pair.b.engine.half_open() == 0);
    CHECK(pair.b.engine.size() == 0);
    CHECK(pair.b.count<Closed>() == 1);
  }
}

// --- A server behind the gateway

// Does what the test wants, when it wants. The conversation itself is led by an authenticator of our own.
class FarServer final : public eap::AuthServer {
 public:
  struct State {
    std::unique_ptr<eap::Authenticator> inner;
    std::vector<std::pair<Bytes, Handler>> waiting;
    bool late = false;
    std::function<void(Reply&)> bend;
    std::optional<std::uint8_t> asked;  // the number under which it would have asked for the identity itself

    void answer_next() {
      auto [response, replied] = std::move(waiting.front());
      waiting.erase(waiting.begin());
      lead(response, std::move(replied));
    }
    void lead(Bytes response, Handler replied) {
      if (asked) response[1] = *std::exchange(asked, std::nullopt);
      inner->receive(response, [this, replied = std::move(replied)](eap::Step step) mutable {
        Reply reply{.packet = step.packet, .msk = {}, .identity = {}};
        if (step.kind == eap::Step::Kind::kSuccess) {
          reply.msk = inner->msk();
          reply.identity = std::string(inner->identity());
        }
        if (bend) bend(reply);
        replied(std::move(reply));
      });
    }
  };

  explicit FarServer(std::shared_ptr<State> state) : state_(std::move(state)) {}
  void forward(std::span<const std::uint8_t> response, Handler replied) override {
    const Bytes packet(response.begin(), response.end());
    if (state_->late) return void(state_->waiting.emplace_back(packet, std::move(replied)));
    state_->lead(packet, std::move(replied));
  }

 private:
  std::shared_ptr<State> state_;
};

struct Relayed : Ends {
  std::shared_ptr<FarServer::State> server = std::make_shared<FarServer::State>();

  Relayed() {
    server->inner = eap::make_authenticator({.users = std::make_shared<OneUser>()}, random);
    server->inner->begin([this](eap::Step step) { server->asked = step.packet.at(1); });
    b.remote.eap = [this] { return eap::relay(std::make_unique<FarServer>(server)); };
  }
};

TEST_CASE("ike: EAP that a server elsewhere leads, whose key both ends prove") {
  Relayed ends;
  IkePair pair(136, ends.options());
  ends.connect(pair);
  if (pair.b.count<Closed>() != 0) MESSAGE(pair.b.last<Closed>()->reason.to_string());
  REQUIRE(pair.a.count<Up>() == 1);
  REQUIRE(pair.b.count<Up>() == 1);
  CHECK(pair.b.last<Up>()->eap_identity == "carol");
  CHECK(pair.traffic_flows());
}

TEST_CASE("ike: a server elsewhere that takes its time at every step is waited for, and its copies are dropped") {
  Relayed ends;
  ends.server->late = true;
  bool woken = false;
  EngineOptions of_b;
  of_b.wake = [&] { woken = true; };
  IkePair pair(137, ends.options(), std::move(of_b));
  ends.connect(pair);
  unsigned steps = 0;
  for (int i = 0; i < 10 && pair.b.count<Up>() == 0; ++i) {
    // Longer than the client waits before it asks again.
    pair.run(5s);
    if (ends.server->waiting.empty()) continue;
    // The client's copies make no second question.
    REQUIRE(ends.server->waiting.size() == 1);
    woken = false;
    ends.server->answer_next();
    CHECK(woken);
    ++steps;
    pair.run(1s);
  }
  CHECK(steps >= 3);
  CHECK(pair.a.count<Up>() == 1);
  CHECK(pair.b.count<Up>() == 1);
  CHECK(pair.a.engine.counters().retransmits > 0);
  CHECK(pair.traffic_flows());
}

TEST_CASE("ike: a server elsewhere that answers when the client has gone, or the whole gateway") {
  for (const bool gateway_too : {false, true}) {
    CAPTURE(gateway_too);
    Relayed ends;
    ends.server->late = true;
    auto pair = std::make_unique<IkePair>(138, ends.options());
    ends.connect(*pair);
    REQUIRE(ends.server->waiting.size() == 1);
    pair->run(600s);
    CHECK(pair->b.engine.size() == 0);
    CHECK(pair->b.engine.half_open() == 0);
    if (gateway_too) pair.reset();
    ends.server->answer_next();
    if (!pair) continue;
    pair->run(1s);
    CHECK(pair->b.count<Up>() == 0);
  }
}

TEST_CASE("security: a server elsewhere that gives no key, a wrong one, or one of a wrong size lets nobody in") {
  struct Row {
    std::string_view name;
    std::function<void(eap::AuthServer::Reply&)> bend;
  };
  for (const Row& row : {
           Row{"no key", [](auto& reply) { reply.msk = Secret(); }},
           Row{"another key",
               [](auto& reply) {
                 if (!reply.msk.empty()) reply.msk.span()[0] ^= 1;
               }},
           Row{"half a key",
               [](auto& reply) {
                 if (!reply.msk.empty()) reply.msk = Secret(reply.msk.span().first(32));
               }},
           Row{"silence", [](auto& reply) { reply.packet.clear(); }},
           Row{"no EAP",
               [](auto& reply) {
                 reply.packet = {9, 9};
               }},
           Row{"a failure",
               [](auto& reply) {
                 reply.packet = {4, 1, 0, 4};
               }},
       }) {
    CAPTURE(row.name);
    Relayed ends;
    ends.server->bend = row.bend;
    IkePair pair(139, ends.options());
    ends.connect(pair);
    pair.run(300s);
    CHECK(pair.b.count<Up>() == 0);
    CHECK(pair.a.count<Up>() == 0);
    CHECK(pair.b.engine.size() == 0);
    REQUIRE(pair.b.count<Closed>() == 1);
    CHECK(pair.b.last<Closed>()->reason.cause == Cause::kAuthentication);
  }
}

}  // namespace
}  // namespace winze::ike
