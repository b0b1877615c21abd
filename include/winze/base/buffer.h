// Owned bytes with room around them, and the pool they come from.
//
//   | headroom | data | tailroom |
//
// A Buffer travels through the layers by move. A layer that frames bytes writes its header into the headroom and its
// trailer into the tailroom (`prepend`, `append`), so nothing is copied. Where the room is too small both still work:
// they move the bytes into a larger block (correct, slower).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace winze {

// Room a layer needs around the bytes it is given, in bytes. The overheads of stacked layers add up.
struct Overhead {
  std::size_t front = 0;
  std::size_t back = 0;

  friend constexpr Overhead operator+(Overhead a, Overhead b) { return {a.front + b.front, a.back + b.back}; }
  friend constexpr bool operator==(Overhead, Overhead) = default;
};

namespace detail {
struct Block;
struct PoolState;
}  // namespace detail

class Buffer {
 public:
  Buffer() noexcept = default;
  // An empty buffer whose block holds at least `capacity` bytes, `headroom` of them in front. From the heap.
  explicit Buffer(std::size_t capacity, std::size_t headroom = 0);
  // A buffer that holds a copy of `bytes`, with `room` around them.
  static Buffer copy_of(std::span<const std::uint8_t> bytes, Overhead room = {});
  static Buffer copy_of(std::string_view text, Overhead room = {});

  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { release(); }

  std::uint8_t* data() noexcept { return base_ + begin_; }
  const std::uint8_t* data() const noexcept { return base_ + begin_; }
  std::size_t size() const noexcept { return end_ - begin_; }
  bool empty() const noexcept { return begin_ == end_; }
  std::span<std::uint8_t> span() noexcept { return {data(), size()}; }
  std::span<const std::uint8_t> span() const noexcept { return {data(), size()}; }
  std::string_view text() const noexcept { return {reinterpret_cast<const char*>(data()), size()}; }

  std::size_t headroom() const noexcept { return begin_; }
  std::size_t tailroom() const noexcept { return capacity_ - end_; }
  std::size_t capacity() const noexcept { return capacity_; }

  // Grows the data by `n` bytes at the front or back; the new bytes are not initialised. Returns where they begin.
  std::uint8_t* prepend(std::size_t n);
  std::uint8_t* append(std::size_t n);
  void append(std::span<const std::uint8_t> bytes);
  void append(std::string_view text);
  // Drops `n` bytes (n <= size()) at the front or back.
  void trim_front(std::size_t n) noexcept { begin_ += n; }
  void trim_back(std::size_t n) noexcept { end_ -= n; }
  // Empties the buffer and puts the data's place at `headroom` (<= capacity()); the block stays.
  void clear(std::size_t headroom = 0) noexcept { begin_ = end_ = headroom; }
  // Moves the data within the block, or into a larger one, so that at least this much room is on each side.
  void ensure_room(Overhead room);
  // Gives the block back; the buffer is then empty, without capacity.
  void release() noexcept;

 private:
  friend class BufferPool;
  Buffer(detail::Block* block, std::size_t headroom) noexcept;
  void reallocate(std::size_t front, std::size_t back);

  // base_ points behind the block's header; null when there is no block.
  std::uint8_t* base_ = nullptr;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

// Blocks for reuse, last in first out (so that they are still in the processor's cache), in classes of powers of two
// from 2 KiB to 1 MiB. A pool belongs to one executor: take and drop its buffers there only. Buffers may outlive it.
class BufferPool {
 public:
  // Of what is given back keeps at most `cap` bytes; under load more, in proportion to what is lent, up to `busy_cap`
  // (a block that goes to the heap and comes back costs a page fault for every 4 KiB of it). The rest goes to the heap.
  explicit BufferPool(std::size_t cap = 4u << 20, std::size_t busy_cap = 64u << 20);
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  // An empty buffer of at least `capacity` bytes, `headroom` of them in front.
  Buffer acquire(std::size_t capacity, std::size_t headroom = 0);
  // Bytes of free blocks now held, and bytes of blocks now out.
  std::size_t cached_bytes() const noexcept;
  std::size_t lent_bytes() const noexcept;

 private:
  detail::PoolState* state_;
};

}  // namespace winze
