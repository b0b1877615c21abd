// A host whose network changes under its tunnels: in a network of its own, where routes may be changed.
#include <doctest/doctest.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>

#include "support/ipsec_world.h"

namespace winze::tunnel {
namespace {

using namespace std::chrono_literals;
using test::ip;
using test::Pair;
using test::Site;

// Runs `body` in a child process that has a network for itself. What it says went wrong; "" nothing; none where the
// system does not let us.
std::optional<std::string> in_own_network(const std::function<std::string()>& body) {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const uid_t user = ::getuid();
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::close(ends[0]);
    std::string said = "cannot";
    if (::unshare(user == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET) == 0) {
      if (user != 0) {
        std::ofstream("/proc/self/setgroups") << "deny";
        std::ofstream("/proc/self/uid_map") << "0 " << user << " 1";
      }
      if (std::system("ip link set lo up 2>/dev/null") == 0) said = "said " + body();
    }
    const auto written = ::write(ends[1], said.data(), said.size());
    ::_exit(written == static_cast<ssize_t>(said.size()) ? 0 : 1);
  }
  ::close(ends[1]);
  std::string all;
  char part[512];
  for (ssize_t n; (n = ::read(ends[0], part, sizeof part)) > 0;) all.append(part, static_cast<std::size_t>(n));
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (all == "cannot") return std::nullopt;
  return status == 0 && all.starts_with("said ") ? all.substr(5) : "the child ended: " + all;
}

bool run(const std::string& command) { return std::system(command.c_str()) == 0; }

// From where the gateway is reached.
bool route_from(const std::string& address) {
  return run("ip route replace local 10.99.1.1 dev lo table local src " + address);
}

std::string roam(bool mobike) {
  for (const char* const address : {"10.99.0.1", "10.99.0.2", "10.99.0.3", "10.99.1.1"}) {
    if (!run(std::string("ip address add ") + address + "/32 dev lo")) return "no address";
  }
  if (!route_from("10.99.0.1")) return "no route";
  test::World world;
  auto served = test::connection("gw.test", "%any");
  served->pool = true;
  served->mobike = mobike;
  served->children.push_back(test::child("10.2.0.0/24", "dynamic"));
  IpsecHostOptions options{.connections = {served}, .address = ip("10.99.1.1"), .port = 0, .nat_port = 0};
  options.pools["test"] = {std::make_shared<AddressPool>(*AddressPool::parse("10.3.0.0/24"))};
  Site gateway(world.environment, std::move(options));
  Site site(world.environment, {.address = ip("0.0.0.0"), .port = 0, .nat_port = 0});
  auto own = Pair::client_connection("a.test");
  own->mobike = mobike;
  if (!site.host->connect(own, gateway.host->nat_local()).ok()) return "no way to the gateway";
  if (!world.until([&] { return site.children.size() == 1; })) return "no tunnel";
  const auto at = [&] { return site.host->info(site.ups.back().sa)->path.local.address; };
  if (at() != ip("10.99.0.1")) return "it began at " + at().to_string();

  site.host->on_network_changed();
  (void)world.until([] { return false; }, 100ms);
  if (site.migrated != 0 || site.ups.size() != 1) return "it moved although nothing had changed";

  std::size_t moves = 0;
  for (const char* const address : {"10.99.0.2", "10.99.0.3"}) {
    // Authenticated anew between the two, it still follows.
    if (moves == 1 && mobike) {
      const std::size_t before = site.ups.size();
      if (!site.host->reauthenticate(site.ups.back().sa)) return "it does not authenticate anew";
      if (!world.until([&] { return site.ups.size() == before + 1 && site.closed.size() == 1; }))
        return "no new IKE SA";
    }
    if (!route_from(address)) return "no other route";
    site.host->on_network_changed();
    ++moves;
    const bool moved = world.until([&] {
      if (mobike) return static_cast<std::size_t>(site.migrated) == moves;
      return site.ups.size() == moves + 1 && site.closed.size() == moves;
    });
    if (!moved) return std::string("it did not move to ") + address;
    if (at() != ip(address)) return "it is at " + at().to_string();
    const std::string inner = site.ups.back().configuration.addresses.at(0).address.to_string();
    site.send(test::packet(inner, "10.2.0.9", "there"));
    if (!world.until([&] { return !gateway.received.empty(); })) return "nothing arrives";
    gateway.received.clear();
    gateway.send(test::packet("10.2.0.9", inner, "back"));
    if (!world.until([&] { return !site.received.empty(); })) return "nothing comes back";
    site.received.clear();
  }
  return "";
}

TEST_CASE("a network that changes: clients' tunnels follow, with MOBIKE and without, also when authenticated anew") {
  for (const bool mobike : {true, false}) {
    CAPTURE(mobike);
    const auto wrong = in_own_network([&] { return roam(mobike); });
    if (!wrong) {
      MESSAGE("no network namespace can be made here, or there is no ip: not tested");
      return;
    }
    CHECK(*wrong == "");
  }
}

}  // namespace
}  // namespace winze::tunnel
