// One AH security association a direction: sans-I/O, in place, no allocation after create().
//
//   IP header | AH: next header(1) length(1) 0(2) SPI(4) SEQ(4) ICV, padding | payload
//
// AH covers the IP header too, all but what routers change, so an SA works on whole packets. Integrity is one of
// esp::Integrity with Encryption::kNull, or Encryption::kAesGmac alone (RFC 4543: the ICV field is IV(8) | tag(16), of
// zeroes while the tag is made).
//
// With IPv4, AH is padded to a multiple of 4 bytes (RFC 4302 section 2.2); a Linux peer needs `flag align4` for that.
// Padding to 8 is taken too.
//
// Base documents: RFC 4302; RFC 4301 section 5; RFC 4304 (extended sequence numbers).
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>

#include "winze/base/buffer.h"
#include "winze/proto/esp/drop.h"
#include "winze/proto/esp/lifetime.h"
#include "winze/proto/esp/mode.h"
#include "winze/proto/esp/replay_window.h"
#include "winze/proto/esp/sa.h"
#include "winze/proto/ip/header.h"

namespace winze::ah {

using esp::Drop;

inline constexpr std::uint8_t kProtocol = 51;

class Authenticator;

// Of esp::SaConfig all counts but pad_payload_to; of esp::Encapsulation, kTunnel and kTransport, without ports.
class OutboundSa {
 public:
  static absl::StatusOr<OutboundSa> create(const esp::SaConfig& config);
  OutboundSa(OutboundSa&&) noexcept;
  OutboundSa& operator=(OutboundSa&&) noexcept;
  ~OutboundSa();

  // Puts AH into an IP packet, or around it. `header` is the packet's.
  [[nodiscard]] Drop seal(const esp::Encapsulation& how, Buffer& packet, const ip::Header& header);

  std::uint32_t spi() const noexcept { return spi_; }
  std::uint64_t next_sequence() const noexcept { return next_; }
  // Bytes that AH adds to a packet of this version, the outer header of a tunnel not among them.
  std::size_t header_size(bool v6) const noexcept;
  esp::SaAge age(TimePoint now) const noexcept;
  void expire() noexcept { usage_.expire(); }
  const esp::Usage& usage() const noexcept { return usage_; }
  const esp::DropCounters& drops() const noexcept { return drops_; }

 private:
  OutboundSa() = default;
  Drop seal_one(const esp::Encapsulation& how, Buffer& packet, const ip::Header& header);
  Drop insert(Buffer& packet, const ip::Header& header);

  std::uint32_t spi_ = 0;
  std::uint64_t next_ = 1;
  std::uint64_t last_ = 0;  // the highest number there is
  esp::Usage usage_;
  std::unique_ptr<Authenticator> authenticator_;
  esp::DropCounters drops_;
};

class InboundSa {
 public:
  static absl::StatusOr<InboundSa> create(const esp::SaConfig& config);
  InboundSa(InboundSa&&) noexcept;
  InboundSa& operator=(InboundSa&&) noexcept;
  ~InboundSa();

  // Turns an IP packet with AH, reassembled if it came in fragments, into the packet it protects.
  [[nodiscard]] Drop open(const esp::Encapsulation& how, Buffer& packet, esp::Opened& opened, ip::Header& inner);

  std::uint32_t spi() const noexcept { return spi_; }
  std::uint64_t highest_sequence() const noexcept { return window_.top(); }
  esp::SaAge age(TimePoint now) const noexcept { return usage_.age(now); }
  void expire() noexcept { usage_.expire(); }
  const esp::Usage& usage() const noexcept { return usage_; }
  const esp::DropCounters& drops() const noexcept { return drops_; }

 private:
  explicit InboundSa(const esp::SaConfig& config);
  Drop open_one(const esp::Encapsulation& how, Buffer& packet, esp::Opened& opened, ip::Header& inner);

  std::uint32_t spi_ = 0;
  bool esn_ = false;
  esp::ReplayWindow window_;
  esp::Usage usage_;
  std::unique_ptr<Authenticator> authenticator_;
  esp::DropCounters drops_;
};

}  // namespace winze::ah
