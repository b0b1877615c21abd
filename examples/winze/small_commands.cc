#include <absl/base/config.h>

#include <asio/io_context.hpp>
#include <asio/version.hpp>
#include <cstdio>
#include <string>

#include "commands.h"
#include "load.h"
#include "winze/base/status.h"
#include "winze/base/uuid.h"
#include "winze/crypto/version.h"
#include "winze/io/system.h"
#include "winze/node/instance.h"
#include "winze/node/ipsec.h"

namespace winze::tool {
namespace {

std::string abseil_version() {
#ifdef ABSL_LTS_RELEASE_VERSION
  return std::to_string(ABSL_LTS_RELEASE_VERSION) + "." + std::to_string(ABSL_LTS_RELEASE_PATCH_LEVEL);
#else
  return "between releases";
#endif
}

}  // namespace

int check(const ConfigFiles& files) {
  const auto options = load(files);
  if (!options) return 1;
  asio::io_context context(1);
  SystemEnvironment system(context.get_executor());
  std::unique_ptr<node::Log> log;
  absl::Status status = node::Log::create({.level = node::LogOptions::Level::kNone}, node::LogFormat::kText, log);
  auto contexts = node::TlsContexts::create(*options);
  if (status.ok()) status = contexts.status();
  if (status.ok()) status = node::Instance::create(system, *options, *contexts, *log).status();
  if (status.ok()) status = node::Ipsec::check(options->ipsec);
  if (!status.ok()) {
    std::fprintf(stderr, "winze: %s\n", std::string(message_of(status)).c_str());
    return 1;
  }
  std::printf("configuration is in order: %zu inbounds, %zu outbounds\n", options->inbounds.size(),
              options->outbounds.size());
  return 0;
}

int uuid() {
  asio::io_context context(1);
  SystemEnvironment system(context.get_executor());
  std::printf("%s\n", Uuid::random(system.environment().random).to_string().c_str());
  return 0;
}

int version() {
  std::printf("winze %s\nAsio %d.%d.%d\n", WINZE_VERSION, ASIO_VERSION / 100000, ASIO_VERSION / 100 % 1000,
              ASIO_VERSION % 100);
  std::printf("BoringSSL API %d\nabseil %s\n", boringssl_api_version(), abseil_version().c_str());
  return 0;
}

}  // namespace winze::tool
