#include "ipsec_eap.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "winze/base/bytes.h"
#include "winze/base/status.h"
#include "winze/layer/eap_tls.h"
#include "winze/proto/eap/authenticator.h"
#include "winze/proto/eap/peer.h"
#include "winze/proto/ike/identity.h"

namespace winze::node {
namespace {

absl::Status invalid(const std::string& path, const std::string& what) {
  return absl::InvalidArgumentError(path + ": " + what);
}

// The passwords of secrets.eap*: the first that names the user, else the first that names nobody.
class ConfiguredPasswords final : public eap::Passwords {
 public:
  explicit ConfiguredPasswords(const IpsecOptions& options) {
    for (const IpsecSecret& secret : options.secrets) {
      if (secret.kind != IpsecSecret::Kind::kEap) continue;
      Entry entry{.users = {}, .password = secret.secret};
      for (const std::string& id : secret.ids) entry.users.emplace_back(id);
      entries_.push_back(std::move(entry));
    }
    std::ranges::stable_partition(entries_, [](const Entry& entry) { return !entry.users.empty(); });
  }

  bool empty() const { return entries_.empty(); }

  const Secret* of(std::string_view user) const {
    const ike::Identity identity = ike::Identity::parse(user);
    const auto names = [&](const ike::IdentityPattern& pattern) { return pattern.matches(identity); };
    const auto found = std::ranges::find_if(
        entries_, [&](const Entry& entry) { return entry.users.empty() || std::ranges::any_of(entry.users, names); });
    return found == entries_.end() ? nullptr : &found->password;
  }

  void find(std::string_view user, Handler found) override {
    const Secret* const password = of(user);
    found(password != nullptr ? std::optional(*password) : std::nullopt);
  }

