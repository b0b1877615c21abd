// Each kind of message in each state of an IKE SA that opens, at both ends: nobody comes in by it, and what is dropped
// harms nobody.
#include <doctest/doctest.h>

#include <functional>
#include <map>
#include <memory>
#include <string_view>
#include <vector>

#include "support/files.h"
#include "support/ike_states.h"

namespace winze::ike {
namespace {

using namespace std::chrono_literals;
using test::IkePair;
using test::Impostor;
using test::Outcome;

struct TestClock final : WallClock {
  UnixTime time = std::stoll(test::text_of("x509/now")) + 3600;
  UnixTime unix_now() const override { return time; }
};

// Signs never.
class LostKey final : public PrivateKey {
 public:
  explicit LostKey(PrivateKeyPtr key) : key_(std::move(key)) {}
  const PublicKey& public_key() const override { return key_->public_key(); }
  void sign(SignatureScheme, std::span<const std::uint8_t>, SignHandler done) override {
    waiting_.push_back(std::move(done));
  }

 private:
  PrivateKeyPtr key_;
  std::vector<SignHandler> waiting_;
};

class LostPasswords final : public eap::Passwords {
 public:
  void find(std::string_view, Handler found) override { waiting_.push_back(std::move(found)); }

 private:
  std::vector<Handler> waiting_;
};

class Carol final : public eap::Passwords {
 public:
  void find(std::string_view user, Handler found) override {
    found(user == "carol" ? std::optional<Secret>(Secret(std::string_view("tumbleweed"))) : std::nullopt);
  }
};

struct Setting {
  Connection a = test::open_book(true), b = test::open_book(false);
  EngineOptions for_b;
  SeededRandom random{3};
  TestClock clock;

  void use_eap(std::shared_ptr<eap::Passwords> users) {
    a.local.method = AuthMethod::kEap;
    a.local.eap = std::make_shared<const eap::PeerOptions>(
        eap::PeerOptions{.identity = "carol", .password = Secret(std::string_view("tumbleweed"))});
    b.remote = {.method = AuthMethod::kEap};
    b.remote.eap = [this, users] { return eap::make_authenticator({.users = users}, random); };
  }
  // The key of one end takes for ever.
  void use_lost_key(Connection& c) {
    a.remote.id = b.remote.id = IdentityPattern();
    const auto key = *parse_private_key(test::bytes_of("x509/server.key"));
    const auto chain = *parse_certificates(test::bytes_of("x509/server.pem"));
    c.local = {.method = AuthMethod::kPublicKey,
               .id = Identity::parse("gw.example.org"),
               .certificate = std::make_shared<const CertificateIdentity>(
                   *CertificateIdentity::create({chain.begin(), chain.end()}, std::make_shared<LostKey>(key)))};
  }
};

struct State {
  std::string_view name;
  bool at_a = false;
  bool deaf = false;    // it waits for the host: what comes meanwhile is dropped
  unsigned passes = 2;  // so many messages arrive
  bool resumes = false;
  std::function<void(Setting&)> configure;
  std::map<std::string_view, Outcome> but;
};

const std::vector<State>& states() {
  namespace n = notify;
  const Outcome misplaced = test::ends(n::kInvalidSyntax);
  static const std::vector<State> kAll = {
      {"half open", false, false, 2, false, nullptr, {}},
      {"half open, by a ticket", false, false, 2, true, nullptr, {}},
      {"a further key exchange is due",
       false,
       false,
       2,
       false,
       [](Setting& s) {
         s.a.proposals = s.b.proposals = *parse_proposals(Protocol::kIke, "aes128gcm16-prfsha256-x25519-ke1_ecp256");
       },
       {{"IKE_AUTH", misplaced}}},
      {"EAP is running",
       false,
       false,
       4,
       false,
       [](Setting& s) { s.use_eap(std::make_shared<Carol>()); },
       {{"IKE_AUTH of nobody", test::ends(n::kAuthenticationFailed)}}},
      {"EAP waits for the password",
       false,
       true,
       99,
       false,
       [](Setting& s) { s.use_eap(std::make_shared<LostPasswords>()); },
       {}},
      {"the host chooses the connection",
       false,
       true,
       99,
       false,
       [](Setting& s) { s.for_b.ask_connection = true; },
       {}},
      {"the host looks for the secret",
       false,
       true,
       99,
       false,
       [](Setting& s) { s.b.local.psk = s.b.remote.psk = Secret(); },
       {}},
      {"the host decides", false, true, 99, false, [](Setting& s) { s.b.ask_authorize = true; }, {}},
      {"the host looks for an address",
       false,
       true,
       99,
       false,
       [](Setting& s) {
         s.a.request.addresses = {{IpAddress(), 32}};
         s.b.pool = true;
       },
       {}},
      {"the host narrows", false, true, 99, false, [](Setting& s) { s.b.ask_narrow = true; }, {}},
      {"the key signs", false, true, 99, false, [](Setting& s) { s.use_lost_key(s.b); }, {}},
      {"IKE_AUTH is out", true, true, 2, false, nullptr, {}},
      {"IKE_AUTH is out, by a ticket", true, true, 2, true, nullptr, {}},
      {"IKE_INTERMEDIATE is out",
       true,
       true,
       2,
       false,
       [](Setting& s) {
         s.a.proposals = s.b.proposals = *parse_proposals(Protocol::kIke, "aes128gcm16-prfsha256-x25519-ke1_ecp256");
       },
       {}},
      {"EAP is running at the client",
       true,
       true,
       4,
       false,
       [](Setting& s) { s.use_eap(std::make_shared<Carol>()); },
       {}},
      {"the client's host looks for the secret",
       true,
       true,
       99,
       false,
       [](Setting& s) { s.a.local.psk = s.a.remote.psk = Secret(); },
       {}},
      {"the client's key signs", true, true, 99, false, [](Setting& s) { s.use_lost_key(s.a); }, {}},
  };
  return kAll;
}

struct Scene {
  Setting setting;
  std::unique_ptr<Impostor> world;
  std::size_t ups = 0;  // of the session before

