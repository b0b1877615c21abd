// The first outbound of a V2Ray configuration, as a dialer.
#pragma once

#include <absl/status/statusor.h>
#include <winze/io/dialer.h>
#include <winze/io/environment.h>
#include <winze/node/instance.h>

#include <memory>
#include <string>

namespace esp_tunnel {

class Chain {
 public:
  static absl::StatusOr<std::unique_ptr<Chain>> load(const std::string& file, winze::Environment& environment);
  winze::DialerPtr dialer() const { return instance_->outbound({}); }

 private:
  winze::node::NodeOptions options_;
  std::unique_ptr<winze::node::Log> log_;
  std::unique_ptr<winze::node::Instance> instance_;
};

}  // namespace esp_tunnel
