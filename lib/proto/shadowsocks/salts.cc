#include "winze/proto/shadowsocks/salts.h"

#include <absl/container/flat_hash_set.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "winze/base/bytes.h"

namespace winze::shadowsocks {
namespace {

// A dump: magic | u64 begin | u32 count | salts of the elder generation | the same of the younger.
// A later salt: u64 time | salt.
constexpr std::string_view kMagic = "winze salts 1\n";
constexpr std::size_t kMark = 16;  // of a salt

}  // namespace

struct SaltPool::Generation {
  UnixTime begin = 0;
  absl::flat_hash_set<Mark> marks;
};

struct SaltPool::Sets {
  Generation younger, elder;
};

SaltPool::SaltPool(const SaltLimits& limits) : limits_(limits), sets_(std::make_unique<Sets>()) {}
SaltPool::~SaltPool() = default;

bool SaltPool::add(std::span<const std::uint8_t> salt, UnixTime now) {
  Mark mark;
  std::memcpy(mark.data(), salt.data(), kMark);
  return add(mark, now);
}

bool SaltPool::add(const Mark& mark, UnixTime now) {
  turn(now);
  if (sets_->elder.marks.contains(mark)) return false;
  return sets_->younger.marks.insert(mark).second;
}

void SaltPool::turn(UnixTime now) {
  Sets& s = *sets_;
  // A clock that was set back does not make the salts younger.
  const bool is_old = limits_.age != 0 && now >= s.younger.begin + limits_.age;
  if (!is_old && s.younger.marks.size() < limits_.count) return;
  const bool both = is_old && now >= s.younger.begin + 2 * limits_.age;
  s.elder = both ? Generation{} : std::move(s.younger);
  s.younger = {.begin = now, .marks = {}};
}

std::vector<std::uint8_t> SaltPool::dump() const {
  std::vector<std::uint8_t> out(kMagic.size() + 2 * (8 + 4) + kMark * size());
  std::memcpy(out.data(), kMagic.data(), kMagic.size());
  std::uint8_t* at = out.data() + kMagic.size();
  for (const Generation* generation : {&sets_->elder, &sets_->younger}) {
    store_u64(at, static_cast<std::uint64_t>(generation->begin));
    store_u32(at + 8, static_cast<std::uint32_t>(generation->marks.size()));
    at += 8 + 4;
    for (const Mark& mark : generation->marks) {
      std::memcpy(at, mark.data(), kMark);
      at += kMark;
    }
  }
  return out;
}

SaltPool::Later SaltPool::later(std::span<const std::uint8_t> salt, UnixTime now) {
  Later out;
  store_u64(out.data(), static_cast<std::uint64_t>(now));
  std::memcpy(out.data() + 8, salt.data(), kMark);
  return out;
}

bool SaltPool::load(std::span<const std::uint8_t> dumped, UnixTime now) {
  Reader in(dumped);
  if (in.text(kMagic.size()) != kMagic) return false;
  const bool whole = load(in, sets_->elder, now) && load(in, sets_->younger, now);
  while (whole && in.remaining() >= sizeof(Later)) {
    const UnixTime when = std::min(static_cast<UnixTime>(in.u64()), now);
    Mark mark;
    std::memcpy(mark.data(), in.bytes(kMark).data(), kMark);
    add(mark, when);
  }
  turn(now);
  return whole;
}

bool SaltPool::load(Reader& in, Generation& generation, UnixTime now) {
  // A time to come would never end.
  generation.begin = std::min(static_cast<UnixTime>(in.u64()), now);
  const std::uint32_t count = in.u32();
  if (!in.ok() || in.remaining() / kMark < count) return false;
  generation.marks.reserve(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    Mark mark;
    std::memcpy(mark.data(), in.bytes(kMark).data(), kMark);
    generation.marks.insert(mark);
  }
  return true;
}

std::size_t SaltPool::size() const { return sets_->elder.marks.size() + sets_->younger.marks.size(); }

bool SaltWindow::add(std::span<const std::uint8_t> salt, UnixTime) {
  if (lines_.empty()) lines_.resize(size_);
  auto& salts = lines_[load_u64(salt.data() + 8) & (size_ - 1)].salts;
  const std::uint64_t mark = load_u64(salt.data());
  if (std::ranges::find(salts, mark) != salts.end()) return false;
  std::copy_backward(salts.begin(), salts.end() - 1, salts.end());
  salts.front() = mark;
  return true;
}

}  // namespace winze::shadowsocks
