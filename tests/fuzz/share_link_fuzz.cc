// A share link: read, or refused with a message of bounded length; what is read is written, in both forms of VMess's,
// and read again as it was.
#include <cstdint>

#include "support/require.h"
#include "winze/base/status.h"
#include "winze/config/share_link.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using winze::test::require;
  namespace config = winze::config;
  const std::string_view link(reinterpret_cast<const char*>(data), size);
  const auto json = config::share_link_to_json(link);
  if (!json.ok()) {
    require(winze::message_of(json.status()).size() < 4096);
    return 0;
  }
  (void)config::read_share_link(link);
  for (const config::VmessForm form : {config::VmessForm::kV2rayN, config::VmessForm::kStandard}) {
    const auto again = config::json_to_share_link(*json, form);
    // An empty password is read, for the outbound's reader to refuse.
    if (!again.ok()) continue;
    const auto same = config::share_link_to_json(*again);
    require(same.ok() && *same == *json);
  }
  return 0;
}
