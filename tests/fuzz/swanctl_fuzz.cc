// A swanctl.conf that includes its own second half: read, or refused with a message of bounded length.
#include "support/require.h"
#include "winze/base/status.h"
#include "winze/config/swanctl.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using winze::config::Source;
  using winze::test::require;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t cut = std::min(text.find('\0'), size);
  int left = 100;  // includes
  const auto include = [&](std::string_view, std::string_view) -> absl::StatusOr<std::vector<Source>> {
    if (--left < 0) return absl::NotFoundError("no more");
    return std::vector<Source>{{"fuzz.conf", std::string(text.substr(std::min(cut + 1, size)))}};
  };
  const auto config = winze::config::read_swanctl({"fuzz.conf", std::string(text.substr(0, cut))}, include);
  if (config.ok()) return 0;
  const std::string_view message = winze::message_of(config.status());
  require(message.find("fuzz.conf") != message.npos);
  require(message.size() < 4096);
  return 0;
}
