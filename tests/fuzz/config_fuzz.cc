// A configuration: read, or refused with a message of bounded length that names the source.
#include "support/require.h"
#include "winze/base/status.h"
#include "winze/config/v2ray_json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using winze::test::require;
  const winze::config::Source source{"fuzz.json", std::string(reinterpret_cast<const char*>(data), size)};
  const auto config = winze::config::read_v2ray_json(std::span(&source, 1));
  if (config.ok()) return 0;
  const std::string_view message = winze::message_of(config.status());
  require(message.find("fuzz.json") != message.npos);
  require(message.size() < 4096);
  return 0;
}