  explicit Scene(const State& state) {
    if (state.configure) state.configure(setting);
    setting.a.resumption = setting.b.resumption = state.resumes;
    setting.for_b.wall_clock = &setting.clock;
    EngineOptions for_a;
    for_a.wall_clock = &setting.clock;
    world = std::make_unique<Impostor>(48, state.at_a, setting.a, setting.b, std::move(for_a), std::move(setting.for_b),
                                       [&](IkePair& pair) {
                                         if (!state.resumes) pass(pair, state.passes);
                                       });
    if (state.resumes) resume(state);
    world->next = state.at_a ? 0 : asked_ == 0 ? 1 : asked_;
    (void)test::overhear(world->attacked());
  }

 private:
  void pass(IkePair& pair, unsigned most) {
    pair.bend = [this, most, n = 0u](bool from_a, const Buffer& datagram) mutable {
      const bool passes = n++ < most;
      // Behind a marker or not: what A has asked last, and B has heard.
      if (from_a && passes && load_u32(datagram.data()) == 0) asked_ = load_u32(datagram.data() + 4 + 20);
      return IkePair::Fate{passes ? 1u : 0u};
    };
  }
  void resume(const State& state) {
    IkePair& pair = world->pair;
    ups = pair.a.count<Up>();
    const auto ticket = pair.a.last<TicketGiven>()->ticket;
    pair.b.engine.forget(world->sa_b);
    pair.a.engine.forget(world->sa_a);
    for (test::IkeEnd* const end : {&pair.a, &pair.b}) {
      end->children.clear();
      end->inbound.clear();
    }
    pass(pair, state.passes);
    world->sa_a = pair.a.engine.initiate(pair.now, IkePair::share(setting.a), pair.route(), {.ticket = ticket});
    pair.run(1s);
  }

