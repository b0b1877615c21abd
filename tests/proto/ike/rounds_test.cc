// Several rounds of authentication (RFC 4739), of either end.
#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "support/files.h"
#include "support/ike_impostor.h"

namespace winze::ike {
namespace {

using namespace std::chrono_literals;
using test::Heard;
using test::IkePair;
using test::Said;

struct TestClock final : WallClock {
  UnixTime time = std::stoll(test::text_of("x509/now")) + 3600;
  UnixTime unix_now() const override { return time; }
};

class OneUser final : public eap::Passwords {
 public:
  void find(std::string_view user, Handler found) override {
    found(user == "carol" ? std::optional<Secret>(Secret(std::string_view("tumbleweed"))) : std::nullopt);
  }
};

Certificate load(const std::string& name) {
  return parse_certificates(test::bytes_of("x509/" + name + ".pem"))->front();
}

std::shared_ptr<const CertificateIdentity> identity(const std::string& name) {
  auto key = parse_private_key(test::bytes_of("x509/" + name + ".key"));
  return std::make_shared<const CertificateIdentity>(*CertificateIdentity::create({load(name), load("sub")}, *key));
}

enum class By { kSecret, kCertificate, kEap };
using enum By;
using Ways = std::vector<By>;

// A client and a gateway, each with its rounds. A secret is of its round alone.
struct Ends {
  TestClock clock;
  SeededRandom random{3};
  test::RogueKeys keys;
  Connection a = test::open_book(true), b = test::open_book(false);

  Ends(const Ways& client, const Ways& gateway) {
    set(client, true, a, b);
    set(gateway, false, b, a);
  }

  LocalAuth& local(Connection& of, std::size_t round) { return round == 0 ? of.local : of.further_local[round - 1]; }
  RemoteAuth& remote(Connection& of, std::size_t round) {
    return round == 0 ? of.remote : of.further_remote[round - 1];
  }

  EngineOptions options() {
    EngineOptions made;
    made.wall_clock = &clock;
    made.key_log = [this](std::string_view line) { keys.take(line); };
    return made;
  }
  void connect(IkePair& pair) { pair.connect(IkePair::share(a), IkePair::share(b)); }

