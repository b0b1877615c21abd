// What every proxy protocol asks of a host name that a peer sends, before it reaches resolvers, rules and logs.
#pragma once

#include <string_view>

namespace winze {

// 1 to 255 bytes, no white space, no control characters, none of the delimiters of URIs and headers
// (" # / : < > ? @ [ \ ] ^ ` { | } , ;). Underscores, UTF-8 and addresses in IPv4 form pass.
bool is_host_name(std::string_view text) noexcept;

}  // namespace winze
