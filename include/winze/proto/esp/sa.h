// One ESP security association a direction: sans-I/O, in place, no allocation after create().
//
//   SPI(4) | SEQ(4) | IV | ENC[ payload | padding | pad length(1) | next header(1) ] | ICV
//
// An SA knows payloads, not IP: what goes around and into them (tunnel, transport, BEET) is winze/proto/esp/mode.h.
// An SA belongs to one executor. For several cores make several SAs with the same selectors (RFC 9611); nothing is
// shared between them.
//
// Base documents: RFC 4303; RFC 4304 (extended sequence numbers); the algorithms' in winze/proto/esp/algorithms.h.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <span>

#include "winze/base/buffer.h"
#include "winze/base/random.h"
#include "winze/base/time.h"
#include "winze/proto/esp/algorithms.h"
#include "winze/proto/esp/drop.h"
#include "winze/proto/esp/lifetime.h"
#include "winze/proto/esp/replay_window.h"

namespace winze::esp {

class Transform;

inline constexpr std::uint8_t kProtocol = 50;
// As a next header for OutboundSa::seal(): 4 or 41, as the version in each packet's first byte says.
inline constexpr std::uint8_t kNextHeaderFromVersion = 255;
inline constexpr std::uint8_t kNextHeaderV4 = 4;
inline constexpr std::uint8_t kNextHeaderV6 = 41;
inline constexpr std::uint8_t kNextHeaderNone = 59;
// SPIs below are reserved (RFC 4303 section 2.1).
inline constexpr std::uint32_t kFirstSpi = 256;

struct SaConfig {
  std::uint32_t spi = 0;
  Algorithms algorithms;
  bool esn = false;  // 64-bit sequence numbers
  // Inbound: 0 (no protection; not with esn) to ReplayWindow::kLargest.
  std::uint32_t replay_window = 64;
  // Outbound: the next number to use. Inbound: the lowest that is accepted. For an SA that continues an earlier one.
  std::uint64_t first_sequence = 1;
  Lifetime lifetime;
  // Traffic flow confidentiality: payloads that are IP packets (next header 4 or 41) are filled up to this size. Never
  // above what the path takes: the host chooses it.
  std::uint16_t pad_payload_to = 0;
};

struct SealResult {
  std::size_t sealed = 0;   // so many packets from the first on
  Drop stop = Drop::kNone;  // why not the next
};

class OutboundSa {
 public:
  static absl::StatusOr<OutboundSa> create(const SaConfig& config, Random& random);
  OutboundSa(OutboundSa&&) noexcept;
  OutboundSa& operator=(OutboundSa&&) noexcept;
  ~OutboundSa();

  // Seals each payload in place, with consecutive sequence numbers; stops at the first that cannot be sealed. A buffer
  // without overhead() room around its data is reallocated (correct, slower).
  [[nodiscard]] SealResult seal(std::span<Buffer> packets, std::uint8_t next_header);
  [[nodiscard]] Drop seal(Buffer& packet, std::uint8_t next_header);
  // Makes `packet` a dummy, which the peer discards (RFC 4303 section 2.6), with a payload of `size` random bytes.
  [[nodiscard]] Drop seal_dummy(Buffer& packet, std::size_t size, Random& random);

  std::uint32_t spi() const noexcept { return spi_; }
  std::uint64_t next_sequence() const noexcept { return next_; }
  Overhead overhead() const noexcept;
  // Size of the ESP packet made from a payload of `size` bytes, and the largest payload whose packet takes at most
  // `limit` (0: none does). Neither counts pad_payload_to.
  std::size_t sealed_size(std::size_t size) const noexcept;
  std::size_t largest_payload(std::size_t limit) const noexcept;

  // kSoft also when a 32-bit sequence number nears its end.
  SaAge age(TimePoint now) const noexcept;
  // The age, when it has grown since this was last asked.
  std::optional<SaAge> news(TimePoint now) noexcept { return news_.of(age(now)); }
  // Ends the SA: what comes now is dropped as expired.
  void expire() noexcept { usage_.expire(); }
  const Usage& usage() const noexcept { return usage_; }
  const DropCounters& drops() const noexcept { return drops_; }
  // Counts a packet that was dropped on its way to this SA.
  Drop count(Drop drop) noexcept {
    drops_.add(drop);
    return drop;
  }
  // Follows a peer whose inbound packets showed it to use the legacy cut (InboundSa::short_sha2).
  void use_short_sha2() noexcept;

 private:
  OutboundSa() = default;
  Drop seal_one(Buffer& packet, std::uint8_t next_header);

  std::uint32_t spi_ = 0;
  bool esn_ = false;
  std::uint16_t pad_payload_to_ = 0;
  std::uint64_t next_ = 1;
  std::uint64_t last_ = 0;  // the highest number there is
  Usage usage_;
  AgeNews news_;
  std::unique_ptr<Transform> transform_;
  DropCounters drops_;
};

// What became of one packet.
struct Opened {
  Drop drop = Drop::kNone;
  std::uint8_t next_header = 0;
  // Its sequence number is the highest so far: only such a packet may move the peer's address after NAT rebinding.
  bool newest = false;
};

class InboundSa {
 public:
  static absl::StatusOr<InboundSa> create(const SaConfig& config);
  InboundSa(InboundSa&&) noexcept;
  InboundSa& operator=(InboundSa&&) noexcept;
  ~InboundSa();

  // Opens packets (each from the SPI on) in place to their payloads. `results` has as many places. Returns how many
  // were opened; a dropped packet's buffer holds nothing of use. With kAesGmac and esn a packet should have 4 bytes of
  // headroom.
  std::size_t open(std::span<Buffer> packets, std::span<Opened> results);
  [[nodiscard]] Opened open(Buffer& packet);

  std::uint32_t spi() const noexcept { return spi_; }
  std::uint64_t highest_sequence() const noexcept { return window_.top(); }
  SaAge age(TimePoint now) const noexcept { return usage_.age(now); }
  std::optional<SaAge> news(TimePoint now) noexcept { return news_.of(age(now)); }
  void expire() noexcept { usage_.expire(); }
  const Usage& usage() const noexcept { return usage_; }
  const DropCounters& drops() const noexcept { return drops_; }
  Drop count(Drop drop) noexcept {
    drops_.add(drop);
    return drop;
  }
  // The peer was found to cut HMAC-SHA2-256 to 96 bits.
  bool short_sha2() const noexcept { return short_sha2_; }

 private:
  explicit InboundSa(const SaConfig& config);
  Drop open_one(Buffer& packet, Opened& result);
  Drop authenticate(Buffer& packet, std::uint64_t sequence);
  Drop strip(Buffer& packet, std::uint8_t& next_header);

  std::uint32_t spi_ = 0;
  bool esn_ = false;
  bool may_be_short_sha2_ = false;
  bool short_sha2_ = false;
  ReplayWindow window_;
  Usage usage_;
  AgeNews news_;
  std::unique_ptr<Transform> transform_;
  DropCounters drops_;
};

}  // namespace winze::esp
