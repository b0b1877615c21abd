// EAP packets, read and made.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "winze/proto/eap/eap.h"

namespace winze::eap {

enum class Code : std::uint8_t { kRequest = 1, kResponse = 2, kSuccess = 3, kFailure = 4 };

inline constexpr std::uint8_t kIdentity = 1, kNotification = 2, kNak = 3;
inline constexpr std::size_t kHeaderSize = 4;

struct Packet {
  Code code = Code::kRequest;
  std::uint8_t id = 0;
  std::uint8_t type = 0;  // of requests and responses
  std::span<const std::uint8_t> data;

  // Nullopt for what is none. Bytes behind its length are padding (RFC 3748 section 4).
  static std::optional<Packet> parse(std::span<const std::uint8_t> bytes);
};

std::vector<std::uint8_t> make_packet(Code code, std::uint8_t id, std::uint8_t type,
                                      std::span<const std::uint8_t> data);
// A success or a failure.
std::vector<std::uint8_t> make_result(Code code, std::uint8_t id);

}  // namespace winze::eap
