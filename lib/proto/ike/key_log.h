// Lines of Wireshark's ikev2_decryption_table.
#pragma once

#include <string>

#include "keys.h"

namespace winze::ike {

// SPIi,SPIr,SK_ei,SK_er,"encryption",SK_ai,SK_ar,"integrity"; an algorithm that Wireshark does not know has no line
// there that it could read.
std::string key_log_line(const SpiPair& spis, const Suite& suite, const IkeKeys& keys);

}  // namespace winze::ike
