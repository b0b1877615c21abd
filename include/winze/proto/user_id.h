// How configurations of VLESS and VMess write a user's id.
#pragma once

#include <optional>
#include <string_view>

#include "winze/base/uuid.h"

namespace winze {

// A UUID in its usual spelling, or, as Xray has it, any other text of 1 to 30 bytes, which stands for the UUID of
// version 5 (RFC 9562 §5.5) of that text in the all-zero namespace. Nothing for other texts.
std::optional<Uuid> parse_user_id(std::string_view text);

}  // namespace winze
