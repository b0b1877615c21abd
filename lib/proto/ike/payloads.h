// The bodies of payloads (RFC 7296 sections 3.3 to 3.16): views of a received message, and writers of our own.
#pragma once

#include <absl/container/inlined_vector.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "winze/base/address.h"
#include "winze/proto/ike/config.h"
#include "winze/proto/ike/identity.h"
#include "winze/proto/ike/proposal.h"
#include "winze/proto/ip/selector.h"
#include "wire.h"

namespace winze::ike {

using Bytes = std::span<const std::uint8_t>;

// A proposal as it stands in an SA payload.
struct Offer {
  std::uint8_t number = 0;
  Bytes spi;
  Proposal proposal;
};

struct KeyExchangeView {
  std::uint16_t method = 0;
  Bytes value;
};

struct AuthView {
  std::uint8_t method = 0;
  Bytes data;
};

struct NotifyView {
  std::uint16_t type = 0;
  Protocol protocol = Protocol::kNone;
  Bytes spi;
  Bytes data;
};

struct DeleteView {
  Protocol protocol = Protocol::kNone;
  std::vector<std::uint32_t> spis;  // of ESP and AH
};

struct CertificateView {
  std::uint8_t encoding = 0;
  Bytes data;
};

enum class ConfigurationType : std::uint8_t { kRequest = 1, kReply = 2, kSet = 3, kAck = 4 };

// Every payload of one message that this library reads. The views lie in the message's bytes.
struct Contents {
  std::vector<Offer> offers;
  std::optional<KeyExchangeView> key_exchange;
  std::optional<Bytes> nonce;
  std::optional<Identity> id_i, id_r;
  std::optional<AuthView> auth;
  absl::InlinedVector<NotifyView, 8> notifies;
  std::vector<DeleteView> deletes;
  std::vector<CertificateView> certificates, certificate_requests;
  std::optional<std::vector<ip::Selector>> ts_i, ts_r;
  std::optional<ConfigurationType> configuration_type;
  Configuration configuration;
  bool wants_dns = false;  // the request names INTERNAL_IP4_DNS or its like
  std::optional<Bytes> eap;

  // False for what breaks the syntax: sizes that do not fit, or two of what there may be one of.
  bool decode(const PayloadChain& chain);

  const NotifyView* find(std::uint16_t notify_type) const noexcept;
  bool has(std::uint16_t notify_type) const noexcept { return find(notify_type) != nullptr; }
  // The first notify that is an error.
  const NotifyView* error() const noexcept;
  ProposalList offered() const;
};

// `spi`: empty in IKE_SA_INIT. `number`: of the first; an answer repeats that of the offer.
void write_sa(PayloadWriter& out, std::span<const Proposal> proposals, Bytes spi, std::uint8_t number = 1);
void write_key_exchange(PayloadWriter& out, std::uint16_t method, Bytes value);
void write_id(PayloadWriter& out, PayloadType type, const Identity& identity);
void write_auth(PayloadWriter& out, std::uint8_t method, Bytes data);
void write_certificate(PayloadWriter& out, PayloadType type, std::uint8_t encoding, Bytes data);
void write_notify(PayloadWriter& out, std::uint16_t type, Bytes data = {}, Protocol protocol = Protocol::kNone,
                  Bytes spi = {});
void write_delete_ike(PayloadWriter& out);
void write_delete_esp(PayloadWriter& out, std::span<const std::uint32_t> spis);
void write_selectors(PayloadWriter& out, PayloadType type, std::span<const ip::Selector> selectors);
void write_configuration(PayloadWriter& out, ConfigurationType type, const Configuration& configuration);
// The body of an ID payload, which AUTH covers.
std::vector<std::uint8_t> id_body(const Identity& identity);

}  // namespace winze::ike
