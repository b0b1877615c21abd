// Basic credentials (RFC 7617), as proxies are given them in Proxy-Authorization.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "winze/proto/credentials.h"
#include "winze/proto/http/fields.h"

namespace winze::http {

// "Basic " and the encoded pair. A user name with a colon cannot be told from its password: not for this.
std::string basic_credentials(std::string_view user, std::string_view password);

// The account of the Proxy-Authorization field; nothing when there is none, or more than one, or it is malformed or
// wrong. Everyone's account is the nameless one where `credentials` is null.
std::optional<ProxyAccount> check_basic(const Fields& fields, const Credentials* credentials);

}  // namespace winze::http
