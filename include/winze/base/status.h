// absl::Status at the borders of set-up code.
#pragma once

#include <absl/status/status.h>

#include <string_view>

namespace winze {

// The message as a std::string_view: abseil may be built with a string_view of its own. Lives as long as the status.
inline std::string_view message_of(const absl::Status& status) {
  return {status.message().data(), status.message().size()};
}

}  // namespace winze
