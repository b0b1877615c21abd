#include "refusal.h"

#include "winze/base/error.h"
#include "winze/chain/users.h"

namespace winze::chain {

Refusal refusal_for(std::error_code error) {
  if (error == std::errc::connection_refused) return Refusal::kConnectionRefused;
  if (error == std::errc::network_unreachable) return Refusal::kNetworkUnreachable;
  if (error == std::errc::host_unreachable || error == Errc::kUnresolved) return Refusal::kHostUnreachable;
  if (error == Errc::kTimedOut || error == std::errc::timed_out) return Refusal::kTimedOut;
  if (error == Errc::kRefusedPolicy || error.category() == user_category()) return Refusal::kNotAllowed;
  if (error == Errc::kUnsupported) return Refusal::kUnsupportedCommand;
  return Refusal::kGeneral;
}

}  // namespace winze::chain
