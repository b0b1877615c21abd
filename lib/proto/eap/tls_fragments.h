// How TLS messages travel in EAP-TLS (RFC 5216 section 3): in fragments, each acknowledged by an empty packet.
//
//   Flags(1) [ TLS Message Length(4), where L is set ] TLS Data
//   Flags: L 0x80 length included, M 0x40 more fragments follow, S 0x20 start
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace winze::eap {

inline constexpr std::uint8_t kLengthIncluded = 0x80, kMoreFragments = 0x40, kStart = 0x20;

class TlsFragments {
 public:
  // Of data in a fragment: packets stay below the MTU of any path, and strongSwan's are as large.
  static constexpr std::size_t kFragment = 1024;
  // Of a message that comes: room for a chain of the largest certificates.
  static constexpr std::size_t kLimit = 1 << 16;

  enum class Taken : std::uint8_t {
    kMessage,       // whole: it is in message()
    kMore,          // a fragment: acknowledge it with empty()
    kAcknowledged,  // empty: send the next fragment, or none is left
    kMalformed,
    kTooLong,
  };
  // The data of a packet, without the start packet's meaning. Memory grows by what has come, whatever length is told.
  Taken take(std::span<const std::uint8_t> data);
  const std::vector<std::uint8_t>& message() const { return incoming_; }
  void clear_message() { incoming_.clear(); }

  // A message to send; then next() while has_next().
  void put(std::vector<std::uint8_t> message);
  bool has_next() const { return sent_ < outgoing_.size(); }
  std::vector<std::uint8_t> next();
  static std::vector<std::uint8_t> empty() { return {0}; }

 private:
  std::vector<std::uint8_t> incoming_;
  std::optional<std::size_t> announced_;
  std::vector<std::uint8_t> outgoing_;
  std::size_t sent_ = 0;
};

}  // namespace winze::eap
