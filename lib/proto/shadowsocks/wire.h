// Numbers and small parts of the wire format that several of its users share.
#pragma once

#include <cstddef>
#include <cstdint>

#include "winze/base/random.h"
#include "winze/base/time.h"

namespace winze::shadowsocks {

// The edition of 2022.
inline constexpr std::uint8_t kRequestType = 0;
inline constexpr std::uint8_t kAnswerType = 1;
inline constexpr std::size_t kFixedRequestSize = 1 + 8 + 2;
inline constexpr std::size_t kFixedAnswerSize = 1 + 8 + 2;  // and the request's salt
inline constexpr std::size_t kMaxPadding = 900;

// Short first payloads are padded, so that their length tells less; and a header must hold one or the other.
std::size_t padding_for(std::size_t payload, Random& random);

// Whether a time on the wire is near enough to ours.
bool is_timely(std::uint64_t time, UnixTime now);

}  // namespace winze::shadowsocks
