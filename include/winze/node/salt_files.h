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
  const std::shared_ptr<shadowsocks::Salts>& inbound(std::size_t index) const { return inbounds_[index].streams; }
  // Of its datagrams, in no file; null where it takes none.
  const std::shared_ptr<shadowsocks::Salts>& datagrams(std::size_t index) const { return inbounds_[index].datagrams; }

  // Begins to write, each file anew. From now on a salt is in its file before its request is answered, so that nothing
  // is lost when the process is killed.
  absl::Status begin();

  // Saves a last time.
  ~SaltFiles();

  // What was begun: replaces each file by one without what has grown old, and brings it to the disk, so that nothing
  // older is lost when the machine stops. A busy server's has some MiB.
  absl::Status save();

 private:
  class Shared;
  class SharedWindow;
  struct Inbound {
    std::shared_ptr<shadowsocks::Salts> streams, datagrams;
  };
  std::vector<Inbound> inbounds_;
  std::vector<std::shared_ptr<Shared>> kept_;
};

}  // namespace winze::node
