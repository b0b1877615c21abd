// OCSP responses (RFC 6960), read and judged; BoringSSL has no OCSP.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "crypto/revocation.h"
#include "crypto/x509.h"

namespace winze {

class OcspResponse {
 public:
  // A successful BasicOCSPResponse.
  static absl::StatusOr<OcspResponse> parse(std::span<const std::uint8_t> der);

  RevocationAnswer about(const Certificate& certificate, const Certificate& issuer, UnixTime now, bool legacy) const;

 private:
  struct Single {
    int hash_nid = 0;
    std::vector<std::uint8_t> issuer_name_hash, issuer_key_hash, serial;
    RevocationAnswer answer = RevocationAnswer::kNone;
    UnixTime this_update = 0;
    std::optional<UnixTime> next_update;
  };
  static bool parse_data(CBS data, OcspResponse& out);
  static bool parse_single(CBS in, Single& out);
  bool names(const Single& single, const Certificate& certificate, const Certificate& issuer) const;
  bool signed_for(const Certificate& issuer, UnixTime now, bool legacy) const;

  std::vector<std::uint8_t> signed_;  // ResponseData
  std::optional<SignatureScheme> scheme_;
  std::vector<std::uint8_t> signature_;
  std::vector<Certificate> certificates_;  // that came with it
  std::vector<Single> singles_;
};

}  // namespace winze