 private:
  struct Entry {
    std::vector<ike::IdentityPattern> users;
    Secret password;
  };
  std::vector<Entry> entries_;
};

bool names_one(const std::string& id) { return !id.empty() && id != "%any"; }

// What `auth = eap...` stands for; none: an error in the configuration.
absl::StatusOr<std::vector<eap::Method>> methods_of(const IpsecAuth& auth, bool legacy) {
  using eap::Method;
  if (auth.eap == "tls") return std::vector{Method::kTls};
  if (auth.eap == "mschapv2") return std::vector{Method::kMschapV2};
  if (auth.eap.empty() && !legacy) return std::vector{Method::kTls, Method::kMschapV2};
  if (auth.eap.empty()) return std::vector{Method::kTls, Method::kMschapV2, Method::kGtc, Method::kMd5};
  if (!legacy) return invalid(auth.path + ".auth", "eap-" + auth.eap + " is not safe: it needs \"legacy = yes\"");
  return std::vector{auth.eap == "md5" ? Method::kMd5 : Method::kGtc};
}

bool has(const std::vector<eap::Method>& methods, eap::Method method) {
  return std::ranges::find(methods, method) != methods.end();
}
bool by_password(eap::Method method) { return method != eap::Method::kTls; }

// RFC 7296 section 2.16: with a secret that all share, any client could be the gateway, and ask for passwords.
absl::Status check_gateway(const IpsecAuth& gateway, bool legacy) {
  if (gateway.method != IpsecAuth::Method::kPsk || legacy) return absl::OkStatus();
  return invalid(gateway.path + ".auth",
                 "EAP needs a gateway with a certificate (\"pubkey\"): with a shared secret every client could be it");
}

// RFC 5998 section 4.
absl::Status check_alone(const IpsecConnection& connection) {
  const auto by_eap = [](const IpsecAuth& round) { return round.method == IpsecAuth::Method::kEap; };
  if (std::ranges::none_of(connection.local, by_eap) || std::ranges::none_of(connection.remote, by_eap)) {
    return absl::OkStatus();
  }
  const IpsecAuth &local = connection.local.front(), &remote = connection.remote.front();
  const bool several = connection.local.size() > 1 || connection.remote.size() > 1;
  if (!several && local.eap == "tls" && remote.eap == "tls") return absl::OkStatus();
  return invalid(remote.path + ".auth",
                 "without a gateway that proves itself first (\"pubkey\"), only eap-tls is safe, "
                 "for both ends, and without further rounds");
}

absl::StatusOr<eap::TlsOptions> tls_options(const IpsecCredentials& credentials, const EapSurroundings& around,
                                            const IpsecAuth& own, const std::string& identity,
                                            const IpsecAuth& believed, bool legacy) {
  // Only checked, never used.
  struct NoClock final : WallClock {
    UnixTime unix_now() const override { return 0; }
  };
  static const NoClock kNoClock;
  auto shown = credentials.identity(own, identity);
  if (!shown.ok()) return shown.status();
  auto verifier = credentials.verifier(believed);
  if (!verifier.ok()) return verifier.status();
  const WallClock* const clock = around.clock != nullptr ? around.clock : &kNoClock;
  eap::TlsOptions out;
  out.identity = **shown;
  out.verifier = std::move(*verifier);
  out.clock = std::shared_ptr<const WallClock>(std::shared_ptr<void>(), clock);  // it is the host's
  out.revocation = believed.revocation;
  out.legacy = legacy;
  return out;
}

// Whose certificate the client wants to see in EAP-TLS: aaa_id's, else the gateway's.
const std::string& server_name(const IpsecAuth& local, const IpsecAuth& remote) {
  return local.aaa_id.empty() ? remote.id : local.aaa_id;
}

absl::Status set_server_name(const IpsecAuth& local, const IpsecAuth& remote, eap::TlsOptions& out) {
  const std::string& name = server_name(local, remote);
  const ike::IdentityPattern pattern(name);
  const ike::Identity* const exact = pattern.exact();
  if (exact == nullptr) return absl::OkStatus();
  const auto kind = ike::name_kind_of(exact->type);
  if (!kind) return invalid(local.path + ".aaa_id", "no certificate is for \"" + name + "\"");
  out.server_name = as_text(exact->bytes);
  out.server_name_kind = *kind;
  return absl::OkStatus();
}

absl::StatusOr<eap::TlsEngineFactory> client_tls(const IpsecCredentials& credentials, const EapSurroundings& around,
                                                 const IpsecConnection& connection, const IpsecAuth& local,
                                                 const std::string& identity) {
  const IpsecAuth& remote = connection.remote.front();
  // A server behind the gateway may have its certificate from elsewhere than it.
  const IpsecAuth anyone{.path = local.path, .name = {}};
  auto options =
      tls_options(credentials, around, local, identity, local.aaa_id.empty() ? remote : anyone, connection.legacy);
  if (!options.ok()) return options.status();
  options->tls13 = local.tls13;
  if (absl::Status status = set_server_name(local, remote, *options); !status.ok()) return status;
  return eap::tls_client(std::move(*options));
}

}  // namespace

absl::Status set_local_eap(const IpsecOptions& options, const IpsecCredentials& credentials,
                           const EapSurroundings& around, const IpsecConnection& connection, const IpsecAuth& local,
                           ike::LocalAuth& out) {
  const IpsecAuth& remote = connection.remote.front();
  if (absl::Status status = check_alone(connection); !status.ok()) return status;
  if (absl::Status status = check_gateway(remote, connection.legacy); !status.ok()) return status;
  out.method = ike::AuthMethod::kEap;
  out.eap_only = remote.method == IpsecAuth::Method::kEap;
  // A gateway's end, which knows no one server.
  if (out.eap_only && ike::IdentityPattern(server_name(local, remote)).exact() == nullptr) return absl::OkStatus();
  auto methods = methods_of(local, connection.legacy);
  if (!methods.ok()) return methods.status();
  auto made = std::make_shared<eap::PeerOptions>();
  made->identity = names_one(local.eap_id) ? local.eap_id : local.id;
  if (made->identity.empty()) return invalid(local.path + ".eap_id", "is needed: who this end is to EAP");
  made->methods = std::move(*methods);
  made->legacy = connection.legacy;
  const ConfiguredPasswords passwords(options);
  const Secret* const password = passwords.of(made->identity);
  if (password != nullptr) made->password = *password;
  const bool only_tls = made->methods.size() == 1 && made->methods.front() == eap::Method::kTls;
  if (password == nullptr && !has(made->methods, eap::Method::kTls)) {
    return invalid(local.path + ".auth", "secrets has no eap section for \"" + made->identity + "\"");
  }
  if (only_tls || (local.eap.empty() && (!local.certs.empty() || password == nullptr))) {
    auto tls = client_tls(credentials, around, connection, local, made->identity);
    if (!tls.ok()) return tls.status();
    made->tls = std::move(*tls);
  }
  out.eap = std::move(made);
  return absl::OkStatus();
}

absl::Status set_remote_eap(const IpsecOptions& options, const IpsecCredentials& credentials,
                            const EapSurroundings& around, const IpsecConnection& connection, const IpsecAuth& remote,
                            ike::RemoteAuth& out) {
  const IpsecAuth& local = connection.local.front();
  if (absl::Status status = check_alone(connection); !status.ok()) return status;
  if (absl::Status status = check_gateway(local, connection.legacy); !status.ok()) return status;
  auto methods = methods_of(remote, connection.legacy);
  if (!methods.ok()) return methods.status();
  eap::AuthenticatorOptions made;
  made.name = local.id;
  made.methods = std::move(*methods);
  made.legacy = connection.legacy;
  const auto passwords = std::make_shared<ConfiguredPasswords>(options);
  if (!passwords->empty()) made.users = passwords;
  if (has(made.methods, eap::Method::kTls)) {
    auto settings = tls_options(credentials, around, local, local.id, remote, connection.legacy);
    if (settings.ok()) settings->tls13 = remote.tls13;
    auto tls = settings.ok() ? eap::tls_server(std::move(*settings)) : settings.status();
    if (!tls.ok() && (!remote.eap.empty() || !made.users)) return tls.status();
    if (tls.ok()) made.tls = std::move(*tls);
  }
  if (!made.users && std::ranges::all_of(made.methods, by_password)) {
    return invalid(remote.path + ".auth", "secrets has no eap section, so that nobody could come in");
  }
  out.method = ike::AuthMethod::kEap;
  out.eap = [made, random = around.random] { return eap::make_authenticator(made, *random); };
  return absl::OkStatus();
}

bool takes_eap_identity(const IpsecAuth& remote, std::string_view identity) {
  const ike::IdentityPattern wanted(remote.eap_id.empty() ? remote.id : remote.eap_id);
  return wanted.matches(ike::Identity::parse(identity));
}

}  // namespace winze::node
