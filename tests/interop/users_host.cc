// A host that embeds a node and changes its users from a thread of its own, as told on standard input:
//
//   users_host FILE THREADS
//
//   remove TAG NAME | limit TAG NAME UP DOWN QUOTA | add TAG NAME CREDENTIAL | statistics
//
// Each is answered by one line, "ok" or what went wrong. The first line says "listening".
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iostream>
#include <iterator>
#include <list>
#include <optional>
#include <sstream>
#include <string>
#include <thread>

#include "winze/base/status.h"
#include "winze/config/v2ray_json.h"
#include "winze/io/system.h"
#include "winze/node/instance.h"

using namespace winze;

namespace {

// One thread of the node.
struct Worker {
  asio::io_context context{1};
  SystemEnvironment system{context.get_executor()};
  std::unique_ptr<node::Instance> instance;
  std::thread loop;
};

int fail(const absl::Status& status) {
  std::fprintf(stderr, "users_host: %s\n", std::string(message_of(status)).c_str());
  return 1;
}

// A user of the protocol of the inbound at `tag`, with the flow of its first.
std::optional<node::InboundUser> make_user(const node::NodeOptions& options, std::string_view tag,
                                           const std::string& credential, const std::string& name) {
  for (const node::InboundOptions& inbound : options.inbounds) {
    if (inbound.tag != tag) continue;
    const auto& settings = inbound.settings;
    const Secret secret(credential);
    if (std::holds_alternative<node::SocksInbound>(settings) || std::holds_alternative<node::HttpInbound>(settings)) {
      return node::Account{.user = name, .password = secret};
    }
    if (const auto* vless = std::get_if<node::VlessInbound>(&settings)) {
      return node::VlessUser{.id = credential, .email = name, .vision = vless->users.at(0).vision};
    }
    if (std::holds_alternative<node::VmessInbound>(settings)) return node::VmessUser{.id = credential, .email = name};
    if (std::holds_alternative<node::TrojanInbound>(settings)) {
      return node::TrojanUser{.password = secret, .email = name};
    }
    if (std::holds_alternative<node::ShadowsocksInbound>(settings)) {
      return node::ShadowsocksUser{.password = secret, .email = name};
    }
  }
  return std::nullopt;
}

std::string answer(const node::NodeOptions& options, node::Ledger& ledger, const std::string& line) {
  std::istringstream words(line);
  std::string command, tag, name;
  words >> command;
  if (command == "statistics") return ledger.statistics().to_json();
  words >> tag;
  node::InboundUsers* users = ledger.users(tag);
  if (users == nullptr) return "no users at " + tag;
  if (command == "remove") {
    words >> name;
    return users->remove(name) ? "ok" : "nobody";
  }
  if (command == "limit") {
    chain::UserTerms terms;
    words >> name >> terms.limits.up >> terms.limits.down >> terms.limits.quota;
    return users->update(name, terms) ? "ok" : "nobody";
  }
  std::string credential;
  words >> name >> std::ws;
  std::getline(words, credential);
  const auto user = make_user(options, tag, credential, name);
  if (!user) return "no user of that protocol";
  const absl::Status status = users->add(*user);
  return status.ok() ? "ok" : std::string(message_of(status));
}

}  // namespace

int main(int, char** argv) {
  std::ifstream file(argv[1]);
  const config::Source source{argv[1], std::string(std::istreambuf_iterator<char>(file), {})};
  auto config = config::read_v2ray_json(std::span(&source, 1));
  if (!config.ok()) return fail(config.status());
  auto contexts = node::TlsContexts::create(config->options);
  if (!contexts.ok()) return fail(contexts.status());
  auto ledger = node::Ledger::create(config->options);
  if (!ledger.ok()) return fail(ledger.status());
  auto commons = node::Commons::create(config->options, std::time(nullptr));
  if (!commons.ok()) return fail(commons.status());
  std::unique_ptr<node::Log> log;
  if (absl::Status status =
          node::Log::create({.access_file = std::string(argv[1]) + ".access"}, node::LogFormat::kText, log);
      !status.ok()) {
    return fail(status);
  }
  std::list<Worker> workers(std::strtoul(argv[2], nullptr, 10));
  std::size_t index = 0;
  for (Worker& worker : workers) {
    auto instance = node::Instance::create(worker.system, config->options, *contexts, *log, *ledger, *commons);
    if (!instance.ok()) return fail(instance.status());
    worker.instance = std::move(*instance);
    if (absl::Status status = worker.instance->listen({index++, workers.size()}); !status.ok()) return fail(status);
  }
  for (Worker& worker : workers) worker.loop = std::thread([&worker] { worker.context.run(); });
  std::cout << "listening" << std::endl;
  for (std::string line; std::getline(std::cin, line);)
    std::cout << answer(config->options, **ledger, line) << std::endl;
  for (Worker& worker : workers) {
    asio::post(worker.context, [&worker] { worker.instance->stop(Duration(0), [] {}); });
  }
  for (Worker& worker : workers) worker.loop.join();
  return 0;
}
