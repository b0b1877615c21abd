// What a proxy says of its own: final responses without a body, after which it closes the connection.
#pragma once

#include <string_view>

#include "winze/base/buffer.h"
#include "winze/proto/proxy_codec.h"

namespace winze::http {

// 403 for what rules forbid, 504 for time-outs, 501 for what is not supported, else 503.
unsigned status_of(Refusal reason) noexcept;

// Appends a whole response with Content-Length: 0 and Connection: close. `realm`: what a 407 asks credentials for;
// quotes and backslashes in it are escaped.
void append_answer(unsigned status, std::string_view realm, Buffer& out);

}  // namespace winze::http