 private:
  void set(const Ways& ways, bool of_client, Connection& who, Connection& judge) {
    who.further_local.resize(ways.size() - 1);
    judge.further_remote.resize(ways.size() - 1);
    for (std::size_t round = 0; round < ways.size(); ++round) {
      const By by = ways[round];
      LocalAuth& own = local(who, round) = {};
      RemoteAuth& peer = remote(judge, round) = {};
      const std::string number = std::to_string(round + 1);
      std::string name = (of_client ? "client" : "gateway") + number + ".test";
      if (by == kCertificate) {
        name = of_client ? "alice@example.org" : "gw.example.org";
        own.method = peer.method = AuthMethod::kPublicKey;
        own.certificate = identity(of_client ? "client" : "server");
        peer.verifier = std::make_shared<const CertificateVerifier>(std::vector{load("root")});
      } else if (by == kEap) {
        name = "carol";
        own.method = peer.method = AuthMethod::kEap;
        own.eap = std::make_shared<const eap::PeerOptions>(
            eap::PeerOptions{.identity = "carol", .password = Secret(std::string_view("tumbleweed"))});
        peer.eap = [this] { return eap::make_authenticator({.users = std::make_shared<OneUser>()}, random); };
      } else {
        own.psk = peer.psk = Secret(std::string_view((of_client ? "of the client, " : "of the gateway, ") + number));
      }
      own.id = Identity::parse(name);
      peer.id = IdentityPattern(name);
    }
  }
};

TEST_CASE("ike: both ends prove themselves in as many rounds as they have, in any order") {
  struct Row {
    Ways client, gateway;
    std::string_view client_is, gateway_is;  // by their last rounds
  };
  for (const Row& row : {
           Row{{kCertificate, kEap}, {kCertificate}, "carol", "gw.example.org"},
           Row{{kSecret, kEap}, {kCertificate}, "carol", "gw.example.org"},
           Row{{kEap, kCertificate}, {kCertificate}, "alice@example.org", "gw.example.org"},
           Row{{kSecret, kCertificate}, {kCertificate}, "alice@example.org", "gw.example.org"},
           Row{{kCertificate, kSecret}, {kSecret}, "client2.test", "gateway1.test"},
           Row{{kSecret}, {kCertificate, kSecret}, "client1.test", "gateway2.test"},
           Row{{kSecret}, {kSecret, kSecret, kCertificate}, "client1.test", "gw.example.org"},
           Row{{kSecret, kSecret, kCertificate}, {kSecret, kCertificate}, "alice@example.org", "gw.example.org"},
           Row{{kCertificate, kCertificate}, {kCertificate, kCertificate}, "alice@example.org", "gw.example.org"},
           Row{{kCertificate, kEap, kSecret}, {kCertificate, kSecret}, "client3.test", "gateway2.test"},
       }) {
    for (const unsigned copies : {1u, 2u}) {
      CAPTURE(row.client_is);
      CAPTURE(row.client.size());
      CAPTURE(row.gateway.size());
      Ends ends(row.client, row.gateway);
      ends.b.ask_authorize = true;
      IkePair pair(61, ends.options(), ends.options());
      std::string authorized;
      pair.b.on_event = [&](const Event& event) {
        const auto* const question = std::get_if<AskAuthorize>(&event);
        if (question == nullptr) return;
        authorized += question->remote.to_string() + "/" + question->eap_identity + ";";
        pair.b.engine.answer(pair.now, question->id, Allow{});
      };
      pair.bend = [&](bool, const Buffer&) { return IkePair::Fate{.copies = copies}; };
      ends.connect(pair);
      if (pair.a.count<Closed>() != 0) MESSAGE(pair.a.last<Closed>()->reason.to_string());
      if (pair.b.count<Closed>() != 0) MESSAGE(pair.b.last<Closed>()->reason.to_string());
      REQUIRE(pair.a.count<Up>() == 1);
      REQUIRE(pair.b.count<Up>() == 1);
      const bool by_eap = std::ranges::count(row.client, kEap) != 0;
      for (const auto& [end, own, peer] :
           {std::tuple(&pair.a, row.client_is, row.gateway_is), std::tuple(&pair.b, row.gateway_is, row.client_is)}) {
        CHECK(end->last<Up>()->local.to_string() == own);
        CHECK(end->last<Up>()->remote.to_string() == peer);
      }
      CHECK(pair.b.last<Up>()->eap_identity == (by_eap ? "carol" : ""));
      // Once, when all has been proved.
      CHECK(authorized == std::string(row.client_is) + "/" + (by_eap ? "carol" : "") + ";");
      CHECK(pair.traffic_flows());
    }
  }
}

TEST_CASE("ike: an address that is asked for in the first request comes with the last answer") {
  Ends ends({kCertificate, kEap}, {kCertificate});
  ends.a.request.addresses = {{*IpAddress::parse("0.0.0.0"), 0}};
  ends.b.pool = true;
  IkePair pair(62, ends.options(), ends.options());
  pair.b.on_event = [&](const Event& event) {
    if (const auto* const question = std::get_if<AskAddresses>(&event)) {
      CHECK(question->eap_identity == "carol");
      pair.b.engine.answer(pair.now, question->id, Configuration{.addresses = {{*IpAddress::parse("10.3.0.9"), 32}}});
    }
  };
  ends.connect(pair);
  REQUIRE(pair.a.count<Up>() == 1);
  CHECK(pair.a.last<Up>()->configuration.addresses.size() == 1);
}

TEST_CASE("ike: secrets of the rounds are asked for one by one, by the names of each") {
  Ends ends({kSecret, kSecret}, {kSecret, kSecret});
  for (Connection* const of : {&ends.a, &ends.b}) {
    for (const std::size_t round : {0u, 1u}) {
      ends.local(*of, round).psk = ends.remote(*of, round).psk = Secret();
    }
  }
  IkePair pair(63, ends.options(), ends.options());
  for (test::IkeEnd* const end : {&pair.a, &pair.b}) {
    end->on_event = [&pair, end](const Event& event) {
      const auto* const question = std::get_if<AskPsk>(&event);
      if (question == nullptr) return;
      const std::string one = question->local.to_string(), other = question->remote.to_string();
      const std::string both = end == &pair.a ? one + other : other + one;
      CHECK((both == "client1.testgateway1.test" || both == "client2.testgateway2.test"));
      end->engine.answer(pair.now, question->id, Secret(std::string_view(both)));
    };
  }
  ends.connect(pair);
  CHECK(pair.a.count<AskPsk>() == 2);
  CHECK(pair.b.count<AskPsk>() == 2);
  CHECK(pair.a.count<Up>() == 1);
}

TEST_CASE("ike: what has come up in rounds is known by its last ones when it resumes, and when it comes again") {
  Ends ends({kCertificate, kSecret}, {kCertificate, kSecret});
  ends.a.resumption = ends.b.resumption = true;
  IkePair pair(64, ends.options(), ends.options());
  const ConnectionPtr of_a = IkePair::share(ends.a);
  pair.connect(of_a, IkePair::share(ends.b));
  REQUIRE(pair.a.last<TicketGiven>() != nullptr);
  pair.a.engine.initiate(pair.now, of_a, pair.route(), {.ticket = pair.a.last<TicketGiven>()->ticket});
  pair.run(1s);
  CHECK(pair.b.engine.counters().resumed == 1);
  CHECK(pair.a.count<Up>() == 2);
  CHECK(pair.b.last<Up>()->remote.to_string() == "client2.test");
  // The client has not forgotten the first one, and says so.
  CHECK(pair.b.engine.size() == 2);
}

TEST_CASE("security: rounds that are wrong, wanting, too many, or of somebody else") {
  struct Row {
    std::string_view name;
    Ways client, gateway;
    std::function<void(Ends&)> change;
    bool at_gateway;  // who refuses
    Cause cause;
    std::string_view text;
  };
  const Ways cert_eap{kCertificate, kEap}, cert_psk{kCertificate, kSecret}, cert{kCertificate};
  const Row rows[] = {
      {"another secret in the second round", cert_psk, cert,
       [](Ends& e) { e.a.further_local[0].psk = Secret(std::string_view("another")); }, true, Cause::kAuthentication,
       "client2.test: it has another secret"},
      {"the secret of another round",
       {kSecret, kSecret},
       cert,
       [](Ends& e) { e.a.further_local[0].psk = e.a.local.psk; },
       true,
       Cause::kAuthentication,
       "client2.test: it has another secret"},
      {"another password", cert_eap, cert,
       [](Ends& e) {
         e.a.further_local[0].eap = std::make_shared<const eap::PeerOptions>(
             eap::PeerOptions{.identity = "carol", .password = Secret(std::string_view("wrong"))});
       },
       true, Cause::kAuthentication, "carol: EAP"},
      {"somebody else in the second round", cert_psk, cert,
       [](Ends& e) { e.a.further_local[0].id = Identity::parse("mallory.test"); }, true, Cause::kAuthentication,
       "mallory.test: it is not client2.test"},
      {"the identity of the first round in the second", cert_psk, cert,
       [](Ends& e) { e.a.further_local[0].id = e.a.local.id; }, true, Cause::kAuthentication, "it is not client2.test"},
      {"somebody else before EAP", cert_eap, cert, [](Ends& e) { e.a.further_local[0].id = Identity::parse("dave"); },
       true, Cause::kAuthentication, "dave: it is not carol"},
      {"a certificate of a stranger in the second round",
       {kSecret, kCertificate},
       cert,
       [](Ends& e) {
         e.b.further_remote[0].verifier = std::make_shared<const CertificateVerifier>(std::vector{load("stranger")});
       },
       true,
       Cause::kAuthentication,
       "alice@example.org: "},
      {"EAP where a secret is wanted", cert_eap, cert,
       [](Ends& e) { e.b.further_remote[0] = {.psk = Secret(std::string_view("a secret"))}; }, true,
       Cause::kUnsupported, "the peer wants EAP"},
      {"a secret where EAP is wanted", cert_psk, cert,
       [](Ends& e) {
         e.b.further_remote[0].method = AuthMethod::kEap;
         e.b.further_remote[0].eap = [&e] { return eap::make_authenticator({}, e.random); };
       },
       true, Cause::kAuthentication, "the peer does not use EAP"},
      {"a client with one round for a gateway that wants two", cert_psk, cert,
       [](Ends& e) { e.a.further_local.clear(); }, true, Cause::kUnsupported, "does not take several rounds"},
      {"a client that stops after the second of three",
       {kSecret, kSecret, kSecret},
       cert,
       [](Ends& e) { e.a.further_local.pop_back(); },
       true,
       Cause::kAuthentication,
       "it has ended with round 2 of 3"},
      {"a client that goes on",
       {kSecret, kSecret, kSecret},
       cert,
       [](Ends& e) { e.b.further_remote.pop_back(); },
       true,
       Cause::kAuthentication,
       "once more, which is not asked of it"},
      {"a gateway that has one round for a client that has two", cert_psk, cert,
       [](Ends& e) { e.b.further_remote.clear(); }, false, Cause::kUnsupported, "does not take several rounds"},
      {"a gateway that stops after the first of two",
       {kSecret, kSecret},
       cert_psk,
       [](Ends& e) { e.b.further_local.clear(); },
       false,
       Cause::kAuthentication,
       "it has ended with round 1 of 2"},
      {"a gateway that goes on",
       {kSecret, kSecret},
       cert_psk,
       [](Ends& e) { e.a.further_remote.clear(); },
       false,
       Cause::kAuthentication,
       "once more, which is not asked of it"},
      {"a gateway with another name in its second round",
       {kSecret},
       cert_psk,
       [](Ends& e) { e.b.further_local[0].id = Identity::parse("mallory.test"); },
       false,
       Cause::kAuthentication,
       "mallory.test: it is not gateway2.test"},
      {"a gateway with another secret in its second round",
       {kSecret},
       cert_psk,
       [](Ends& e) { e.b.further_local[0].psk = Secret(std::string_view("another")); },
       false,
       Cause::kAuthentication,
       "gateway2.test: it has another secret"},
      {"EAP before the gateway's second round",
       {kEap},
       cert_psk,
       [](Ends&) {},
       false,
       Cause::kUnsupported,
       "EAP before the responder has proved itself"},
      {"EAP before the gateway's third round, which the client does not know of",
       cert_eap,
       {kCertificate, kSecret, kSecret},
       [](Ends& e) { e.a.further_remote.pop_back(); },
       true,
       Cause::kUnsupported,
       "EAP before the responder has proved itself"},
      {"two rounds by EAP", {kEap, kEap}, cert, [](Ends&) {}, false, Cause::kUnsupported, "several rounds by EAP"},
      {"a client's PPK", cert_psk, cert,
       [](Ends& e) {
         e.a.ppks = {{"one", Secret(std::string_view("0123456789abcdef0123456789abcdef"))}};
         e.a.ppk_id = "one";
       },
       false, Cause::kUnsupported, "a PPK"},
      {"a gateway's PPK", cert_psk, cert, [](Ends& e) { e.b.ppk_required = true; }, true, Cause::kUnsupported, "a PPK"},
      {"a gateway that would prove itself by EAP",
       {kSecret},
       {kSecret, kEap},
       [](Ends&) {},
       false,
       Cause::kUnsupported,
       "EAP of the responder"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.name);
    Ends ends(row.client, row.gateway);
    row.change(ends);
    IkePair pair(65, ends.options(), ends.options());
    ends.connect(pair);
    pair.run(300s);
    const test::IkeEnd& judge = row.at_gateway ? pair.b : pair.a;
    CHECK(judge.count<Up>() == 0);
    CHECK(pair.a.count<Up>() == 0);
    REQUIRE(judge.count<Closed>() == 1);
    const Reason& reason = judge.last<Closed>()->reason;
    CAPTURE(reason.to_string());
    CHECK(reason.cause == row.cause);
    CHECK(reason.text.find(row.text) != std::string::npos);
    CHECK(pair.a.engine.size() + pair.b.engine.size() == 0);
    CHECK(pair.b.engine.half_open() == 0);
  }
}

TEST_CASE("security: no EAP, and no other name, leaves a client whose gateway has not proved who it is") {
  Ends ends({kCertificate, kEap}, {kCertificate});
  ends.a.remote.verifier = std::make_shared<const CertificateVerifier>();
  ends.a.fragmentation = false;
  IkePair pair(66, ends.options(), ends.options());
  ends.connect(pair);
  REQUIRE(pair.a.count<Closed>() == 1);
  CHECK(pair.a.last<Closed>()->reason.cause == Cause::kAuthentication);
  // IKE_SA_INIT, IKE_AUTH, and the farewell.
  CHECK(pair.a.engine.counters().sent == 3);
  CHECK(pair.b.count<Up>() == 0);
}

// --- Ends that play false. Each is a true one, whose message is another on its way.

Said without(const Heard& heard, std::uint16_t notify_type) {
  return test::rewritten(heard.inner, [&](PayloadType type, test::Bytes body) -> std::optional<test::Bytes> {
    if (type == PayloadType::kNotify && load_u16(body.data() + 2) == notify_type) return std::nullopt;
    return body;
  });
}

TEST_CASE("security: a client that leaves out what it should say of its rounds, or ends them early, is not let in") {
  struct Row {
    std::string_view name;
    std::uint32_t message;
    std::function<Said(const Heard&)> edit;
  };
  const Row rows[] = {
      {"it announces no second round", 1, [](const Heard& h) { return without(h, notify::kAnotherAuthFollows); }},
      {"it does not say that it knows of rounds", 1,
       [](const Heard& h) { return without(h, notify::kMultipleAuthSupported); }},
      {"its second round is empty", 2, [](const Heard&) { return Said{}; }},
      {"its second round has no proof", 2,
       [](const Heard&) {
         return test::said(
             [](PayloadWriter& out) { write_id(out, PayloadType::kIdInitiator, Identity::parse("client2.test")); });
       }},
      {"its second round has no name", 2,
       [](const Heard& h) {
         return test::rewritten(h.inner, [](PayloadType type, test::Bytes body) -> std::optional<test::Bytes> {
           if (type == PayloadType::kIdInitiator) return std::nullopt;
           return body;
         });
       }},
      {"EAP instead of its second round", 2,
       [](const Heard&) {
         return test::said([](PayloadWriter& out) { out.add(PayloadType::kEap, test::Bytes{2, 1, 0, 5, 1}); });
       }},
      {"it announces a third round", 2,
       [](const Heard& h) {
         return test::said([&](PayloadWriter& out) {
           PayloadChain chain;
           (void)chain.decode(h.inner.first, h.inner.bytes);
           for (const Payload& one : chain.payloads) out.add(one.type, one.body);
           write_notify(out, notify::kAnotherAuthFollows);
         });
       }},
  };
  for (const Row& row : rows) {
    CAPTURE(row.name);
    Ends ends({kSecret, kSecret}, {kSecret});
    IkePair pair(67, ends.options());
    pair.bend = [&](bool from_a, const Buffer& datagram) {
      const auto heard = from_a ? test::open_with(ends.keys, datagram) : std::nullopt;
      if (!heard || heard->header.message_id != row.message) return IkePair::Fate{};
      const Said other = row.edit(*heard);
      test::bring(pair, false,
                  ends.keys.seal(pair.net, Exchange::kAuth, true, false, row.message, other.first, other.bytes));
      return IkePair::Fate{0};
    };
    ends.connect(pair);
    pair.run(300s);
    CHECK(pair.a.count<Up>() + pair.b.count<Up>() == 0);
    REQUIRE(pair.b.count<Closed>() == 1);
    CHECK(pair.b.engine.size() == 0);
    CHECK(pair.b.engine.half_open() == 0);
  }
}

TEST_CASE("security: a gateway that leaves out its second round, or takes the client's early, is not believed") {
  struct Row {
    std::string_view name;
    std::uint32_t message;
    std::function<Said(const Heard&)> edit;
  };
  const auto proof_left_out = [](const Heard& h) {
    return test::rewritten(h.inner, [](PayloadType type, test::Bytes body) -> std::optional<test::Bytes> {
      if (type == PayloadType::kAuth || type == PayloadType::kIdResponder) return std::nullopt;
      return body;
    });
  };
  const Row rows[] = {
      {"it announces no second round", 1, [](const Heard& h) { return without(h, notify::kAnotherAuthFollows); }},
      {"its first round is left out", 1, proof_left_out},
      {"its second round is left out", 2, proof_left_out},
      {"its first answer is empty", 1, [](const Heard&) { return Said{}; }},
      {"its second answer is empty", 2, [](const Heard&) { return Said{}; }},
  };
  for (const Row& row : rows) {
    CAPTURE(row.name);
    Ends ends({kSecret, kSecret}, {kSecret, kSecret});
    IkePair pair(68, ends.options());
    pair.bend = [&](bool from_a, const Buffer& datagram) {
      const auto heard = from_a ? std::nullopt : test::open_with(ends.keys, datagram);
      if (!heard || heard->header.message_id != row.message) return IkePair::Fate{};
      const Said other = row.edit(*heard);
      test::bring(pair, true,
                  ends.keys.seal(pair.net, Exchange::kAuth, false, true, row.message, other.first, other.bytes));
      return IkePair::Fate{0};
    };
    ends.connect(pair);
    pair.run(300s);
    CHECK(pair.a.count<Up>() == 0);
    REQUIRE(pair.a.count<Closed>() == 1);
    CHECK(pair.a.last<Closed>()->reason.cause != Cause::kTimedOut);
    CHECK(pair.a.engine.size() == 0);
  }
}

TEST_CASE("security: a gateway that refuses the last round is heard, and what it says of the child is another thing") {
  for (const std::uint16_t error : {notify::kAuthenticationFailed, notify::kInvalidSyntax, notify::kTsUnacceptable}) {
    CAPTURE(error);
    Ends ends({kSecret, kSecret}, {kSecret});
    IkePair pair(69, ends.options());
    pair.bend = [&](bool from_a, const Buffer& datagram) {
      const auto heard = from_a ? std::nullopt : test::open_with(ends.keys, datagram);
      if (!heard || heard->header.message_id != 2) return IkePair::Fate{};
      const Said other = test::said([&](PayloadWriter& out) { write_notify(out, error); });
      test::bring(pair, true, ends.keys.seal(pair.net, Exchange::kAuth, false, true, 2, other.first, other.bytes));
      return IkePair::Fate{0};
    };
    ends.connect(pair);
    const bool of_child = error == notify::kTsUnacceptable;
    CHECK(pair.a.count<Up>() == of_child);
    CHECK(pair.a.count<ChildRefused>() == of_child);
    CHECK(pair.a.count<ChildUp>() == 0);
    if (!of_child) CHECK(pair.a.last<Closed>()->reason.notify == error);
  }
}

// --- One round, and a gateway that has nothing of its own to show

TEST_CASE("ike: a gateway whose secret the host has to be asked for leads EAP too") {
  Ends ends({kEap}, {kSecret});
  ends.b.local.psk = Secret();
  IkePair pair(70, ends.options(), ends.options());
  pair.b.on_event = [&](const Event& event) {
    const auto* const question = std::get_if<AskPsk>(&event);
    if (question != nullptr)
      pair.b.engine.answer(pair.now, question->id, Secret(std::string_view("of the gateway, 1")));
  };
  ends.connect(pair);
  CHECK(pair.b.count<AskPsk>() == 1);
  CHECK(pair.a.count<Up>() == 1);
  CHECK(pair.traffic_flows());
}

TEST_CASE("security: a gateway that has EAP alone refuses a client that does not take that") {
  Ends ends({kEap}, {kCertificate});
  ends.b.local = {.method = AuthMethod::kEap, .id = Identity::parse("gw.example.org")};
  IkePair pair(71, ends.options(), ends.options());
  ends.connect(pair);
  REQUIRE(pair.b.count<Closed>() == 1);
  CHECK(pair.b.last<Closed>()->reason.cause == Cause::kUnsupported);
  CHECK(pair.a.count<Up>() == 0);
}

}  // namespace
}  // namespace winze::ike
