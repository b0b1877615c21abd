#include "winze/crypto/blake3.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "winze/base/bytes.h"
#include "winze/base/secret.h"

namespace winze {
namespace {

using Words = std::array<std::uint32_t, 8>;

constexpr std::size_t kBlock = 64;
constexpr std::uint8_t kBlocksOfChunk = 16;

enum Flag : std::uint32_t {
  kChunkStart = 1,
  kChunkEnd = 2,
  kParent = 4,
  kRoot = 8,
  kKeyedHash = 16,
  kDeriveKeyContext = 32,
  kDeriveKeyMaterial = 64,
};

constexpr Words kIv = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
constexpr std::uint8_t kPermutation[16] = {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8};

std::uint32_t load_le(const std::uint8_t* p) {
  return std::uint32_t{p[3]} << 24 | std::uint32_t{p[2]} << 16 | std::uint32_t{p[1]} << 8 | p[0];
}
void store_le(std::uint8_t* p, std::uint32_t v) {
  for (int i = 0; i < 4; ++i) p[i] = static_cast<std::uint8_t>(v >> 8 * i);
}

void mix(std::uint32_t* v, int a, int b, int c, int d, std::uint32_t x, std::uint32_t y) {
  v[a] += v[b] + x;
  v[d] = std::rotr(v[d] ^ v[a], 16);
  v[c] += v[d];
  v[b] = std::rotr(v[b] ^ v[c], 12);
  v[a] += v[b] + y;
  v[d] = std::rotr(v[d] ^ v[a], 8);
  v[c] += v[d];
  v[b] = std::rotr(v[b] ^ v[c], 7);
}

// Section 2.2. Writes 16 words, of which the first eight are the chaining value.
void compress(const Words& chaining, const std::uint8_t* block, std::uint32_t size, std::uint64_t counter,
              std::uint32_t flags, std::uint32_t* v) {
  std::uint32_t m[16];
  for (int i = 0; i < 16; ++i) m[i] = load_le(block + 4 * i);
  std::copy(chaining.begin(), chaining.end(), v);
  std::copy(kIv.begin(), kIv.begin() + 4, v + 8);
  v[12] = static_cast<std::uint32_t>(counter);
  v[13] = static_cast<std::uint32_t>(counter >> 32);
  v[14] = size;
  v[15] = flags;
  for (int round = 0;; ++round) {
    for (int i = 0; i < 4; ++i) mix(v, i, 4 + i, 8 + i, 12 + i, m[2 * i], m[2 * i + 1]);
    for (int i = 0; i < 4; ++i) {
      mix(v, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4, m[8 + 2 * i], m[9 + 2 * i]);
    }
    if (round == 6) break;
    std::uint32_t permuted[16];
    for (int i = 0; i < 16; ++i) permuted[i] = m[kPermutation[i]];
    std::copy(permuted, permuted + 16, m);
  }
  for (int i = 0; i < 8; ++i) {
    v[i] ^= v[i + 8];
    v[i + 8] ^= chaining[static_cast<std::size_t>(i)];
  }
}

Words compress_to_chaining(const Words& chaining, const std::uint8_t* block, std::uint32_t size, std::uint64_t counter,
                           std::uint32_t flags) {
  std::uint32_t v[16];
  compress(chaining, block, size, counter, flags, v);
  Words out;
  std::copy(v, v + 8, out.begin());
  return out;
}

void store_words(const Words& words, std::uint8_t* out) {
  for (std::size_t i = 0; i < 8; ++i) store_le(out + 4 * i, words[i]);
}

}  // namespace

// What the last compression of a node has for input; for the root it is done once for each 64 bytes of output.
struct Blake3::Output {
  Words chaining;
  std::array<std::uint8_t, kBlock> block;
  std::uint32_t size;
  std::uint64_t counter;
  std::uint32_t flags;

