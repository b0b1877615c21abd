// Which salts the Shadowsocks inbounds of a node have seen: made once, shared by all its threads, and kept in the files
// that the options name, so that what was recorded before a restart cannot be sent again after it.
#pragma once

#include <absl/status/statusor.h>

#include <memory>
#include <string>
#include <vector>

#include "winze/node/options.h"
#include "winze/proto/shadowsocks/salts.h"

namespace winze::node {

// Thread-safe. Errors begin with the path in the configuration.
class SaltFiles {
 public:
  // Reads the files that are there; one that is no such file is an error, so that none is overwritten by mistake.
  static absl::StatusOr<std::shared_ptr<SaltFiles>> create(const NodeOptions& options, UnixTime now);

  // By the place in NodeOptions; null where there is no Shadowsocks.
  const std::shared_ptr<shadowsocks::Salts>& inbound(std::size_t index) const { return inbounds_[index]; }

  // Saves a last time.
  ~SaltFiles();

  // Writes what has changed, each file at once: by a new one that takes its place. A busy server's has some MiB.
  absl::Status save();

 private:
  class Shared;
  struct File {
    std::string path;  // in the configuration
    std::string name;
    std::shared_ptr<Shared> salts;
  };
  std::vector<std::shared_ptr<shadowsocks::Salts>> inbounds_;
  std::vector<File> files_;
};

}  // namespace winze::node
