#include "winze/base/buffer.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

namespace winze {
namespace detail {

// Lies in front of every block's bytes. Blocks of a pool come back to it; others have no pool.
struct alignas(16) Block {
  PoolState* pool;
  union {
    std::size_t capacity;
    Block* next_free;  // while in a free list
  };

  std::uint8_t* bytes() { return reinterpret_cast<std::uint8_t*>(this + 1); }
  static Block* of(std::uint8_t* bytes) { return reinterpret_cast<Block*>(bytes) - 1; }
};

constexpr std::size_t kSmallestClass = 11;  // 2 KiB
constexpr std::size_t kLargestClass = 20;   // 1 MiB
// Free bytes worth keeping for each that is lent: what is lent goes up and down as sockets take it.
constexpr std::size_t kFreePerLent = 8;

// Capacities are a header less than a power of two, so that the heap's chunks are whole.
constexpr std::size_t class_capacity(std::size_t bits) { return (std::size_t{1} << bits) - sizeof(Block); }

// Outlives the pool while blocks are out.
struct PoolState {
  std::array<Block*, kLargestClass + 1> free{};
  std::size_t cap;
  std::size_t busy_cap;
  std::size_t cached = 0;
  std::size_t lent = 0;
  bool closed = false;

  void push(Block* block, std::size_t bits) {
    cached += class_capacity(bits);
    block->next_free = std::exchange(free[bits], block);
  }
  Block* pop(std::size_t bits) {
    if (free[bits] == nullptr) return nullptr;
    cached -= class_capacity(bits);
    return std::exchange(free[bits], free[bits]->next_free);
  }
  // The largest go first.
  void shrink(std::size_t limit) {
    for (std::size_t bits = kLargestClass; cached > limit; --bits) {
      while (cached > limit && free[bits] != nullptr) std::free(pop(bits));
    }
  }
  std::size_t limit() const { return closed ? 0 : std::max(cap, std::min(busy_cap, lent * kFreePerLent)); }
};

namespace {

Block* allocate(std::size_t capacity, PoolState* pool) {
  auto* block = static_cast<Block*>(std::malloc(sizeof(Block) + capacity));
  if (block == nullptr) throw std::bad_alloc();
  block->pool = pool;
  block->capacity = capacity;
  return block;
}

std::size_t class_of(std::size_t capacity) {
  return std::max<std::size_t>(kSmallestClass, std::bit_width(capacity + sizeof(Block) - 1));
}

void free_block(Block* block) {
  PoolState* pool = block->pool;
  if (pool == nullptr) {
    std::free(block);
    return;
  }
  pool->lent -= block->capacity;
  pool->push(block, class_of(block->capacity));
  pool->shrink(pool->limit());
  if (pool->closed && pool->lent == 0) delete pool;
}

}  // namespace
}  // namespace detail

Buffer::Buffer(std::size_t capacity, std::size_t headroom)
    : Buffer(detail::allocate(std::max(capacity, headroom), nullptr), headroom) {}

Buffer::Buffer(detail::Block* block, std::size_t headroom) noexcept
    : base_(block->bytes()), capacity_(block->capacity), begin_(headroom), end_(headroom) {}

Buffer Buffer::copy_of(std::span<const std::uint8_t> bytes, Overhead room) {
  Buffer out(room.front + bytes.size() + room.back, room.front);
  out.append(bytes);
  return out;
}

Buffer Buffer::copy_of(std::string_view text, Overhead room) {
  return copy_of(std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()), room);
}

Buffer::Buffer(Buffer&& other) noexcept
    : base_(std::exchange(other.base_, nullptr)),
      capacity_(std::exchange(other.capacity_, 0)),
      begin_(std::exchange(other.begin_, 0)),
      end_(std::exchange(other.end_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this != &other) {
    release();
    base_ = std::exchange(other.base_, nullptr);
    capacity_ = std::exchange(other.capacity_, 0);
    begin_ = std::exchange(other.begin_, 0);
    end_ = std::exchange(other.end_, 0);
  }
  return *this;
}

void Buffer::release() noexcept {
  if (base_ != nullptr) detail::free_block(detail::Block::of(std::exchange(base_, nullptr)));
  capacity_ = begin_ = end_ = 0;
}

std::uint8_t* Buffer::prepend(std::size_t n) {
  if (begin_ < n) reallocate(n, tailroom());
  begin_ -= n;
  return data();
}

std::uint8_t* Buffer::append(std::size_t n) {
  // Grows by doubling, so that a buffer filled by small appends is copied a logarithmic number of times.
  if (tailroom() < n) reallocate(headroom(), std::max(n, size()));
  std::uint8_t* at = base_ + end_;
  end_ += n;
  return at;
}

void Buffer::append(std::span<const std::uint8_t> bytes) {
  if (!bytes.empty()) std::memcpy(append(bytes.size()), bytes.data(), bytes.size());
}

void Buffer::append(std::string_view text) {
  append(std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
}

void Buffer::ensure_room(Overhead room) {
  if (headroom() >= room.front && tailroom() >= room.back) return;
  if (capacity_ >= room.front + size() + room.back) {
    if (!empty()) std::memmove(base_ + room.front, data(), size());
    end_ = room.front + size();
    begin_ = room.front;
    return;
  }
  reallocate(room.front, room.back);
}

void Buffer::reallocate(std::size_t front, std::size_t back) {
  Buffer larger(front + size() + back, front);
  if (!empty()) std::memcpy(larger.base_ + front, data(), size());
  larger.end_ = front + size();
  *this = std::move(larger);
}

BufferPool::BufferPool(std::size_t cap, std::size_t busy_cap)
    : state_(new detail::PoolState{.cap = cap, .busy_cap = busy_cap}) {}

BufferPool::~BufferPool() {
  state_->closed = true;
  state_->shrink(0);
  if (state_->lent == 0) delete state_;
}

Buffer BufferPool::acquire(std::size_t capacity, std::size_t headroom) {
  capacity = std::max(capacity, headroom);
  const std::size_t bits = detail::class_of(capacity);
  if (bits > detail::kLargestClass) return Buffer(capacity, headroom);
  const std::size_t class_capacity = detail::class_capacity(bits);
  detail::Block* block = state_->pop(bits);
  if (block == nullptr) block = detail::allocate(class_capacity, state_);
  block->capacity = class_capacity;
  state_->lent += class_capacity;
  return Buffer(block, headroom);
}

std::size_t BufferPool::cached_bytes() const noexcept { return state_->cached; }
std::size_t BufferPool::lent_bytes() const noexcept { return state_->lent; }

}  // namespace winze
