// The users of a node, with their credentials, while its inbounds are at work.
#include "winze/node/ledger.h"

#include <doctest/doctest.h>

#include <string>

#include "node/inbounds.h"
#include "support/fake_dialer.h"
#include "support/simulator.h"
#include "winze/base/error.h"
#include "winze/base/status.h"
#include "winze/base/uuid.h"
#include "winze/io/memory.h"
#include "winze/node/salt_files.h"

namespace winze::node {
namespace {

const std::string kIds[] = {"6d1c6a3e-2f0b-4f0e-9a57-0d5b7c2f4a11", "11111111-2222-4333-8444-555555555555"};

NodeOptions options_of(std::vector<InboundOptions> inbounds) {
  NodeOptions out;
  out.inbounds = std::move(inbounds);
  for (std::size_t i = 0; i < out.inbounds.size(); ++i) out.inbounds[i].path = "inbounds[" + std::to_string(i) + "]";
  out.outbounds.push_back({.path = "outbounds[0]", .tag = "direct"});
  return out;
}

std::string message_of_add(InboundUsers& users, const InboundUser& user) {
  const absl::Status status = users.add(user);
  return status.ok() ? std::string() : std::string(message_of(status));
}

TEST_CASE("ledger: users are known by name, and by a credential that is theirs alone") {
  auto ledger = Ledger::create(options_of(
      {{.tag = "v", .settings = VlessInbound{.users = {{.id = kIds[0], .email = "a@test"}, {.id = kIds[1]}}}},
       {.tag = "s", .settings = SocksInbound{.accounts = {{.user = "bob", .password = Secret("x")}}, .level = 7}},
       {.tag = "open", .settings = HttpInbound{}},
       {.tag = "door", .settings = DokodemoInbound{}}}));
  REQUIRE(ledger.ok());
  InboundUsers& vless = *(*ledger)->users("v");
  CHECK(vless.find("a@test"));
  CHECK(vless.find(kIds[1]));
  CHECK((*ledger)->users("s")->find("bob")->level == 7);
  CHECK((*ledger)->users("open") == nullptr);
  CHECK((*ledger)->users("door") == nullptr);
  CHECK((*ledger)->users("x") == nullptr);

  CHECK(message_of_add(vless, VlessUser{.id = kIds[0], .email = "b@test"}) == "id: another user has this id");
  CHECK(message_of_add(vless, VlessUser{.id = "other", .email = "a@test"}) ==
        "email: another user has the name \"a@test\"");
  CHECK(message_of_add(vless, VlessUser{.id = std::string(31, 'x')}).starts_with("id: \"xxx"));
  CHECK(message_of_add(vless, Account{.user = "carol"}) == "the user is not one of this inbound's protocol");
  CHECK(message_of_add(*(*ledger)->users("s"), Account{.user = "bob"}) == "user: another user has this name");
  CHECK(vless.remove("a@test"));
  CHECK_FALSE(vless.remove("a@test"));
  CHECK(message_of_add(vless, VlessUser{.id = kIds[0], .email = "b@test"}).empty());
  CHECK(vless.list().size() == 2);

  const auto twice =
      Ledger::create(options_of({{.tag = "v", .settings = VlessInbound{.users = {{.id = kIds[0]}, {.id = kIds[0]}}}}}));
  CHECK(message_of(twice.status()) == "inbounds[0].settings.clients[1].id: another user has this id");
}

TEST_CASE("ledger: a Shadowsocks user's key is as long as the inbound's method has it") {
  constexpr const char* k16 = "AAECAwQFBgcICQoLDA0ODw==";
  constexpr const char* k32 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
  const auto with = [](const char* method, const char* key) {
    return options_of(
        {{.tag = "ss",
          .settings = ShadowsocksInbound{
              .method = method, .password = Secret(key), .users = {{.password = Secret(key), .email = "a@test"}}}}});
  };
  const auto ledger = *Ledger::create(with("2022-blake3-aes-128-gcm", k16));
  InboundUsers& users = *ledger->users("ss");
  CHECK(message_of_add(users, ShadowsocksUser{.password = Secret(k32), .email = "b@test"}) ==
        "password: Base64 of 16 random bytes is wanted, as the inbound's method has it; found 32");
  CHECK(message_of_add(users, ShadowsocksUser{.password = Secret("no Base64"), .email = "b@test"})
            .starts_with("password: Base64 of random bytes"));
  CHECK(message_of_add(users, ShadowsocksUser{.password = Secret(k16), .email = "b@test"}) ==
        "password: another user has this key");
  CHECK_FALSE(users.find("b@test"));
  const auto wrong = Ledger::create(with("2022-blake3-aes-256-gcm", k16));
  CHECK(message_of(wrong.status()).starts_with("inbounds[0].settings.clients[0].password: Base64 of 32 random bytes"));
}

// Instances on executors of their own, here simulated ones, of one ledger.
struct Worker {
  Worker(const NodeOptions& options, const std::shared_ptr<Ledger>& ledger) {
    auto contexts = TlsContexts::create(options);
    REQUIRE(contexts.ok());
    auto made = make_inbound(sim.environment(), options, 0, **contexts, *ledger, **SaltFiles::create(options, 0));
    REQUIRE(made.ok());
    inbound = std::move(*made);
    auto traffic = ledger->count_outbound(0);
    inbound->router = [this, traffic](const chain::Connection&) { return chain::Route{"out", dialer, traffic}; };
  }

