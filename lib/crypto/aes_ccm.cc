#include "aes_ccm.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "evp.h"
#include "winze/base/bytes.h"
#include "winze/base/secret.h"

namespace winze {
namespace {

constexpr std::size_t kBlock = 16;

// The first block of the MAC (§2.2) and the counter blocks (§2.3): flags | nonce | number, 15 - |nonce| bytes of it.
std::array<std::uint8_t, kBlock> make_block(std::uint8_t flags, std::span<const std::uint8_t> nonce,
                                            std::uint64_t number) {
  std::array<std::uint8_t, kBlock> block{};
  store_u64(block.data() + 8, number);
  block[0] = flags;
  // The nonce covers what of the number is zero.
  std::memcpy(block.data() + 1, nonce.data(), nonce.size());
  return block;
}

}  // namespace

AesCcm::AesCcm(std::span<const std::uint8_t> key, std::size_t tag_size) : tag_size_(tag_size) {
  AES_set_encrypt_key(key.data(), static_cast<unsigned>(key.size() * 8), &key_);
  EVP_CIPHER_CTX_init(&counter_);
  EVP_EncryptInit_ex(&counter_, aes_ctr_of(key.size()), nullptr, key.data(), nullptr);
}

AesCcm::~AesCcm() {
  EVP_CIPHER_CTX_cleanup(&counter_);
  secure_wipe({reinterpret_cast<std::uint8_t*>(&key_), sizeof key_});
}

bool AesCcm::takes(std::size_t nonce_size, std::size_t data_size) {
  if (nonce_size < 7 || nonce_size > 13) return false;
  const std::size_t length_bytes = 15 - nonce_size;
  return data_size <= std::size_t{INT32_MAX} && (length_bytes >= 4 || data_size >> (8 * length_bytes) == 0);
}

void AesCcm::mac_padded(std::span<const std::uint8_t> bytes, std::uint8_t mac[kBlock]) {
  // AES_cbc_encrypt with a scratch output is the CBC-MAC at the speed of the processor's instructions; its last block
  // stays in `mac`.
  std::uint8_t scratch[512];
  while (bytes.size() >= kBlock) {
    const std::size_t n = std::min(bytes.size(), sizeof scratch) / kBlock * kBlock;
    AES_cbc_encrypt(bytes.data(), scratch, n, &key_, mac, AES_ENCRYPT);
    bytes = bytes.subspan(n);
  }
  if (bytes.empty()) return;
  std::array<std::uint8_t, kBlock> last{};
  std::memcpy(last.data(), bytes.data(), bytes.size());
  AES_cbc_encrypt(last.data(), scratch, kBlock, &key_, mac, AES_ENCRYPT);
}

void AesCcm::authenticate(std::span<const std::uint8_t> nonce, std::span<const std::uint8_t> associated,
                          std::span<const std::uint8_t> data, std::uint8_t mac[kBlock]) {
  const std::size_t length_bytes = 15 - nonce.size();
  const auto flags =
      static_cast<std::uint8_t>((associated.empty() ? 0 : 0x40) | (tag_size_ - 2) / 2 << 3 | (length_bytes - 1));
  const auto first = make_block(flags, nonce, data.size());
  AES_encrypt(first.data(), mac, &key_);
  if (!associated.empty()) {
    // The length of the associated data goes before it in its first block (§2.2).
    std::array<std::uint8_t, kBlock> head{};
    std::size_t used = 2;
    if (associated.size() < 0xff00) {
      store_u16(head.data(), static_cast<std::uint16_t>(associated.size()));
    } else {
      store_u16(head.data(), 0xfffe);
      store_u32(head.data() + 2, static_cast<std::uint32_t>(associated.size()));
      used = 6;
    }
    const std::size_t n = std::min(associated.size(), kBlock - used);
    std::memcpy(head.data() + used, associated.data(), n);
    mac_padded(head, mac);
    mac_padded(associated.subspan(n), mac);
  }
  mac_padded(data, mac);
}

void AesCcm::crypt(std::span<const std::uint8_t> nonce, std::span<std::uint8_t> data, std::uint8_t mac[kBlock]) {
  const auto first = make_block(static_cast<std::uint8_t>(14 - nonce.size()), nonce, 0);
  EVP_EncryptInit_ex(&counter_, nullptr, nullptr, nullptr, first.data());
  int n = 0;
  EVP_EncryptUpdate(&counter_, mac, &n, mac, kBlock);
  if (!data.empty()) EVP_EncryptUpdate(&counter_, data.data(), &n, data.data(), static_cast<int>(data.size()));
}

bool AesCcm::seal(std::span<const std::uint8_t> nonce, std::span<const std::uint8_t> associated,
                  std::span<std::uint8_t> data, std::uint8_t* tag) {
  if (!takes(nonce.size(), data.size())) return false;
  std::uint8_t mac[kBlock];
  authenticate(nonce, associated, data, mac);
  crypt(nonce, data, mac);
  std::memcpy(tag, mac, tag_size_);
  return true;
}

bool AesCcm::open(std::span<const std::uint8_t> nonce, std::span<const std::uint8_t> associated,
                  std::span<std::uint8_t> data, const std::uint8_t* tag) {
  if (!takes(nonce.size(), data.size())) return false;
  std::uint8_t sent[kBlock]{}, mac[kBlock];
  std::memcpy(sent, tag, tag_size_);
  crypt(nonce, data, sent);
  authenticate(nonce, associated, data, mac);
  if (constant_time_equal({sent, tag_size_}, {mac, tag_size_})) return true;
  secure_wipe(data);
  return false;
}

}  // namespace winze
