#include "winze/proto/http/basic.h"

#include <algorithm>

#include "winze/base/base64.h"
#include "winze/base/bytes.h"

namespace winze::http {

std::string basic_credentials(std::string_view user, std::string_view password) {
  std::string pair(user);
  pair += ':';
  pair += password;
  return "Basic " + base64_encode(pair);
}

std::optional<ProxyAccount> check_basic(const Fields& fields, const Credentials* credentials) {
  if (credentials == nullptr) return ProxyAccount();
  if (fields.count("Proxy-Authorization") != 1) return std::nullopt;
  std::string_view value = *fields.find("Proxy-Authorization");
  const std::size_t space = std::min(value.find(' '), value.size());
  if (!equal_ignoring_case(value.substr(0, space), "Basic")) return std::nullopt;
  value.remove_prefix(std::min(value.find_first_not_of(' ', space), value.size()));
  const auto decoded = base64_decode(value, Base64Alphabet::kStandard, Base64Padding::kLenient);
  if (!decoded) return std::nullopt;
  const std::string_view pair = as_text(*decoded);
  const std::size_t colon = pair.find(':');
  if (colon == pair.npos) return std::nullopt;
  return credentials->check(pair.substr(0, colon), pair.substr(colon + 1));
}

}  // namespace winze::http
