// IKE messages as bytes: the header, the chain of payloads, and the numbers in them.
//
//   SPIi(8) | SPIr(8) | next(1) | version(1) | exchange(1) | flags(1) | message id(4) | length(4)
//   then payloads, each: next(1) | C, reserved(1) | length(2) | body
//
// Base documents: RFC 7296 section 3, RFC 7383 section 2.5.
#pragma once

#include <absl/container/inlined_vector.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "winze/base/buffer.h"
#include "winze/base/bytes.h"

namespace winze::ike {

inline constexpr std::size_t kHeaderSize = 28;
inline constexpr std::size_t kPayloadHeaderSize = 4;
inline constexpr std::uint8_t kVersion = 0x20;
// More payloads than any real message has.
inline constexpr std::size_t kMaxPayloads = 64;

enum class Exchange : std::uint8_t {
  kInit = 34,
  kAuth = 35,
  kCreateChild = 36,
  kInformational = 37,
  kSessionResume = 38,
  kIntermediate = 43,
  kFollowUp = 44,
};

enum class PayloadType : std::uint8_t {
  kNone = 0,
  kSa = 33,
  kKeyExchange = 34,
  kIdInitiator = 35,
  kIdResponder = 36,
  kCertificate = 37,
  kCertificateRequest = 38,
  kAuth = 39,
  kNonce = 40,
  kNotify = 41,
  kDelete = 42,
  kVendor = 43,
  kTsInitiator = 44,
  kTsResponder = 45,
  kEncrypted = 46,
  kConfiguration = 47,
  kEap = 48,
  kFragment = 53,
};

// Notify messages; below 16384 they are errors.
namespace notify {
inline constexpr std::uint16_t kUnsupportedCriticalPayload = 1, kInvalidIkeSpi = 4, kInvalidMajorVersion = 5,
                               kInvalidSyntax = 7, kInvalidMessageId = 9, kInvalidSpi = 11, kNoProposalChosen = 14,
                               kInvalidKePayload = 17, kAuthenticationFailed = 24, kSinglePairRequired = 34,
                               kNoAdditionalSas = 35, kInternalAddressFailure = 36, kFailedCpRequired = 37,
                               kTsUnacceptable = 38, kInvalidSelectors = 39, kUnacceptableAddresses = 40,
                               kUnexpectedNatDetected = 41, kTemporaryFailure = 43, kChildSaNotFound = 44,
                               kStateNotFound = 47;
inline constexpr std::uint16_t kFirstStatus = 16384;
inline constexpr std::uint16_t kInitialContact = 16384, kSetWindowSize = 16385, kAdditionalTsPossible = 16386,
                               kIpcompSupported = 16387, kNatDetectionSource = 16388, kNatDetectionDestination = 16389,
                               kCookie = 16390, kUseTransportMode = 16391, kHttpCertLookupSupported = 16392,
                               kRekeySa = 16393, kEspTfcPaddingNotSupported = 16394, kNonFirstFragmentsAlso = 16395,
                               kMobikeSupported = 16396, kAdditionalIp4Address = 16397, kAdditionalIp6Address = 16398,
                               kNoAdditionalAddresses = 16399, kUpdateSaAddresses = 16400, kCookie2 = 16401,
                               kNoNatsAllowed = 16402, kAuthLifetime = 16403, kMultipleAuthSupported = 16404,
                               kAnotherAuthFollows = 16405, kRedirectSupported = 16406, kRedirect = 16407,
                               kRedirectedFrom = 16408, kTicketLifetimeOpaque = 16409, kTicketRequest = 16410,
                               kTicketNack = 16412, kTicketOpaque = 16413, kEapOnlyAuthentication = 16417,
                               kChildlessSupported = 16418, kFragmentationSupported = 16430,
                               kSignatureHashAlgorithms = 16431, kUsePpk = 16435, kPpkIdentity = 16436,
                               kNoPpkAuth = 16437, kIntermediateSupported = 16438, kAdditionalKeyExchange = 16441;
}  // namespace notify
// "NO_PROPOSAL_CHOSEN", "notify 12345".
std::string notify_name(std::uint16_t type);
std::string_view exchange_name(Exchange exchange) noexcept;

struct Header {
  std::uint64_t spi_i = 0, spi_r = 0;
  PayloadType first = PayloadType::kNone;
  std::uint8_t version = kVersion;
  Exchange exchange{};
  bool initiator = false;  // the sender began the IKE SA
  bool response = false;
  std::uint32_t message_id = 0;
  std::uint32_t length = 0;
};
// None for what is too short or whose length is not that of the datagram.
std::optional<Header> decode_header(std::span<const std::uint8_t> message) noexcept;

struct Payload {
  PayloadType type{};
  bool critical = false;
  std::span<const std::uint8_t> body;
};

// A chain of payloads that lie in somebody else's bytes. Known ones in their order; unknown ones are left out.
struct PayloadChain {
  absl::InlinedVector<Payload, 12> payloads;
  // RFC 7296 section 2.5: an unknown payload that the sender holds to be critical; 0: none.
  std::uint8_t unknown_critical = 0;
  // What kind of payload is first inside the SK or SKF payload that ends the chain.
  PayloadType inner_first = PayloadType::kNone;

  // False when a length does not fit, or there are too many.
  bool decode(PayloadType first, std::span<const std::uint8_t> bytes);
  const Payload* find(PayloadType type) const noexcept;
  std::size_t count(PayloadType type) const noexcept;
};

// Writes payloads one behind the other, each with its header, and remembers the type of the first.
class PayloadWriter {
 public:
  explicit PayloadWriter(Buffer& out) : out_(out), writer_(out) {}

  // Begins a payload; end() fills its length in. Bodies are written by body().
  void begin(PayloadType type);
  void end();
  Writer& body() noexcept { return writer_; }
  void add(PayloadType type, std::span<const std::uint8_t> content);
  PayloadType first() const noexcept { return first_; }

 private:
  Buffer& out_;
  Writer writer_;
  PayloadType first_ = PayloadType::kNone;
  std::size_t last_ = SIZE_MAX;  // offset of the last payload's header
  std::size_t open_ = 0;
};

// Puts a header in front of what is already in `message`, whose size it states.
void prepend_header(Buffer& message, const Header& header);

}  // namespace winze::ike
