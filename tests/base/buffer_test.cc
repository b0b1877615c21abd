#include "winze/base/buffer.h"

#include <doctest/doctest.h>

#include <utility>
#include <vector>

namespace winze {
namespace {

TEST_CASE("Buffer: prepend and append use the room that is there") {
  Buffer b(64, 16);
  b.append("payload");
  const std::uint8_t* before = b.data();
  *b.prepend(1) = '<';
  b.append(">");
  CHECK(b.text() == "<payload>");
  CHECK(b.data() + 1 == before);
  CHECK(b.headroom() == 15);
}

TEST_CASE("Buffer: without room the bytes move and stay whole") {
  Buffer b = Buffer::copy_of("abc");
  for (int i = 0; i < 100; ++i) *b.prepend(1) = 'x';
  for (int i = 0; i < 1000; ++i) b.append("y");
  CHECK(b.size() == 1103);
  CHECK(b.text().substr(99, 6) == "xabcyy");
}

TEST_CASE("Buffer: trimming, clearing and moving") {
  Buffer b = Buffer::copy_of("0123456789");
  b.trim_front(2);
  b.trim_back(3);
  CHECK(b.text() == "23456");
  Buffer moved = std::move(b);
  CHECK(b.empty());
  CHECK(b.capacity() == 0);
  CHECK(moved.text() == "23456");
  moved.clear(4);
  CHECK(moved.empty());
  CHECK(moved.headroom() == 4);
}

TEST_CASE("Buffer: ensure_room keeps the bytes") {
  Buffer b(32, 0);
  b.append("abcdef");
  b.ensure_room({.front = 20, .back = 2});
  CHECK(b.text() == "abcdef");
  CHECK(b.headroom() >= 20);
  b.ensure_room({.front = 200, .back = 200});
  CHECK(b.text() == "abcdef");
  CHECK(b.headroom() >= 200);
  CHECK(b.tailroom() >= 200);
}

TEST_CASE("BufferPool: reuses the last block, keeps at most its cap") {
  BufferPool pool(8 << 10, 8 << 10);
  std::uint8_t* first;
  {
    Buffer b = pool.acquire(3000);
    first = b.data();
    CHECK(pool.lent_bytes() >= 3000);
  }
  CHECK(pool.lent_bytes() == 0);
  CHECK(pool.cached_bytes() >= 3000);
  Buffer again = pool.acquire(2500);
  CHECK(again.data() == first);
  {
    std::vector<Buffer> many;
    for (int i = 0; i < 10; ++i) many.push_back(pool.acquire(4000));
  }
  CHECK(pool.cached_bytes() <= 8 << 10);
}

TEST_CASE("BufferPool: keeps more under load, and as little as before it afterwards") {
  constexpr std::size_t kCap = 64 << 10, kBusy = 1 << 20, kBlock = 16 << 10;
  BufferPool pool(kCap, kBusy);
  std::vector<Buffer> lent;
  for (int i = 0; i < 100; ++i) lent.push_back(pool.acquire(kBlock - 256));
  while (lent.size() > 90) lent.pop_back();
  const std::size_t ten = pool.cached_bytes();
  CHECK(ten > kCap);
  while (lent.size() < 100) lent.push_back(pool.acquire(kBlock - 256));
  CHECK(pool.cached_bytes() == 0);
  while (lent.size() > 10) lent.pop_back();
  CHECK(pool.cached_bytes() > kBusy - kBlock);
  CHECK(pool.cached_bytes() <= kBusy);
  while (lent.size() > 1) lent.pop_back();
  CHECK(pool.cached_bytes() < ten);
  lent.clear();
  CHECK(pool.cached_bytes() > kCap - kBlock);
  CHECK(pool.cached_bytes() <= kCap);
}

TEST_CASE("BufferPool: what is given back after it goes to the heap") {
  std::vector<Buffer> lent;
  {
    BufferPool pool;
    for (int i = 0; i < 3; ++i) lent.push_back(pool.acquire(5000));
    lent.pop_back();
  }
  lent.pop_back();
  lent.back().append("whole");
  CHECK(lent.back().text() == "whole");
}

TEST_CASE("BufferPool: buffers may outlive it, and large ones come from the heap") {
  Buffer kept;
  {
    BufferPool pool;
    kept = pool.acquire(100, 10);
    kept.append("still here");
    CHECK(pool.acquire(1 << 22).capacity() >= 1 << 22);
  }
  CHECK(kept.text() == "still here");
}

}  // namespace
}  // namespace winze
