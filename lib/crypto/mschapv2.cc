#include "winze/crypto/mschapv2.h"

#include <openssl/des.h>
#include <openssl/md4.h>
#include <openssl/sha.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "winze/base/bytes.h"

namespace winze::mschapv2 {
namespace {

using Sha1 = std::array<std::uint8_t, SHA_DIGEST_LENGTH>;

Sha1 sha1_of(std::initializer_list<std::span<const std::uint8_t>> parts) {
  SHA_CTX context;
  SHA1_Init(&context);
  for (const auto& part : parts) SHA1_Update(&context, part.data(), part.size());
  Sha1 out;
  SHA1_Final(out.data(), &context);
  secure_wipe({reinterpret_cast<std::uint8_t*>(&context), sizeof context});
  return out;
}

// One code point off the front of UTF-8; a byte that begins none stands for itself.
char32_t take(std::string_view& text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t first = byte(0);
  const std::size_t more = first >= 0xf0 && first < 0xf8   ? 3
                           : first >= 0xe0 && first < 0xf0 ? 2
                           : first >= 0xc2 && first < 0xe0 ? 1
                                                           : 0;
  char32_t point = more == 0 ? first : first & (0x3f >> more);
  if (text.size() <= more) return text.remove_prefix(1), first;
  for (std::size_t i = 1; i <= more; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return text.remove_prefix(1), first;
    point = point << 6 | (byte(i) & 0x3f);
  }
  if (point > 0x10ffff) return text.remove_prefix(1), first;
  text.remove_prefix(1 + more);
  return point;
}

// UTF-16 in little endian.
Secret to_utf16(std::string_view text) {
  Secret out(2 * text.size());
  std::size_t n = 0;
  const auto put = [&](char32_t unit) {
    out.span()[n++] = static_cast<std::uint8_t>(unit);
    out.span()[n++] = static_cast<std::uint8_t>(unit >> 8);
  };
  while (!text.empty()) {
    char32_t point = take(text);
    if (point < 0x10000) {
      put(point);
    } else {
      point -= 0x10000;
      put(0xd800 | point >> 10);
      put(0xdc00 | (point & 0x3ff));
    }
  }
  return Secret(std::as_const(out).span().first(n));
}

// DES with a key of 56 bits, which is spread over 8 bytes to leave room for parity.
void des(const std::uint8_t* key, const std::uint8_t* in, std::uint8_t* out) {
  DES_cblock spread, block;
  spread.bytes[0] = key[0];
  for (int i = 1; i < 7; ++i) spread.bytes[i] = static_cast<std::uint8_t>(key[i - 1] << (8 - i) | key[i] >> i);
  spread.bytes[7] = static_cast<std::uint8_t>(key[6] << 1);
  DES_key_schedule schedule;
  DES_set_key(&spread, &schedule);
  std::memcpy(block.bytes, in, 8);
  DES_ecb_encrypt(&block, &block, &schedule, DES_ENCRYPT);
  std::memcpy(out, block.bytes, 8);
  secure_wipe(spread.bytes);
  secure_wipe({reinterpret_cast<std::uint8_t*>(&schedule), sizeof schedule});
}

// ChallengeHash (RFC 2759 section 8.2): 8 bytes of it count.
Sha1 challenge_hash(const Challenge& authenticator, const Challenge& peer, std::string_view name) {
  return sha1_of({peer, authenticator, as_bytes(plain_name(name))});
}

Secret hash_of_hash(const Secret& nt_hash) {
  Secret out(MD4_DIGEST_LENGTH);
  MD4(nt_hash.span().data(), nt_hash.size(), out.span().data());
  return out;
}

}  // namespace

Secret nt_hash(std::string_view password) {
  const Secret wide = to_utf16(password);
  Secret out(MD4_DIGEST_LENGTH);
  MD4(wide.span().data(), wide.size(), out.span().data());
  return out;
}

std::string_view plain_name(std::string_view name) {
  const std::size_t slash = name.find('\\');
  return slash == name.npos ? name : name.substr(slash + 1);
}

NtResponse response(const Challenge& authenticator, const Challenge& peer, std::string_view name,
                    const Secret& nt_hash) {
  const Sha1 challenge = challenge_hash(authenticator, peer, name);
  Secret keys(21);
  std::ranges::copy(nt_hash.span(), keys.span().begin());
  NtResponse out;
  for (std::size_t i = 0; i < 3; ++i) des(keys.span().data() + 7 * i, challenge.data(), out.data() + 8 * i);
  return out;
}

AuthenticatorResponse answer(const Challenge& authenticator, const Challenge& peer, std::string_view name,
                             const Secret& nt_hash, const NtResponse& response) {
  const Sha1 first =
      sha1_of({hash_of_hash(nt_hash).span(), response, as_bytes("Magic server to client signing constant")});
  const Sha1 challenge = challenge_hash(authenticator, peer, name);
  return sha1_of({first, std::span(challenge).first(8), as_bytes("Pad to make it do more than one iteration")});
}

Secret master_session_key(const Secret& nt_hash, const NtResponse& response) {
  constexpr std::size_t kKey = 16;
  constexpr std::uint8_t kPad1[40] = {};
  std::uint8_t pad2[40];
  std::ranges::fill(pad2, std::uint8_t{0xf2});
  Sha1 master = sha1_of({hash_of_hash(nt_hash).span(), response, as_bytes("This is the MPPE Master Key")});
  Secret out(64);
  std::size_t at = 0;
  for (const std::string_view direction :
       {"On the client side, this is the send key; on the server side, it is the receive key.",
        "On the client side, this is the receive key; on the server side, it is the send key."}) {
    Sha1 key = sha1_of({std::span(master).first(kKey), kPad1, as_bytes(direction), pad2});
    std::memcpy(out.span().data() + at, key.data(), kKey);
    secure_wipe(key);
    at += kKey;
  }
  secure_wipe(master);
  return out;
}

}  // namespace winze::mschapv2
