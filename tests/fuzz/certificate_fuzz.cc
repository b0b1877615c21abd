// What a peer shows and what a host has fetched: certificates, CRLs, OCSP responses. They come one after another, each
// behind its kind and its size; then the certificates are judged by the lists. Nothing that was not signed by a root
// that the fuzzer cannot sign for is believed.
#include <vector>

#include "support/require.h"
#include "winze/base/bytes.h"
#include "winze/crypto/certificate.h"

namespace {

using namespace winze;
using winze::test::require;

constexpr UnixTime kNow = 1'800'000'000;

void read_all(const Certificate& certificate) {
  (void)certificate.subject_text();
  (void)certificate.issuer_text();
  (void)certificate.names_text();
  (void)certificate.key_id();
  (void)certificate.is_ca();
  require(certificate.is_for(NameKind::kDistinguished, certificate.subject()));
  for (const std::string& name : certificate.dns_names()) {
    if (!name.empty()) require(certificate.is_for(NameKind::kDns, as_bytes(name)));
  }
  auto again = Certificate::parse(certificate.der());
  require(again.ok() && *again == certificate);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // The first certificate is a root; others are presented.
  std::vector<Certificate> certificates;
  std::vector<std::span<const std::uint8_t>> crls, responses;
  Reader in({data, size});
  while (in.remaining() > 3 && certificates.size() < 20) {
    const std::uint8_t kind = in.u8();
    const std::size_t length = in.u16();
    const auto bytes = in.bytes(std::min(length, in.remaining()));
    if (kind % 3 == 1) {
      crls.push_back(bytes);
    } else if (kind % 3 == 2) {
      responses.push_back(bytes);
    } else if (auto one = Certificate::parse(bytes); one.ok()) {
      certificates.push_back(*std::move(one));
    }
  }
  for (const Certificate& certificate : certificates) read_all(certificate);
  if (certificates.empty()) return 0;
  CertificateVerifier verifier({certificates.front()});
  for (const auto& crl : crls) (void)verifier.add_crl(crl);
  for (const auto& response : responses) (void)verifier.add_ocsp_response(response);
  const std::span<const Certificate> presented = std::span(certificates).subspan(1);
  for (const auto revocation : {Revocation::kIgnored, Revocation::kIfKnown, Revocation::kStrict}) {
    auto path = verifier.verify(presented, {.now = kNow, .revocation = revocation, .legacy = true});
    if (!path.ok()) continue;
    require(path->front() == presented.front() && path->back() == certificates.front());
  }
  return 0;
}
