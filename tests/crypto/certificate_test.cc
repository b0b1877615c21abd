#include "winze/crypto/certificate.h"

#include <doctest/doctest.h>

#include <cstring>

#include "support/files.h"
#include "winze/base/bytes.h"
#include "winze/base/status.h"

namespace winze {
namespace {

using test::Bytes;

constexpr UnixTime kHour = 3600, kDay = 86'400;

UnixTime made() { return std::stoll(test::text_of("x509/now")); }

Certificate load(const std::string& name) {
  auto all = parse_certificates(test::bytes_of("x509/" + name + ".pem"));
  REQUIRE_MESSAGE(all.ok(), name << ": " << message_of(all.status()));
  return all->front();
}

std::vector<Certificate> load_all(std::string_view names) {
  std::vector<Certificate> out;
  while (!names.empty()) {
    const std::string_view one = names.substr(0, names.find(' '));
    out.push_back(load(std::string(one)));
    names.remove_prefix(std::min(names.size(), one.size() + 1));
  }
  return out;
}

struct Case {
  const char* presented;
  const char* says;  // null: good
  CertificateUse use = CertificateUse::kServer;
  UnixTime after = kHour;  // counted from when the certificates were made
  bool legacy = false;
  const char* roots = "root";
};

void check(const Case& row) {
  CAPTURE(row.presented);
  const CertificateVerifier verifier(load_all(row.roots));
  auto path =
      verifier.verify(load_all(row.presented), {.now = made() + row.after, .use = row.use, .legacy = row.legacy});
  if (row.says == nullptr) {
    CHECK_MESSAGE(path.ok(), message_of(path.status()));
  } else {
    REQUIRE_FALSE(path.ok());
    CHECK_MESSAGE(message_of(path.status()).find(row.says) != std::string_view::npos, message_of(path.status()));
  }
}

TEST_CASE("certificate: what it says") {
  const Certificate server = load("server");
  CHECK(server.subject_text() == "C=CH, O=Example, CN=server");
  CHECK(server.issuer_text() == "C=CH, O=Example, CN=sub");
  CHECK(server.public_key().to_string() == "ECDSA P-256");
  CHECK(server.not_before() <= made() + 60);
  CHECK(server.not_after() > made() + 36'000 * kDay);
  CHECK_FALSE(server.is_ca());
  CHECK_FALSE(server.is_self_issued());
  CHECK(load("root").is_ca());
  CHECK(load("root").is_self_issued());
  CHECK(
      server.names_text() ==
      "C=CH, O=Example, CN=server (DNS:gw.example.org, DNS:*.pool.example.org, email:Admin@Example.org, IP:192.0.2.1, "
      "IP:2001:db8::1)");
  CHECK(server == *Certificate::parse(test::bytes_of("x509/server.der")));
  CHECK(server.der().size() == test::bytes_of("x509/server.der").size());
  CHECK_FALSE(server == load("client"));
  CHECK(std::ranges::equal(server.issuer(), load("sub").subject()));
}

TEST_CASE("certificate: whom it is for") {
  const Certificate server = load("server"), common = load("common");
  struct Row {
    NameKind kind;
    std::string_view name;
    bool fits;
  };
  using enum NameKind;
  using namespace std::string_view_literals;
  for (const Row& row : {Row{kDns, "gw.example.org", true},
                         Row{kDns, "GW.Example.ORG", true},
                         Row{kDns, "gw.example.org\0.evil.test"sv, false},
                         Row{kDns, "example.org", false},
                         Row{kDns, "a.pool.example.org", true},
                         Row{kDns, "a.b.pool.example.org", false},
                         Row{kDns, ".pool.example.org", false},
                         Row{kDns, "pool.example.org", false},
                         Row{kDns, "*.pool.example.org", true},
                         Row{kDns, "", false},
                         Row{kDns, "192.0.2.1", false},
                         Row{kDns, "server", false},
                         Row{kEmail, "Admin@example.org", true},
                         Row{kEmail, "admin@example.org", false},
                         Row{kEmail, "Admin", false},
                         Row{kEmail, "@example.org", false},
                         Row{kEmail, "", false},
                         Row{kAddress, "\xc0\x00\x02\x01"sv, true},
                         Row{kAddress, "\xc0\x00\x02\x02"sv, false},
                         Row{kAddress, "\xc0\x00\x02"sv, false},
                         Row{kAddress, "", false},
                         Row{kAddress, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"sv, true}}) {
    CAPTURE(std::string(row.name));
    CHECK(server.is_for(row.kind, as_bytes(row.name)) == row.fits);
  }
  CHECK(server.is_for(kDistinguished, server.subject()));
  CHECK_FALSE(server.is_for(kDistinguished, server.issuer()));
  CHECK_FALSE(server.is_for(kDistinguished, server.subject().first(10)));
  CHECK_FALSE(server.is_for(kDistinguished, {}));
  // A name in the subject alone is no name of a host.
  CHECK(common.subject_text() == "CN=gw.example.org");
  CHECK_FALSE(common.is_for(kDns, as_bytes("gw.example.org")));
  // Whatever case and spaces are (RFC 5280 section 7.1).
  Bytes shouted(common.subject().begin(), common.subject().end());
  for (std::uint8_t& b : shouted) {
    if (b >= 'a' && b <= 'z') b = static_cast<std::uint8_t>(b - 32);
  }
  CHECK(common.is_for(kDistinguished, shouted));
}

TEST_CASE("certificate: chains") {
  using enum CertificateUse;
  for (const Case& row : {
           Case{"server sub", nullptr},
           Case{"deep subsub sub", nullptr},
           Case{"deep sub subsub", nullptr},                       // in any order
           Case{"deep subsub sub client stranger root", nullptr},  // with more than is needed
           Case{"rsa sub", nullptr},
           Case{"edward sub", nullptr},
           Case{"server", "\"C=CH, O=Example, CN=server\": it does not lead to a trusted root"},
           Case{"server subsub", "it does not lead to a trusted root"},
           Case{"server sub", "it does not lead to a trusted root", kServer, kHour, false, "clientca"},
           Case{"server sub", nullptr, kServer, kHour, false, "sub"},  // a root need not be self-signed
           Case{"server", nullptr, kServer, kHour, false, "server"},   // or be a CA
           Case{"stranger", "does not lead to a trusted root"},
           Case{"server sub", "is not valid yet", kServer, -kDay},
           Case{"expired sub", "\"C=CH, O=Example, CN=expired\": it has expired", kServer, 3 * kDay},
           Case{"expired sub", nullptr},
           Case{"server sub", "has expired", kServer, 37'000 * kDay},
       }) {
    check(row);
  }
}

TEST_CASE("security: a root's name with another key") {
  check({"server sub", "does not lead to a trusted root", CertificateUse::kServer, kHour, false, "stranger"});
}

TEST_CASE("security: certificates issued by what is no CA, or beyond its length") {
  check({"below_naked naked sub", "\"C=CH, O=Example, CN=naked\": it is no CA, but has issued a certificate"});
  check({"below server sub", "CN=below\": it does not lead to a trusted root"});  // by its key usage
  check({"toodeep toolong short", "path length"});
  check({"critical sub", "critical extension"});
}

TEST_CASE("security: certificates for something else") {
  using enum CertificateUse;
  for (const Case& row : {
           Case{"client sub", "none of a server's"},
           Case{"client sub", nullptr, kClient},
           Case{"server sub", "none of a client's", kClient},
           Case{"ike sub", nullptr},
           Case{"ike sub", nullptr, kClient},
           Case{"intermediate sub", nullptr},
           Case{"intermediate sub", nullptr, kClient},
           Case{"any sub", nullptr},
           Case{"plain sub", nullptr},
           Case{"plain sub", nullptr, kClient},
           Case{"code sub", "none of a server's"},
           Case{"code sub", "none of a client's", kClient},
           Case{"encipher sub", "key usage does not allow it to sign"},
           Case{"wrongca clientca", "\"C=CH, O=Example, CN=clientca\": its extended key usage is none of a server's"},
           Case{"wrongca clientca", nullptr, kClient},
       }) {
    check(row);
  }
}

TEST_CASE("security: certificates that are too weak") {
  check({"sha1 sub", "signed with a hash that is too weak"});
  check({"sha1 sub", nullptr, CertificateUse::kServer, kHour, true});
  check({"weak sub", "its RSA key has 1024 bits, 2048 are the least"});
  check({"weak sub", nullptr, CertificateUse::kServer, kHour, true});
}

// CVE-2026-35331 and its like.
TEST_CASE("security: name constraints") {
  for (const Case& row : {
           Case{"inside_good inside", nullptr},
           Case{"inside_bad inside", "name constraints"},
           Case{"inside_mail inside", "name constraints"},
           Case{"inside_suffix inside", "name constraints"},
           Case{"outside_good outside", nullptr},
           Case{"outside_bad outside", "name constraints"},
           Case{"outside_case outside", "name constraints"},
           Case{"networks_bad networks", "name constraints"},
       }) {
    check(row);
  }
}

TEST_CASE("security: more certificates than anybody needs") {
  const CertificateVerifier verifier(load_all("root"));
  std::vector<Certificate> many = load_all("server sub");
  while (many.size() < CertificateVerifier::kMaxPresented) many.push_back(load("client"));
  CHECK(verifier.verify(many, {.now = made() + kHour}).ok());
  many.push_back(load("client"));
  CHECK_FALSE(verifier.verify(many, {.now = made() + kHour}).ok());
  CHECK_FALSE(verifier.verify({}, {.now = made() + kHour}).ok());
}

TEST_CASE("certificate: keys of unknown kinds, malformed ones, all of a text") {
  CHECK_FALSE(parse_certificates(test::bytes_of("x509/p224.pem")).ok());
  CHECK_FALSE(parse_certificates(as_bytes("-----BEGIN nothing")).ok());
  CHECK_FALSE(parse_certificates(as_bytes("")).ok());
  Bytes der = test::bytes_of("x509/server.der");
  for (std::size_t n = 0; n < der.size(); n += 5) CHECK_FALSE(Certificate::parse(std::span(der).first(n)).ok());
  CHECK(parse_certificates(der).ok());
  der.push_back(0);
  CHECK_FALSE(Certificate::parse(der).ok());
  auto both = parse_certificates(test::bytes_of("x509/server_chain.pem"));
  REQUIRE(both.ok());
  CHECK(both->size() == 2);
}

TEST_CASE("certificate identity: the key is the certificate's") {
  auto key = parse_private_key(test::bytes_of("x509/server.key"));
  REQUIRE(key.ok());
  CHECK(CertificateIdentity::create(load_all("server sub"), *key).ok());
  auto wrong = CertificateIdentity::create(load_all("client sub"), *key);
  REQUIRE_FALSE(wrong.ok());
  CHECK(message_of(wrong.status()).find("CN=client") != std::string_view::npos);
  CHECK_FALSE(CertificateIdentity::create({}, *key).ok());
  CHECK_FALSE(CertificateIdentity::create(load_all("server"), nullptr).ok());
}

struct RevocationCase {
  const char* crls;
  const char* responses;
  const char* if_known;  // null: good
  const char* strict;
  UnixTime after = kHour / 2;
};

TEST_CASE("certificate: revocation") {
  constexpr const char* kNone = "no fresh CRL or OCSP response";
  constexpr const char* kGone = "\"C=CH, O=Example, CN=server\": it is revoked";
  for (const RevocationCase& row : {
           RevocationCase{"", "", nullptr, kNone},
           RevocationCase{"root_crl sub_crl", "", nullptr, nullptr},
           RevocationCase{"root_crl", "", nullptr, "CN=server\": no fresh"},
           RevocationCase{"sub_crl", "", nullptr, "CN=sub\": no fresh"},
           RevocationCase{"root_crl sub_crl_server", "", kGone, kGone},
           RevocationCase{"sub_crl_server", "", kGone, kGone},
           RevocationCase{"root_crl_sub sub_crl", "", "CN=sub\": it is revoked", "CN=sub\": it is revoked"},
           // The newer takes the place of the older, in whatever order they come.
           RevocationCase{"root_crl sub_crl_server sub_crl", "", nullptr, nullptr},
           // Stale: no proof of anything but of a revocation.
           RevocationCase{"root_crl sub_crl_stale", "", nullptr, nullptr},
           RevocationCase{"root_crl sub_crl_stale", "", nullptr, kNone, 2 * kHour},
           RevocationCase{"sub_crl_server_stale", "", kGone, kGone, 2 * kHour},
           // Of another key under the same name, for a part only, for changes only.
           RevocationCase{"stranger_crl sub_crl", "", nullptr, "CN=sub\": no fresh"},
           RevocationCase{"root_crl sub_crl_part", "", nullptr, kNone},
           RevocationCase{"root_crl sub_crl_delta", "", nullptr, kNone},
           // OCSP.
           RevocationCase{"", "ocsp_good ocsp_sub_good", nullptr, nullptr},
           RevocationCase{"root_crl", "ocsp_good", nullptr, nullptr},
           RevocationCase{"root_crl", "ocsp_delegated", nullptr, nullptr},
           RevocationCase{"root_crl", "ocsp_revoked", kGone, kGone},
           RevocationCase{"root_crl sub_crl", "ocsp_revoked", kGone, kGone},
           RevocationCase{"root_crl", "ocsp_stale", nullptr, nullptr},
           RevocationCase{"root_crl", "ocsp_stale", nullptr, kNone, 2 * kHour},
           RevocationCase{"root_crl", "ocsp_by_leaf", nullptr, kNone},
           RevocationCase{"root_crl", "ocsp_by_stranger", nullptr, kNone},
           RevocationCase{"root_crl", "ocsp_other", nullptr, kNone},
       }) {
    CAPTURE(row.crls);
    CAPTURE(row.responses);
    CertificateVerifier verifier(load_all("root"));
    const auto each = [](std::string_view names, auto f) {
      while (!names.empty()) {
        const std::string one(names.substr(0, names.find(' ')));
        f(one);
        names.remove_prefix(std::min(names.size(), one.size() + 1));
      }
    };
    each(row.crls,
         [&](const std::string& name) { REQUIRE(verifier.add_crl(test::bytes_of("x509/" + name + ".pem")).ok()); });
    each(row.responses, [&](const std::string& name) {
      REQUIRE(verifier.add_ocsp_response(test::bytes_of("x509/" + name + ".der")).ok());
    });
    const auto judge = [&](Revocation revocation, const char* says) {
      auto path = verifier.verify(load_all("server sub"), {.now = made() + row.after, .revocation = revocation});
      if (says == nullptr) {
        CHECK_MESSAGE(path.ok(), message_of(path.status()));
      } else {
        REQUIRE_FALSE(path.ok());
        CHECK_MESSAGE(message_of(path.status()).find(says) != std::string_view::npos, message_of(path.status()));
      }
    };
    judge(Revocation::kIgnored, nullptr);
    judge(Revocation::kIfKnown, row.if_known);
    judge(Revocation::kStrict, row.strict);
  }
}

TEST_CASE("certificate: revocation that is wanted where there is word of it") {
  const auto judge = [](const CertificateVerifier& verifier, std::string_view presented, UnixTime now) {
    return verifier.verify(load_all(presented), {.now = now, .revocation = Revocation::kIfUri});
  };
  const CertificateVerifier told(load_all("told"));
  for (const std::string name : {"where_crl", "where_ocsp", "where_issuer"}) {
    CAPTURE(name);
    const auto path = judge(told, name, load(name).not_before() + kHour);
    CHECK(path.ok() == (name == "where_issuer"));
    if (!path.ok()) CHECK(message_of(path.status()).find("no fresh CRL or OCSP response") != std::string_view::npos);
  }
  CertificateVerifier verifier(load_all("root"));
  CHECK(judge(verifier, "server sub", made() + kHour).ok());
  verifier.expect_revocation_of(load("sub"));
  CHECK_FALSE(judge(verifier, "server sub", made() + kHour).ok());
  REQUIRE(verifier.add_ocsp_response(test::bytes_of("x509/ocsp_good.der")).ok());
  CHECK(judge(verifier, "server sub", made() + kHour).ok());
  CHECK_FALSE(judge(verifier, "client sub", made() + kHour).ok());
}

TEST_CASE("certificate: limits of signatures and of keys") {
  using enum SignatureScheme;
  struct Row {
    const char* presented;
    std::vector<SignatureScheme> schemes;
    unsigned rsa, ecdsa;
    const char* says;
  };
  for (const Row& row : {
           Row{"server sub", {kEcdsaSha256}, 2048, 256, nullptr},
           Row{"server sub", {kEcdsaSha384, kRsaPkcs1Sha256}, 2048, 0, "another scheme"},
           Row{"server sub", {}, 2048, 384, "384 bits are the least"},
           Row{"rsa sub", {}, 2048, 0, nullptr},
           Row{"rsa sub", {}, 3072, 0, "3072 are the least"},
       }) {
    CAPTURE(row.presented);
    const CertificateVerifier verifier(load_all("root"));
    for (const bool legacy : {false, true}) {
      const auto path = verifier.verify(load_all(row.presented), {.now = made() + kHour,
                                                                  .min_rsa_bits = row.rsa,
                                                                  .min_ecdsa_bits = row.ecdsa,
                                                                  .schemes = row.schemes,
                                                                  .legacy = legacy});
      CHECK(path.ok() == (row.says == nullptr));
      if (row.says != nullptr) CHECK(message_of(path.status()).find(row.says) != std::string_view::npos);
    }
  }
}

TEST_CASE("certificate: malformed CRLs and OCSP responses") {
  CertificateVerifier verifier(load_all("root"));
  const Bytes response = test::bytes_of("x509/ocsp_delegated.der");
  for (std::size_t n = 0; n < response.size(); ++n) {
    CHECK_FALSE(verifier.add_ocsp_response(std::span(response).first(n)).ok());
  }
  auto failed = verifier.add_ocsp_response(test::bytes_of("x509/ocsp_unauthorized.der"));
  CHECK(message_of(failed).find("status 6") != std::string_view::npos);
  CHECK_FALSE(verifier.add_crl({}).ok());
  CHECK_FALSE(verifier.add_crl(response).ok());
  CHECK_FALSE(verifier.add_crl(as_bytes("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n")).ok());
}

}  // namespace
}  // namespace winze
