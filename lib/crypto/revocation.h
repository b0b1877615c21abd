// What a CRL or an OCSP response says about a certificate.
#pragma once

#include <cstdint>

namespace winze {

// kNone: it says nothing about it, or nothing that can be believed now. A revocation is believed also when it is stale:
// nothing undoes it but a newer list.
enum class RevocationAnswer : std::uint8_t { kNone, kGood, kRevoked };

}  // namespace winze
