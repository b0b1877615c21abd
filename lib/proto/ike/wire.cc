#include "wire.h"

#include <algorithm>

namespace winze::ike {
namespace {

bool is_known(std::uint8_t type) {
  return (type >= 33 && type <= 48) || type == static_cast<std::uint8_t>(PayloadType::kFragment);
}

bool ends_chain(PayloadType type) { return type == PayloadType::kEncrypted || type == PayloadType::kFragment; }

constexpr std::uint8_t kInitiatorFlag = 0x08, kResponseFlag = 0x20;
constexpr std::uint8_t kCritical = 0x80;

}  // namespace

std::string notify_name(std::uint16_t type) {
  struct Row {
    std::uint16_t type;
    std::string_view name;
  };
  static constexpr Row kRows[] = {
      {notify::kUnsupportedCriticalPayload, "UNSUPPORTED_CRITICAL_PAYLOAD"},
      {notify::kInvalidIkeSpi, "INVALID_IKE_SPI"},
      {notify::kInvalidMajorVersion, "INVALID_MAJOR_VERSION"},
      {notify::kInvalidSyntax, "INVALID_SYNTAX"},
      {notify::kInvalidMessageId, "INVALID_MESSAGE_ID"},
      {notify::kInvalidSpi, "INVALID_SPI"},
      {notify::kNoProposalChosen, "NO_PROPOSAL_CHOSEN"},
      {notify::kInvalidKePayload, "INVALID_KE_PAYLOAD"},
      {notify::kAuthenticationFailed, "AUTHENTICATION_FAILED"},
      {notify::kSinglePairRequired, "SINGLE_PAIR_REQUIRED"},
      {notify::kNoAdditionalSas, "NO_ADDITIONAL_SAS"},
      {notify::kInternalAddressFailure, "INTERNAL_ADDRESS_FAILURE"},
      {notify::kFailedCpRequired, "FAILED_CP_REQUIRED"},
      {notify::kTsUnacceptable, "TS_UNACCEPTABLE"},
      {notify::kInvalidSelectors, "INVALID_SELECTORS"},
      {notify::kUnacceptableAddresses, "UNACCEPTABLE_ADDRESSES"},
      {notify::kUnexpectedNatDetected, "UNEXPECTED_NAT_DETECTED"},
      {notify::kTemporaryFailure, "TEMPORARY_FAILURE"},
      {notify::kChildSaNotFound, "CHILD_SA_NOT_FOUND"},
      {notify::kStateNotFound, "STATE_NOT_FOUND"},
      {notify::kRedirect, "REDIRECT"},
      {notify::kCookie, "COOKIE"},
  };
  const auto row = std::ranges::find(kRows, type, &Row::type);
  return row == std::end(kRows) ? "notify " + std::to_string(type) : std::string(row->name);
}

std::string_view exchange_name(Exchange exchange) noexcept {
  switch (exchange) {
    case Exchange::kInit:
      return "IKE_SA_INIT";
    case Exchange::kAuth:
      return "IKE_AUTH";
    case Exchange::kCreateChild:
      return "CREATE_CHILD_SA";
    case Exchange::kInformational:
      return "INFORMATIONAL";
    case Exchange::kSessionResume:
      return "IKE_SESSION_RESUME";
    case Exchange::kFollowUp:
      return "IKE_FOLLOWUP_KE";
    case Exchange::kIntermediate:
      return "IKE_INTERMEDIATE";
  }
  return "unknown exchange";
}

std::optional<Header> decode_header(std::span<const std::uint8_t> message) noexcept {
  Reader in(message);
  Header header;
  header.spi_i = in.u64();
  header.spi_r = in.u64();
  header.first = static_cast<PayloadType>(in.u8());
  header.version = in.u8();
  header.exchange = static_cast<Exchange>(in.u8());
  const std::uint8_t flags = in.u8();
  header.initiator = (flags & kInitiatorFlag) != 0;
  header.response = (flags & kResponseFlag) != 0;
  header.message_id = in.u32();
  header.length = in.u32();
  if (!in.ok() || header.length != message.size() || header.spi_i == 0) return std::nullopt;
  return header;
}

bool PayloadChain::decode(PayloadType first, std::span<const std::uint8_t> bytes) {
  payloads.clear();
  unknown_critical = 0;
  Reader in(bytes);
  std::uint8_t type = static_cast<std::uint8_t>(first);
  for (std::size_t seen = 0; type != 0; ++seen) {
    if (seen == kMaxPayloads) return false;
    const std::uint8_t next = in.u8();
    const bool critical = (in.u8() & kCritical) != 0;
    const std::size_t length = in.u16();
    if (!in.ok() || length < kPayloadHeaderSize) return false;
    const auto body = in.bytes(length - kPayloadHeaderSize);
    if (!in.ok()) return false;
    const PayloadType known = static_cast<PayloadType>(type);
    if (is_known(type)) {
      payloads.push_back({known, critical, body});
      // Their "next" is of the payload inside (RFC 7296 section 3.14).
      if (ends_chain(known)) {
        inner_first = static_cast<PayloadType>(next);
        return in.remaining() == 0;
      }
    } else if (critical && unknown_critical == 0) {
      unknown_critical = type;
    }
    type = next;
  }
  return in.remaining() == 0;
}

const Payload* PayloadChain::find(PayloadType type) const noexcept {
  const auto found = std::ranges::find(payloads, type, &Payload::type);
  return found == payloads.end() ? nullptr : &*found;
}

std::size_t PayloadChain::count(PayloadType type) const noexcept {
  return static_cast<std::size_t>(std::ranges::count(payloads, type, &Payload::type));
}

void PayloadWriter::begin(PayloadType type) {
  if (last_ == SIZE_MAX) {
    first_ = type;
  } else {
    out_.data()[last_] = static_cast<std::uint8_t>(type);
  }
  last_ = open_ = out_.size();
  writer_.u32(0);
}

void PayloadWriter::end() { store_u16(out_.data() + open_ + 2, static_cast<std::uint16_t>(out_.size() - open_)); }

void PayloadWriter::add(PayloadType type, std::span<const std::uint8_t> content) {
  begin(type);
  writer_.bytes(content);
  end();
}

void prepend_header(Buffer& message, const Header& header) {
  std::uint8_t* const p = message.prepend(kHeaderSize);
  store_u64(p, header.spi_i);
  store_u64(p + 8, header.spi_r);
  p[16] = static_cast<std::uint8_t>(header.first);
  p[17] = header.version;
  p[18] = static_cast<std::uint8_t>(header.exchange);
  p[19] = static_cast<std::uint8_t>((header.initiator ? kInitiatorFlag : 0) | (header.response ? kResponseFlag : 0));
  store_u32(p + 20, header.message_id);
  store_u32(p + 24, static_cast<std::uint32_t>(message.size()));
}

}  // namespace winze::ike