  std::uint32_t asked_ = 0;
};

std::size_t all_ups(Impostor& world) { return world.pair.a.count<Up>() + world.pair.b.count<Up>(); }

TEST_CASE("security: each request while an IKE SA opens: nobody comes in without a proof, at either end") {
  for (const State& state : states()) {
    for (const test::Request& request : test::requests()) {
      CAPTURE(state.name);
      CAPTURE(request.name);
      Scene scene(state);
      Impostor& world = *scene.world;
      IkePair& pair = world.pair;
      REQUIRE(world.attacked().engine.size() == 1);
      REQUIRE(all_ups(world) == 2 * scene.ups);
      Outcome expected = state.deaf ? test::kDropped : request.opening;
      if (const auto but = state.but.find(request.name); but != state.but.end()) expected = but->second;
      if (!state.at_a && !state.deaf && state.passes == 4) world.next = 2;  // EAP's second
      const std::size_t events = world.attacked().events.size();
      const auto answers = world.say(request.exchange, request.make(world));
      CHECK(all_ups(world) == 2 * scene.ups);
      if (expected.kind == Outcome::Kind::kDropped) {
        CHECK(answers.empty());
        CHECK(world.attacked().events.size() == events);
        CHECK(world.attacked().engine.size() == 1);
        if (!state.deaf || state.at_a) {
          // The true peer goes on, and comes in.
          pair.bend = nullptr;
          pair.run(30s);
          const bool waits = state.passes == 99;
          CHECK(all_ups(world) == 2 * scene.ups + (waits ? 0 : 2));
          if (!waits) CHECK(pair.traffic_flows());
        }
      } else {
        REQUIRE(answers.size() == 1);
        CHECK(answers[0].error() == expected.notify);
        CHECK(pair.b.engine.half_open() == 0);
        CHECK(pair.b.count<Closed>() >= 1);
      }
      if (all_ups(world) != 2 * scene.ups) continue;
      pair.run(900s);
      CHECK(all_ups(world) == 2 * scene.ups);
      CHECK(pair.b.engine.half_open() == 0);
      CHECK(pair.b.engine.size() == 0);
    }
  }
}

TEST_CASE("security: no response while an IKE SA opens, but a proof, lets anybody in") {
  const auto answers = std::vector<test::Said>{
      {},
      test::said([](PayloadWriter& out) { write_notify(out, notify::kAuthenticationFailed); }),
      test::said([](PayloadWriter& out) {
        write_id(out, PayloadType::kIdResponder, Identity::parse("b.test"));
        write_auth(out, 2, test::Bytes(32));
      }),
      test::said([](PayloadWriter& out) { write_id(out, PayloadType::kIdResponder, Identity::parse("b.test")); }),
      test::said([](PayloadWriter& out) {
        out.add(PayloadType::kEap, test::Bytes{3, 1, 0, 4});
      }),
      test::said([](PayloadWriter& out) { write_key_exchange(out, 19, test::Bytes(64, 1)); }),
      {static_cast<PayloadType>(200), test::payload(0, {1, 2}, true)},
  };
  for (const State& state : states()) {
    for (std::size_t which = 0; which < answers.size(); ++which) {
      CAPTURE(state.name);
      CAPTURE(which);
      Scene scene(state);
      Impostor& world = *scene.world;
      for (const std::uint8_t exchange : {35, 36, 37, 43, 44, 99}) {
        for (std::uint32_t id = 0; id < 5; ++id) {
          // A gateway waits for no response; a client for one at most.
          const auto said = world.respond(static_cast<Exchange>(exchange), answers[which], id);
          if (!state.at_a) CHECK(said.empty());
        }
      }
      CHECK(all_ups(world) == 2 * scene.ups);
      if (!state.at_a) {
        CHECK(world.attacked().engine.size() == 1);
        continue;
      }
      world.pair.run(900s);
      CHECK(world.pair.a.engine.size() == 0);
      CHECK(all_ups(world) == 2 * scene.ups);
    }
  }
}

}  // namespace
}  // namespace winze::ike
