// A SIP003 plugin's options: read, or refused with a message of bounded length; what is read is written with an escape
// before each character, and read again as it was.
#include <cstdint>

#include "support/require.h"
#include "winze/base/status.h"
#include "winze/config/plugin_options.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using winze::test::require;
  const auto options = winze::config::parse_plugin_options({reinterpret_cast<const char*>(data), size});
  if (!options.ok()) {
    require(winze::message_of(options.status()).size() < 4096 + size);
    return 0;
  }
  std::string written;
  const auto write = [&written](const std::string& word) {
    for (const char c : word) written += {'\\', c};
  };
  for (const auto& [key, value] : *options) {
    write(key);
    written += '=';
    write(value);
    written += ';';
  }
  const auto again = winze::config::parse_plugin_options(written);
  require(again.ok() && *again == *options);
  return 0;
}
