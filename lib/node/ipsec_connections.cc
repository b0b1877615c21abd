#include "ipsec_connections.h"

#include <algorithm>
#include <utility>

#include "ipsec_signatures.h"
#include "winze/base/status.h"
#include "winze/crypto/digest.h"

namespace winze::node {
namespace {

absl::Status invalid(const std::string& path, std::string_view what) {
  return absl::InvalidArgumentError(path + ": " + std::string(what));
}

absl::StatusOr<ike::ProposalList> proposals_of(ike::Protocol protocol, const std::vector<std::string>& texts,
                                               bool legacy, const std::string& path) {
  std::string joined;
  for (const std::string& text : texts) joined += (joined.empty() ? "" : ",") + text;
  auto out = ike::parse_proposals(protocol, joined, legacy);
  if (out.ok()) return out;
  return invalid(path, std::string(out.status().message()) + (legacy ? ""
                                                                     : "; \"legacy = yes\" in the connection "
                                                                       "allows what is no longer safe"));
}

absl::StatusOr<ike::Traffic> traffic_of(const std::vector<IpsecSelector>& selectors, const std::string& path) {
  ike::Traffic out;
  for (const IpsecSelector& selector : selectors) {
    if (!selector.dynamic) {
      out.selectors.push_back(selector.selector);
    } else if (selector.selector.protocol != 0 || !selector.selector.any_port()) {
      return invalid(path, "\"dynamic\" with a protocol or ports is not supported");
    } else {
      out.dynamic = true;
    }
  }
  return out;
}

bool is_of_hosts(const IpsecChild& child) {
  const auto of_host = [](const IpsecSelector& s) { return s.dynamic || s.selector.first == s.selector.last; };
  return std::ranges::all_of(child.local_ts, of_host) && std::ranges::all_of(child.remote_ts, of_host);
}

absl::StatusOr<ike::ChildConfigPtr> make_child(const IpsecConnection& connection, const IpsecChild& child) {
  auto out = std::make_shared<ike::ChildConfig>();
  out->name = child.name;
  auto proposals =
      proposals_of(ike::Protocol::kEsp, child.esp_proposals, connection.legacy, child.path + ".esp_proposals");
  if (!proposals.ok()) return proposals.status();
  out->proposals = std::move(*proposals);
  auto local = traffic_of(child.local_ts, child.path + ".local_ts");
  auto remote = traffic_of(child.remote_ts, child.path + ".remote_ts");
  if (!local.ok()) return local.status();
  if (!remote.ok()) return remote.status();
  out->local = std::move(*local);
  out->remote = std::move(*remote);
  if (child.mode == IpsecChild::Mode::kBeet) {
    return invalid(child.path + ".mode", "\"beet\" is not negotiated; \"tunnel\" or \"transport\"");
  }
  if (child.mode == IpsecChild::Mode::kTransport) {
    if (!connection.vips.empty() || !connection.pools.empty() || !is_of_hosts(child)) {
      return invalid(child.path + ".mode",
                     "\"transport\" is for what two hosts say to each other: their selectors are "
                     "one address each, or \"dynamic\", and none is virtual");
    }
    out->mode = esp::Mode::kTransport;
  }
  out->rekey_time = child.rekey_time;
  out->life_time = child.life_time.value_or(child.rekey_time + child.rekey_time / 10);
  out->rand_time = child.rand_time.value_or(std::min(out->life_time - child.rekey_time, child.rekey_time));
  out->rekey_bytes = child.rekey_bytes;
  out->life_bytes = child.life_bytes;
  out->rekey_packets = child.rekey_packets;
  out->life_packets = child.life_packets;
  out->inactivity = child.inactivity;
  out->replay_window = child.replay_window;
  out->pad_payload_to = child.tfc_padding;
  out->copy_ecn = child.copy_ecn;
  out->copy_dscp = child.copy_dscp;
  if (child.sha256_96 && !connection.legacy) {
    return invalid(child.path + ".sha256_96", "is not safe: it needs \"legacy = yes\" in the connection");
  }
  out->short_sha256 = child.sha256_96;
  out->legacy = connection.legacy;
  return out;
}

// Names are resolved when they are dialled; a peer that comes from one is not held against it.
std::vector<Prefix> prefixes_of(const std::vector<std::string>& addresses) {
  std::vector<Prefix> out;
  for (const std::string& text : addresses) {
    if (const auto prefix = Prefix::parse(text)) out.push_back(*prefix);
    if (text == "%any" || text == "%any4") out.push_back(*Prefix::parse("0.0.0.0/0"));
    if (text == "%any" || text == "%any6") out.push_back(*Prefix::parse("::/0"));
  }
  return out;
}

absl::StatusOr<SignatureLimits> limits_of(const IpsecAuth& auth) {
  if (auth.signatures.empty()) return SignatureLimits();
  auto out = parse_signatures(auth.signatures);
  if (!out.ok()) return invalid(auth.path + ".auth", message_of(out.status()));
  return out;
}

// Known to peers by the hash of the key, where there is no other name.
absl::Status set_bare_key(const IpsecCredentials& credentials, const IpsecAuth& from, ike::LocalAuth& out) {
  auto key = credentials.bare_key(from);
  if (!key.ok()) return key.status();
  const auto hash = sha1((*key)->public_key().spki());
  if (from.id.empty()) out.id = {ike::IdentityType::kKeyId, {hash.begin(), hash.end()}};
  out.certificate = std::make_shared<const CertificateIdentity>(CertificateIdentity{{}, std::move(*key)});
  return absl::OkStatus();
}

absl::Status set_certificate(const IpsecCredentials& credentials, const IpsecAuth& from, ike::LocalAuth& out) {
  auto identity = credentials.identity(from, from.id);
  if (!identity.ok()) return identity.status();
  const auto subject = (*identity)->chain.front().subject();
  if (from.id.empty()) out.id = {ike::IdentityType::kDistinguishedName, {subject.begin(), subject.end()}};
  out.certificate = std::move(*identity);
  return absl::OkStatus();
}

absl::Status set_signer(const IpsecCredentials& credentials, const IpsecAuth& from, ike::LocalAuth& out) {
  const auto limits = limits_of(from);
  if (!limits.ok()) return limits.status();
  out.method = ike::AuthMethod::kPublicKey;
  out.schemes = limits->schemes;
  const bool bare = from.certs.empty() && !from.pubkeys.empty();
  absl::Status status = bare ? set_bare_key(credentials, from, out) : set_certificate(credentials, from, out);
  if (!status.ok()) return status;
  const auto can = [&](SignatureScheme scheme) { return out.certificate->key->public_key().can(scheme); };
  if (!out.schemes.empty() && std::ranges::none_of(out.schemes, can)) {
    return invalid(from.path + ".auth", "the key, " + out.certificate->key->public_key().to_string() +
                                            ", makes no such signature: \"" + from.signatures + "\"");
  }
  return absl::OkStatus();
}

// Which have to be as long as those of certificates.
absl::Status set_known_keys(const IpsecCredentials& credentials, const IpsecAuth& from, bool legacy,
                            ike::RemoteAuth& out) {
  auto keys = credentials.public_keys(from);
  if (!keys.ok()) return keys.status();
  const auto least_of = [&](KeyType type) -> unsigned {
    if (type == KeyType::kRsa) return legacy && out.min_rsa_bits <= 2048 ? 1024 : out.min_rsa_bits;
    return type == KeyType::kEd25519 ? 0 : out.min_ecdsa_bits;
  };
  for (const PublicKey& key : *keys) {
    const unsigned least = least_of(key.type());
    if (key.bits() >= least) continue;
    return invalid(from.path + ".pubkeys",
                   key.to_string() + " is too short: " + std::to_string(least) + " bits are the least");
  }
  out.keys = std::move(*keys);
  return absl::OkStatus();
}

absl::Status set_verifier(const IpsecCredentials& credentials, const IpsecAuth& from, bool legacy,
                          ike::RemoteAuth& out) {
  auto limits = limits_of(from);
  if (!limits.ok()) return limits.status();
  out.method = ike::AuthMethod::kPublicKey;
  out.schemes = std::move(limits->schemes);
  out.chain_schemes = std::move(limits->chain_schemes);
  out.min_rsa_bits = std::max(out.min_rsa_bits, limits->min_rsa_bits);
  out.min_ecdsa_bits = limits->min_ecdsa_bits;
  out.revocation = from.revocation;
  if (absl::Status status = set_known_keys(credentials, from, legacy, out); !status.ok()) return status;
  if (!out.keys.empty() && from.certs.empty() && from.cacerts.empty()) return absl::OkStatus();
  auto verifier = credentials.verifier(from);
  if (!verifier.ok()) return verifier.status();
  out.verifier = std::move(*verifier);
  return absl::OkStatus();
}

absl::Status check_rounds(const IpsecConnection& from) {
  const auto by_eap = [](const IpsecAuth& round) { return round.method == IpsecAuth::Method::kEap; };
  for (const auto& [clients, gateways] : {std::pair(&from.local, &from.remote), std::pair(&from.remote, &from.local)}) {
    if (std::ranges::count_if(*clients, by_eap) > 1) {
      return invalid(clients->back().path + ".auth", "of several rounds only one can be by EAP");
    }
    const auto eap = std::ranges::find_if(*clients, by_eap);
    const auto before = static_cast<std::size_t>(eap - clients->begin()) + 1;
    if (eap == clients->end() || before >= gateways->size()) continue;
    return invalid((*gateways)[before].path,
                   "would come after EAP has begun: the gateway proves itself first, by a round "
                   "for each of the client's");
  }
  const bool several = from.local.size() > 1 || from.remote.size() > 1;
  if (!several || (from.ppk_id.empty() && !from.ppk_required)) return absl::OkStatus();
  return invalid(from.path + (from.ppk_id.empty() ? ".ppk_required" : ".ppk_id"),
                 "a PPK does not go with several rounds of authentication");
}

absl::Status set_auth(const IpsecOptions& options, const IpsecCredentials& credentials, const EapSurroundings& around,
                      const IpsecConnection& from, ike::Connection& out) {
  using Method = IpsecAuth::Method;
  if (absl::Status status = check_rounds(from); !status.ok()) return status;
  for (const IpsecAuth& local : from.local) {
    const bool first = &local == &from.local.front();
    ike::LocalAuth& made = first ? out.local : out.further_local.emplace_back();
    if (!local.id.empty()) made.id = ike::Identity::parse(local.id);
    absl::Status status;
    if (local.method == Method::kPubkey) status = set_signer(credentials, local, made);
    if (local.method == Method::kEap) status = set_local_eap(options, credentials, around, from, local, made);
    if (!status.ok()) return status;
  }
  for (const IpsecAuth& remote : from.remote) {
    const bool first = &remote == &from.remote.front();
    ike::RemoteAuth& made = first ? out.remote : out.further_remote.emplace_back();
    if (!remote.id.empty()) made.id = ike::IdentityPattern(remote.id);
    absl::Status status;
    if (remote.method == Method::kPubkey) status = set_verifier(credentials, remote, from.legacy, made);
    if (remote.method == Method::kEap) {
      status = set_remote_eap(options, credentials, around, from, remote, made);
      out.ask_authorize = true;  // takes_eap_identity()
    }
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

void set_configuration(const IpsecOptions& options, const IpsecConnection& from, ike::Connection& out) {
  for (const IpAddress& address : from.vips) {
    const bool any = address.is_unspecified();
    out.request.addresses.push_back({address, static_cast<std::uint8_t>(any ? 0 : address.is_v6() ? 128 : 32)});
  }
  out.pool = !from.pools.empty();
  for (const IpsecPool& pool : options.pools) {
    if (std::ranges::find(from.pools, pool.name) == from.pools.end()) continue;
    out.reply.dns.insert(out.reply.dns.end(), pool.dns.begin(), pool.dns.end());
    out.reply.subnets.insert(out.reply.subnets.end(), pool.split_include.begin(), pool.split_include.end());
    out.reply.domains.insert(out.reply.domains.end(), pool.domains.begin(), pool.domains.end());
  }
}

absl::Status set_ppks(const IpsecOptions& options, const IpsecConnection& from, ike::Connection& out) {
  const auto name_of = [](const std::string& id) {
    const ike::Identity identity = ike::Identity::parse(id);
    return std::string(identity.bytes.begin(), identity.bytes.end());
  };
  for (const IpsecSecret& entry : options.secrets) {
    if (entry.kind != IpsecSecret::Kind::kPpk) continue;
    if (entry.ids.empty()) out.ppks.push_back({name_of(from.ppk_id), entry.secret});
    for (const std::string& id : entry.ids) out.ppks.push_back({name_of(id), entry.secret});
  }
  out.ppk_id = name_of(from.ppk_id);
  out.ppk_required = from.ppk_required;
  const bool known =
      out.ppk_id.empty() ? !out.ppks.empty() : std::ranges::count(out.ppks, out.ppk_id, &ike::Ppk::id) > 0;
  if (known || (out.ppk_id.empty() && !out.ppk_required)) return absl::OkStatus();
  return invalid(
      from.path + (out.ppk_id.empty() ? ".ppk_required" : ".ppk_id"),
      "there is no PPK " + (out.ppk_id.empty() ? "" : "\"" + from.ppk_id + "\" ") + "among the secrets (ppk-...)");
}

void set_times(const IpsecConnection& from, ike::Connection& out) {
  out.rekey_time = from.rekey_time;
  out.reauth_time = from.reauth_time;
  out.over_time = from.over_time.value_or(std::max(from.rekey_time, from.reauth_time) / 10);
  out.rand_time = from.rand_time.value_or(out.over_time);
  out.dpd_delay = from.dpd_delay;
  out.retransmission = {
      .first = from.retransmit_timeout, .factor = from.retransmit_base, .tries = from.retransmit_tries};
}

}  // namespace

absl::StatusOr<std::shared_ptr<ike::Connection>> make_connection(const IpsecOptions& options,
                                                                 const IpsecCredentials& credentials,
                                                                 const EapSurroundings& around,
                                                                 const IpsecConnection& from) {
  auto out = std::make_shared<ike::Connection>();
  out->name = from.name;
  if (absl::Status status = set_auth(options, credentials, around, from, *out); !status.ok()) return status;
  auto proposals = proposals_of(ike::Protocol::kIke, from.proposals, from.legacy, from.path + ".proposals");
  if (!proposals.ok()) return proposals.status();
  out->proposals = std::move(*proposals);
  out->local_addresses = prefixes_of(from.local_addrs);
  out->remote_addresses = prefixes_of(from.remote_addrs);
  for (const IpsecChild& child : from.children) {
    auto made = make_child(from, child);
    if (!made.ok()) return made.status();
    out->children.push_back(std::move(*made));
  }
  // Those that are to be started stand first.
  const auto starts = [&](const ike::ChildConfigPtr& child) {
    const auto options_of = std::ranges::find(from.children, child->name, &IpsecChild::name);
    return options_of->start_action != IpsecChild::Start::kNone;
  };
  const auto rest = std::ranges::stable_partition(out->children, starts);
  const auto started = static_cast<std::size_t>(rest.begin() - out->children.begin());
  out->start_children = std::max<std::size_t>(started, out->children.empty() ? 0 : 1);
  out->legacy = from.legacy;
  set_times(from, *out);
  out->mobike = from.mobike;
  out->force_encapsulation = from.encap.value_or(true);
  out->resumption = from.resumption;
  out->follow_redirects = from.follow_redirects;
  out->ask_authorize = out->ask_authorize || !from.redirect_to.empty();
  out->fragmentation = from.fragmentation != IpsecConnection::Fragmentation::kNo;
  out->childless = from.childless;
  out->unique = from.unique;
  out->send_certificate = from.send_cert;
  out->request_certificates = from.send_certreq;
  out->signature_authentication = from.signature_authentication;
  set_configuration(options, from, *out);
  if (absl::Status status = set_ppks(options, from, *out); !status.ok()) return status;
  return out;
}

absl::StatusOr<std::map<std::string, std::vector<std::shared_ptr<tunnel::AddressPool>>>> make_pools(
    const IpsecOptions& options) {
  std::map<std::string, std::shared_ptr<tunnel::AddressPool>> by_name;
  for (const IpsecPool& pool : options.pools) {
    auto parsed = tunnel::AddressPool::parse(pool.addrs);
    if (!parsed.ok()) return invalid(pool.path + ".addrs", message_of(parsed.status()));
    by_name[pool.name] = std::make_shared<tunnel::AddressPool>(std::move(*parsed));
  }
  std::map<std::string, std::vector<std::shared_ptr<tunnel::AddressPool>>> out;
  for (const IpsecConnection& connection : options.connections) {
    for (const std::string& name : connection.pools) {
      const auto pool = by_name.find(name);
      if (pool == by_name.end()) return invalid(connection.path + ".pools", "there is no pool \"" + name + "\"");
      out[connection.name].push_back(pool->second);
    }
  }
  return out;
}

const Secret* find_secret(const IpsecOptions& options, IpsecSecret::Kind kind, const ike::Identity& local,
                          const ike::Identity& remote) {
  const Secret* best = nullptr;
  int most = -1;
  for (const IpsecSecret& entry : options.secrets) {
    if (entry.kind != kind) continue;
    bool names_local = false, names_remote = false;
    for (const std::string& id : entry.ids) {
      const ike::IdentityPattern pattern(id);
      names_local = names_local || pattern.matches(local);
      names_remote = names_remote || pattern.matches(remote);
    }
    if (!entry.ids.empty() && !names_local && !names_remote) continue;
    const int score = 2 * names_remote + names_local;
    if (score <= most) continue;
    most = score;
    best = &entry.secret;
  }
  return best;
}

}  // namespace winze::node
