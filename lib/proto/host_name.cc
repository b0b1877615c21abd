#include "winze/proto/host_name.h"

#include <algorithm>

namespace winze {

bool is_host_name(std::string_view text) noexcept {
  constexpr std::string_view kDelimiters = "\"#/:<>?@[\\]^`{|},;";
  if (text.empty() || text.size() > 255) return false;
  return std::ranges::all_of(text, [&](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte > 0x20 && byte != 0x7f && kDelimiters.find(c) == kDelimiters.npos;
  });
}

}  // namespace winze
