// An Environment over the system's clock, randomness and resolver.
#pragma once

#include <memory>

#include "winze/io/environment.h"

namespace winze {

// Owns what its Environment refers to. Keep one per executor (one thread each), longer than all that uses it.
// Resolving a host name starts one thread of Asio's own, at the first name.
class SystemEnvironment {
 public:
  // `pool_cap`, `busy_pool_cap`: bytes of free buffers kept for reuse, and under load.
  explicit SystemEnvironment(Executor executor, std::size_t pool_cap = 4u << 20, std::size_t busy_pool_cap = 64u << 20);
  ~SystemEnvironment();
  SystemEnvironment(const SystemEnvironment&) = delete;
  SystemEnvironment& operator=(const SystemEnvironment&) = delete;

  Environment& environment();
  operator Environment&() { return environment(); }

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace winze
