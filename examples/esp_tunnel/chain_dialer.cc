#include "chain_dialer.h"

#include <winze/config/v2ray_json.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

namespace esp_tunnel {

absl::StatusOr<std::unique_ptr<Chain>> Chain::load(const std::string& file, winze::Environment& environment) {
  std::ifstream in(file, std::ios::binary);
  if (!in) return absl::NotFoundError(file + ": " + std::strerror(errno));
  const winze::config::Source source{file, std::string(std::istreambuf_iterator<char>(in), {})};
  auto config = winze::config::read_v2ray_json(std::span(&source, 1));
  if (!config.ok()) return config.status();
  std::unique_ptr<Chain> chain(new Chain);
  chain->options_ = std::move(config->options);
  chain->options_.inbounds.clear();  // only the way out is wanted
  if (absl::Status status = winze::node::Log::create(chain->options_.log, winze::node::LogFormat::kText, chain->log_);
      !status.ok()) {
    return status;
  }
  environment.observer = chain->log_.get();
  auto contexts = winze::node::TlsContexts::create(chain->options_);
  if (!contexts.ok()) return contexts.status();
  auto instance = winze::node::Instance::create(environment, chain->options_, *contexts, *chain->log_);
  if (!instance.ok()) return instance.status();
  chain->instance_ = std::move(*instance);
  return chain;
}

}  // namespace esp_tunnel
