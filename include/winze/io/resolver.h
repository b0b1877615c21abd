// Host names to addresses. A host may give its own (DNS over a tunnel, a fixed table).
#pragma once

#include <absl/functional/any_invocable.h>

#include <string_view>
#include <system_error>
#include <vector>

#include "winze/base/address.h"
#include "winze/io/pending.h"

namespace winze {

class Resolver {
 public:
  using Handler = absl::AnyInvocable<void(std::error_code, std::vector<IpAddress>)>;
  virtual ~Resolver() = default;
  // Calls `handler` once, never inside this call: the addresses in the order of preference, or Errc::kUnresolved or the
  // resolver's own error. Dropping the Pending cancels: the handler then gets Errc::kAborted.
  [[nodiscard]] virtual Pending resolve(std::string_view host, Handler handler) = 0;
};

}  // namespace winze
