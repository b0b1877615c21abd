// The proof that a server speaks WebSocket (RFC 6455 §4.2.2, step 5.4).
#pragma once

#include <string>
#include <string_view>

namespace winze::ws {

// Sec-WebSocket-Accept for a Sec-WebSocket-Key.
std::string accept_for(std::string_view key);

}  // namespace winze::ws
