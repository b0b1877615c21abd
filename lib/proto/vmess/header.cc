#include "header.h"

#include <algorithm>
#include <array>

#include "kdf.h"
#include "winze/base/bytes.h"
#include "winze/proto/port_address.h"
#include "winze/proto/vmess/error.h"

namespace winze::vmess {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kTagSize = 16;
// A server's command has at most 255 bytes.
constexpr std::size_t kLargestAnswer = 4 + 255;

std::uint32_t fnv1a(std::span<const std::uint8_t> bytes) {
  std::uint32_t hash = 0x811c9dc5;
  for (const std::uint8_t byte : bytes) hash = (hash ^ byte) * 0x01000193;
  return hash;
}

// A key for one message, and its nonce.
struct OneTime {
  OneTime(const Kdf& kdf, std::span<const std::uint8_t> key_secret, std::initializer_list<Kdf::Element> key_path,
          std::span<const std::uint8_t> nonce_secret, std::initializer_list<Kdf::Element> nonce_path)
      : nonce(kdf.derive_nonce(nonce_secret, nonce_path)), aead([&] {
          auto key = kdf.derive_key(key_secret, key_path);
          Aead made = *Aead::create(AeadAlgorithm::kAesGcm, key);
          secure_wipe(key);
          return made;
        }()) {}

  void seal(std::span<const std::uint8_t> associated, std::span<const std::uint8_t> data, std::uint8_t* out) const {
    (void)aead.seal(nonce, associated, data, out, out + data.size());
  }
  [[nodiscard]] bool open(std::span<const std::uint8_t> associated, std::span<const std::uint8_t> sealed,
                          std::uint8_t* out) const {
    const auto data = sealed.first(sealed.size() - kTagSize);
    return aead.open(nonce, associated, data, out, sealed.data() + data.size());
  }

  std::array<std::uint8_t, 12> nonce;
  Aead aead;
};

OneTime length_key(const Secret& command_key, std::span<const std::uint8_t> auth_id,
                   std::span<const std::uint8_t> nonce) {
  const auto secret = command_key.span();
  return {Kdf(),
          secret,
          {as_bytes("VMess Header AEAD Key_Length"), auth_id, nonce},
          secret,
          {as_bytes("VMess Header AEAD Nonce_Length"), auth_id, nonce}};
}

OneTime header_key(const Secret& command_key, std::span<const std::uint8_t> auth_id,
                   std::span<const std::uint8_t> nonce) {
  const auto secret = command_key.span();
  return {Kdf(),
          secret,
          {as_bytes("VMess Header AEAD Key"), auth_id, nonce},
          secret,
          {as_bytes("VMess Header AEAD Nonce"), auth_id, nonce}};
}

OneTime answer_length_key(const BodyKeys& keys) {
  return {Kdf(), keys.key, {as_bytes("AEAD Resp Header Len Key")}, keys.iv, {as_bytes("AEAD Resp Header Len IV")}};
}

OneTime answer_key(const BodyKeys& keys) {
  return {Kdf(), keys.key, {as_bytes("AEAD Resp Header Key")}, keys.iv, {as_bytes("AEAD Resp Header IV")}};
}

std::uint8_t number_of(Security security) {
  switch (security) {
    case Security::kAes128Gcm:
      return 3;
    case Security::kChaCha20Poly1305:
      return 4;
    default:
      return 5;
  }
}

std::optional<Security> security_of(std::uint8_t number) {
  switch (number) {
    case 3:
      return Security::kAes128Gcm;
    case 4:
      return Security::kChaCha20Poly1305;
    case 5:
      return Security::kNone;
    default:
      return std::nullopt;
  }
}

bool encode(const Request& request, Random& random, Buffer& out) {
  Writer writer(out);
  writer.u8(kVersion);
  writer.bytes(request.keys.iv);
  writer.bytes(request.keys.key);
  writer.u8(request.answer);
  writer.u8(request.options);
  const auto padding = static_cast<std::uint8_t>(random.below(16));
  writer.u8(static_cast<std::uint8_t>(padding << 4 | number_of(request.security)));
  writer.u8(0);
  writer.u8(static_cast<std::uint8_t>(request.command));
  if (request.command != Command::kMux && !encode_port_address(request.destination, out)) return false;
  if (padding != 0) random.fill({out.append(padding), padding});
  writer.u32(fnv1a(out.span()));
  return true;
}

// V2Ray's servers do not look at the version; neither do we.
std::error_code decode(std::span<const std::uint8_t> header, Request& out) {
  const auto checked = header.first(header.size() - 4);
  if (load_u32(header.data() + checked.size()) != fnv1a(checked)) return Errc::kBadRequest;
  Reader reader(checked);
  reader.skip(1);
  std::ranges::copy(reader.bytes(16), out.keys.iv.begin());
  std::ranges::copy(reader.bytes(16), out.keys.key.begin());
  out.answer = reader.u8();
  out.options = reader.u8();
  const std::uint8_t mixed = reader.u8();
  reader.skip(1);
  out.command = static_cast<Command>(reader.u8());
  const std::optional<Security> security = security_of(mixed & 15);
  if (!security) return Errc::kUnsupportedSecurity;
  out.security = *security;
  if (out.command < Command::kTcp || out.command > Command::kMux) return Errc::kUnsupportedCommand;
  out.destination.network = out.command == Command::kUdp ? Network::kUdp : Network::kTcp;
  if (out.command != Command::kMux && decode_port_address(reader, out.destination) != PortAddressError::kNone) {
    return Errc::kBadAddress;
  }
  return reader.remaining() >= mixed >> 4 ? std::error_code() : Errc::kBadRequest;
}

}  // namespace

