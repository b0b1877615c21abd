#pragma once

#include <system_error>

#include "winze/proto/proxy_codec.h"

namespace winze::chain {

// What a client is told of a dial that failed.
Refusal refusal_for(std::error_code error);

}  // namespace winze::chain
