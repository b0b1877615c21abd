#include "proto/shadowsocks/wire.h"

#include "winze/proto/shadowsocks/codec.h"

namespace winze::shadowsocks {

std::size_t padding_for(std::size_t payload, Random& random) {
  return payload < kMaxPadding ? 1 + static_cast<std::size_t>(random.below(kMaxPadding)) : 0;
}

bool is_timely(std::uint64_t time, UnixTime now) {
  const auto ours = static_cast<std::uint64_t>(now);
  return (time > ours ? time - ours : ours - time) <= static_cast<std::uint64_t>(kTimeWindow);
}

}  // namespace winze::shadowsocks
