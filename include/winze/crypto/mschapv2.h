// The arithmetic of MS-CHAPv2 (RFC 2759 section 8) and the keys made from it (RFC 3079 section 3): for EAP and PPP.
//
// MD4 and DES are what the protocol prescribes. Whoever records an exchange can search for its password: it is for the
// inside of a channel whose other end is known.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "winze/base/secret.h"

namespace winze::mschapv2 {

inline constexpr std::size_t kChallengeSize = 16;
inline constexpr std::size_t kResponseSize = 24;
using Challenge = std::array<std::uint8_t, kChallengeSize>;
using NtResponse = std::array<std::uint8_t, kResponseSize>;
using AuthenticatorResponse = std::array<std::uint8_t, 20>;

// What stands for the password in all that follows: 16 bytes. The password is UTF-8; what is none stands for itself,
// byte by byte.
Secret nt_hash(std::string_view password);

// The name without a domain in front ("DOMAIN\user"), as it is hashed.
std::string_view plain_name(std::string_view name);

// What the client sends to prove that it knows the password.
NtResponse response(const Challenge& authenticator, const Challenge& peer, std::string_view name,
                    const Secret& nt_hash);
// What the server sends back to prove the same: "S=" and these bytes in hex.
AuthenticatorResponse answer(const Challenge& authenticator, const Challenge& peer, std::string_view name,
                             const Secret& nt_hash, const NtResponse& response);

// The keys of both directions as EAP has them (MSK of 64 bytes: the server's receive key, its send key, zeros).
Secret master_session_key(const Secret& nt_hash, const NtResponse& response);

}  // namespace winze::mschapv2
