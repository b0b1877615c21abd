// A VMess client and server for tests: a clock that stands, randomness that repeats, one user.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "support/codec_pair.h"
#include "winze/proto/vmess/codec.h"

namespace winze::test {

struct StandingClock final : WallClock {
  UnixTime unix_now() const override { return now; }
  UnixTime now = 1'700'000'000;
};

// Gives out what it was told to, and then what SeededRandom does.
class ScriptedRandom final : public Random {
 public:
  void fill(std::span<std::uint8_t> out) override {
    for (std::uint8_t& byte : out) {
      if (script.empty()) {
        rest_.fill({&byte, 1});
      } else {
        byte = static_cast<std::uint8_t>(script.front());
        script.erase(0, 1);
      }
    }
  }
  std::string script;

 private:
  SeededRandom rest_{1};
};

struct VmessPeers {
  static Uuid id() { return *Uuid::parse("b831381d-6324-4d53-ad4f-8cda48b30811"); }

  VmessPeers() {
    auto table = std::make_shared<vmess::UserTable>();
    table->add(id(), {.name = "ann@example.org", .level = 3});
    users = table;
    server = std::make_shared<vmess::Server>(vmess::Server{
        .users = table, .replays = std::make_shared<vmess::Replays>(), .drain = vmess::Drain::of(*table)});
  }

  vmess::Surroundings surroundings() { return {clock, random, pool}; }
  std::unique_ptr<vmess::ClientCodec> make_client(const Destination& destination,
                                                  const vmess::ClientOptions& options = {}, const Uuid& user = id()) {
    return std::make_unique<vmess::ClientCodec>(std::make_shared<vmess::UserKeys>(user), destination, options,
                                                surroundings());
  }
  std::unique_ptr<vmess::ServerCodec> make_server() {
    return std::make_unique<vmess::ServerCodec>(server, surroundings());
  }

  StandingClock clock;
  ScriptedRandom random;
  BufferPool pool;
  std::shared_ptr<vmess::UserTable> users;
  std::shared_ptr<vmess::Server> server;
};

}  // namespace winze::test