  static Output of_parent(const Words& left, const Words& right, const Words& key, std::uint32_t flags) {
    Output out{.chaining = key, .block = {}, .size = kBlock, .counter = 0, .flags = flags | kParent};
    store_words(left, out.block.data());
    store_words(right, out.block.data() + 32);
    return out;
  }
  Words value() const { return compress_to_chaining(chaining, block.data(), size, counter, flags); }
};

Blake3::Blake3(const Words& key, std::uint32_t flags) : key_(key), flags_(flags), chaining_(key) {}
Blake3::Blake3() : Blake3(kIv, 0) {}
Blake3::Blake3(Key key) : Blake3(Words{}, kKeyedHash) {
  for (std::size_t i = 0; i < 8; ++i) key_[i] = load_le(key.data() + 4 * i);
  chaining_ = key_;
}
Blake3::~Blake3() {
  secure_wipe({reinterpret_cast<std::uint8_t*>(key_.data()), sizeof key_});
  secure_wipe({reinterpret_cast<std::uint8_t*>(chaining_.data()), sizeof chaining_});
  secure_wipe(block_);
}

Blake3 Blake3::for_keys(std::string_view context) {
  Blake3 of_context(kIv, kDeriveKeyContext);
  of_context.update(as_bytes(context));
  std::array<std::uint8_t, kKeySize> key;
  of_context.finish(key);
  Words words;
  for (std::size_t i = 0; i < 8; ++i) words[i] = load_le(key.data() + 4 * i);
  return Blake3(words, kDeriveKeyMaterial);
}

void Blake3::update(std::span<const std::uint8_t> bytes) {
  while (!bytes.empty()) {
    // The last block of a chunk, and the last chunk, wait until more comes: they may be the last of all.
    if (block_size_ == kBlock) {
      if (blocks_ == kBlocksOfChunk - 1) {
        add_chunk(chunk_output().value());
        chaining_ = key_;
        ++chunk_;
        blocks_ = 0;
      } else {
        chaining_ = compress_to_chaining(chaining_, block_.data(), kBlock, chunk_,
                                         flags_ | (blocks_ == 0 ? std::uint32_t{kChunkStart} : 0));
        ++blocks_;
      }
      block_size_ = 0;
    }
    const std::size_t n = std::min(kBlock - block_size_, bytes.size());
    std::memcpy(block_.data() + block_size_, bytes.data(), n);
    block_size_ = static_cast<std::uint8_t>(block_size_ + n);
    bytes = bytes.subspan(n);
  }
}

// Joins the subtrees that the chunk completes: as many as the number of chunks has zero bits at its end.
void Blake3::add_chunk(Words value) {
  for (std::uint64_t chunks = chunk_ + 1; (chunks & 1) == 0; chunks >>= 1) {
    value = Output::of_parent(stack_[--stack_size_], value, key_, flags_).value();
  }
  stack_[stack_size_++] = value;
}

Blake3::Output Blake3::chunk_output() const {
  Output out{.chaining = chaining_,
             .block = block_,
             .size = block_size_,
             .counter = chunk_,
             .flags = flags_ | kChunkEnd | (blocks_ == 0 ? std::uint32_t{kChunkStart} : 0)};
  std::fill(out.block.begin() + block_size_, out.block.end(), std::uint8_t{0});
  return out;
}

void Blake3::finish(std::span<std::uint8_t> out) const {
  Output root = chunk_output();
  for (std::size_t i = stack_size_; i > 0; --i) root = Output::of_parent(stack_[i - 1], root.value(), key_, flags_);
  for (std::uint64_t counter = 0; !out.empty(); ++counter) {
    std::uint32_t words[16];
    compress(root.chaining, root.block.data(), root.size, counter, root.flags | kRoot, words);
    std::uint8_t bytes[kBlock];
    for (int i = 0; i < 16; ++i) store_le(bytes + 4 * i, words[i]);
    const std::size_t n = std::min(out.size(), kBlock);
    std::memcpy(out.data(), bytes, n);
    out = out.subspan(n);
  }
}

std::array<std::uint8_t, Blake3::kHashSize> blake3(std::span<const std::uint8_t> bytes) {
  Blake3 hash;
  hash.update(bytes);
  std::array<std::uint8_t, Blake3::kHashSize> out;
  hash.finish(out);
  return out;
}

void blake3_derive_key(std::string_view context, std::initializer_list<std::span<const std::uint8_t>> material,
                       std::span<std::uint8_t> out) {
  Blake3 hash = Blake3::for_keys(context);
  for (const auto& part : material) hash.update(part);
  hash.finish(out);
}

}  // namespace winze