bool seal_request(const UserKeys& user, const Request& request, UnixTime now, Random& random, Buffer& out) {
  Buffer header(kLargestHeader);
  if (!encode(request, random, header)) return false;
  seal_header(user, header.span(), now, random, out);
  secure_wipe(header.span());
  return true;
}

void seal_header(const UserKeys& user, std::span<const std::uint8_t> header, UnixTime now, Random& random,
                 Buffer& out) {
  const AuthId auth_id = make_auth_id(user.auth, now, random);
  std::array<std::uint8_t, kNonceSize> nonce;
  random.fill(nonce);
  out.append(auth_id);
  std::uint8_t* length = out.append(kSealedLengthSize);
  store_u16(length, static_cast<std::uint16_t>(header.size()));
  length_key(user.command, auth_id, nonce).seal(auth_id, {length, 2}, length);
  out.append(nonce);
  std::uint8_t* sealed = out.append(header.size() + kTagSize);
  header_key(user.command, auth_id, nonce).seal(auth_id, header, sealed);
}

RequestOpener::RequestOpener(const Secret& command_key, std::span<const std::uint8_t, kAuthIdSize> auth_id)
    : command_key_(command_key) {
  std::ranges::copy(auth_id, auth_id_.begin());
}

std::size_t RequestOpener::size(std::span<const std::uint8_t> bytes) const {
  const auto nonce = bytes.subspan(kAuthIdSize + kSealedLengthSize, kNonceSize);
  std::uint8_t length[2];
  const auto sealed = bytes.subspan(kAuthIdSize, kSealedLengthSize);
  if (!length_key(command_key_, auth_id_, nonce).open(auth_id_, sealed, length)) return 0;
  const std::size_t size = load_u16(length);
  return size < kSmallestHeader || size > kLargestHeader ? 0 : kRequestPrefixSize + size + kTagSize;
}

std::error_code RequestOpener::open(std::span<const std::uint8_t> bytes, Request& out) const {
  const auto nonce = bytes.subspan(kAuthIdSize + kSealedLengthSize, kNonceSize);
  const auto sealed = bytes.subspan(kRequestPrefixSize);
  std::array<std::uint8_t, kLargestHeader> header;
  if (!header_key(command_key_, auth_id_, nonce).open(auth_id_, sealed, header.data())) return Errc::kBadHeader;
  const std::error_code error = decode(std::span(header).first(sealed.size() - kTagSize), out);
  secure_wipe(header);
  return error;
}

void seal_answer(const BodyKeys& keys, std::uint8_t answer, Buffer& out) {
  std::uint8_t* length = out.append(kAnswerSize);
  std::uint8_t* header = length + kSealedLengthSize;
  store_u16(length, 4);
  answer_length_key(keys).seal({}, {length, 2}, length);
  const std::uint8_t bytes[] = {answer, 0, 0, 0};
  answer_key(keys).seal({}, bytes, header);
}

std::size_t open_answer(const BodyKeys& keys, std::uint8_t answer, std::span<const std::uint8_t> bytes,
                        std::error_code& error) {
  if (bytes.size() < kSealedLengthSize) return 0;
  std::uint8_t length[2];
  if (!answer_length_key(keys).open({}, bytes.first(kSealedLengthSize), length)) return error = Errc::kBadAnswer, 0;
  const std::size_t size = load_u16(length);
  if (size < 4 || size > kLargestAnswer) return error = Errc::kBadAnswer, 0;
  const std::size_t whole = kSealedLengthSize + size + kTagSize;
  if (bytes.size() < whole) return 0;
  std::array<std::uint8_t, kLargestAnswer> header;
  const bool authentic = answer_key(keys).open({}, bytes.subspan(kSealedLengthSize, size + kTagSize), header.data());
  if (!authentic || header[0] != answer) return error = Errc::kBadAnswer, 0;
  return whole;
}

}  // namespace winze::vmess