  // Whether `id` comes through to the dialer.
  bool admits(const std::string& id) {
    const std::size_t before = dialer->dials.size();
    auto [near, far] = memory_pair(sim.environment());
    sessions.push_back(chain::serve(sim.environment(), inbound, std::move(far), [] {}));
    std::string request(1, '\0');
    request += std::string(reinterpret_cast<const char*>(Uuid::parse(id)->bytes.data()), 16);
    request += std::string("\0\x01\0\x50\x02\x06", 6) + "a.test";
    near->write(Buffer::copy_of(request), [](std::error_code) {});
    sim.run_ready();
    clients.push_back(std::move(near));
    return dialer->dials.size() > before;
  }

  test::Simulator sim{1};
  std::shared_ptr<test::FakeDialer> dialer = std::make_shared<test::FakeDialer>(sim.environment());
  std::shared_ptr<chain::Inbound> inbound;
  std::vector<StreamPtr> clients;
  std::vector<Pending> sessions;
};

TEST_CASE("ledger: who is added or removed is so in all instances, and in those to come") {
  const NodeOptions options = options_of({{.tag = "v", .settings = VlessInbound{.users = {{.id = kIds[0]}}}}});
  const auto ledger = *Ledger::create(options);
  Worker first(options, ledger), second(options, ledger);
  CHECK(first.admits(kIds[0]));
  CHECK_FALSE(first.admits(kIds[1]));
  CHECK(ledger->users("v")->add(VlessUser{.id = kIds[1], .email = "b@test"}).ok());
  CHECK(first.admits(kIds[1]));
  CHECK(second.admits(kIds[1]));
  CHECK(ledger->users("v")->find("b@test")->connections == 2);
  CHECK(ledger->users("v")->remove("b@test"));
  CHECK_FALSE(first.admits(kIds[1]));
  CHECK_FALSE(second.admits(kIds[1]));
  Worker third(options, ledger);
  CHECK(third.admits(kIds[0]));
  CHECK_FALSE(third.admits(kIds[1]));

  const Statistics statistics = ledger->statistics();
  REQUIRE(statistics.inbounds.size() == 1);
  CHECK(statistics.inbounds[0].connections_total == 8);
  REQUIRE(statistics.outbounds.size() == 1);
  CHECK(statistics.outbounds[0].connections_total == 4);
  REQUIRE(statistics.users.size() == 1);
  CHECK(statistics.users[0].statistics.connections == 2);
  const std::string json = statistics.to_json();
  CHECK(json.starts_with(R"({"inbounds":[{"tag":"v","up":0,"down":0,)"));
  CHECK(json.find(R"("users":[{"inbound":"v","name":")" + kIds[0]) != json.npos);
}

}  // namespace
}  // namespace winze::node
