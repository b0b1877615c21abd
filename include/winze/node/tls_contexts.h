// The TLS contexts of a node: made once, shared by all its threads, with certificates that can be read again.
#pragma once

#include <absl/status/statusor.h>

#include <memory>
#include <string>
#include <vector>

#include "winze/layer/tls.h"
#include "winze/node/options.h"

namespace winze::node {

// Thread-safe. Errors begin with the path in the configuration.
class TlsContexts {
 public:
  static absl::StatusOr<std::shared_ptr<TlsContexts>> create(const NodeOptions& options);

  // By the place in NodeOptions; null where there is no TLS.
  const std::shared_ptr<tls::ServerContext>& inbound(std::size_t index) const { return inbounds_[index]; }
  const std::shared_ptr<tls::ClientContext>& outbound(std::size_t index) const { return outbounds_[index]; }

  // Reads the servers' certificate files again. A server whose files are not in order keeps what it has; the errors are
  // joined.
  absl::Status reload();

 private:
  struct Source {
    std::string path;
    std::vector<TlsOptions::Certificate> certificates;
  };
  std::vector<std::shared_ptr<tls::ServerContext>> inbounds_;
  std::vector<std::shared_ptr<tls::ClientContext>> outbounds_;
  std::vector<Source> sources_;  // parallel to inbounds_
};

}  // namespace winze::node
