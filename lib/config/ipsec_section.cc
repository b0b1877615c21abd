// The keys of swanctl.conf, from its own text or from JSON. Words and defaults are those of strongSwan 5.9.
#include <algorithm>
#include <charconv>

#include "sections.h"
#include "winze/base/base64.h"
#include "winze/config/v2ray_json.h"
#include "winze/proto/host_name.h"

namespace winze::config {
namespace {

using node::IpsecAuth;
using node::IpsecChild;
using node::IpsecConnection;
using node::IpsecOptions;

constexpr std::string_view kIkev1 = "IKEv1 is not supported";
constexpr std::string_view kKernel = "concerns strongSwan's kernel interface; there is none here";
constexpr std::string_view kNotYet = "not supported";

// Like ObjectReader::refuse(), where "no", "0" and "never" say nothing either.
void refuse(ObjectReader& object, std::initializer_list<std::string_view> keys, std::string_view why) {
  for (std::string_view key : keys) {
    const JsonValue* value = object.find(key);
    const bool says_no = value != nullptr && value->kind == JsonValue::Kind::kString &&
                         (value->text == "no" || value->text == "0" || value->text == "never");
    if (!says_no) object.refuse(key, why);
  }
}

bool flag(ObjectReader& object, std::string_view key, bool otherwise) {
  const JsonValue* value = object.find(key);
  if (value == nullptr || value->kind == JsonValue::Kind::kBool) return object.boolean(key, otherwise);
  static constexpr std::string_view kWords[] = {"no", "false", "0", "disabled", "yes", "true", "1", "enabled"};
  return object.word(key, kWords, otherwise ? 4 : 0) >= 4;
}

// A whole number and perhaps one of the letters behind it, each of which multiplies.
std::optional<std::uint64_t> scaled(const JsonValue& value, std::string_view letters,
                                    std::initializer_list<std::uint64_t> factors) {
  if (value.kind == JsonValue::Kind::kInteger) {
    return value.integer < 0 ? std::nullopt : std::optional<std::uint64_t>(value.integer);
  }
  if (value.kind != JsonValue::Kind::kString) return std::nullopt;
  std::uint64_t number = 0, factor = 1;
  const char* const end = value.text.data() + value.text.size();
  const auto [rest, error] = std::from_chars(value.text.data(), end, number);
  if (error != std::errc()) return std::nullopt;
  if (rest != end) {
    const std::size_t letter = letters.find(*rest);
    if (rest + 1 != end || letter == letters.npos) return std::nullopt;
    factor = factors.begin()[letter];
  }
  if (number > UINT64_MAX / factor) return std::nullopt;
  return number * factor;
}

std::optional<Duration> optional_duration(ObjectReader& object, std::string_view key) {
  const JsonValue* value = object.find(key);
  if (value == nullptr) return std::nullopt;
  constexpr std::uint64_t kLongest = 100ull * 365 * 86400;
  const auto seconds = scaled(*value, "smhd", {1, 60, 3600, 86400});
  if (!seconds || *seconds > kLongest) {
    object.fail(key, "expected a time such as \"90\", \"30s\", \"10m\", \"4h\" or \"1d\", found " + describe(*value));
    return std::nullopt;
  }
  return std::chrono::seconds(*seconds);
}

Duration duration(ObjectReader& object, std::string_view key, Duration otherwise) {
  return optional_duration(object, key).value_or(otherwise);
}

double factor(ObjectReader& object, std::string_view key, double otherwise) {
  const JsonValue* value = object.find(key);
  if (value == nullptr) return otherwise;
  double out = value->kind == JsonValue::Kind::kInteger ? static_cast<double>(value->integer) : value->real;
  if (value->kind == JsonValue::Kind::kString) {
    const char* const end = value->text.data() + value->text.size();
    const auto [rest, error] = std::from_chars(value->text.data(), end, out);
    if (error != std::errc() || rest != end) out = 0;
  }
  if (out >= 1 && out <= 100) return out;
  object.fail(key, "expected a number from 1 to 100, found " + describe(*value));
  return otherwise;
}

std::uint64_t amount(ObjectReader& object, std::string_view key) {
  const JsonValue* value = object.find(key);
  if (value == nullptr) return 0;
  const auto out = scaled(*value, "kmgKMG", {1 << 10, 1 << 20, 1 << 30, 1 << 10, 1 << 20, 1 << 30});
  if (!out) object.fail(key, "expected a number, perhaps with k, m or g behind it, found " + describe(*value));
  return out.value_or(0);
}

// 0x and hexadecimal digits, 0s and base64, or the text itself.
Secret shared_secret(ObjectReader& object, std::string_view key) {
  Secret text = object.secret(key);
  const std::string_view view(reinterpret_cast<const char*>(std::as_const(text).span().data()), text.size());
  if (view.starts_with("0s")) {
    auto bytes = base64_decode(view.substr(2), Base64Alphabet::kStandard, Base64Padding::kLenient);
    if (!bytes) return object.fail(key, "what follows 0s is no base64"), Secret();
    Secret out{std::span<const std::uint8_t>(*bytes)};
    secure_wipe(*bytes);
    return out;
  }
  if (!view.starts_with("0x")) return text;
  const std::string_view digits = view.substr(2);
  Secret out(digits.size() / 2);
  bool fits = digits.size() % 2 == 0;
  for (std::size_t i = 0; fits && i < out.size(); ++i) {
    const int high = hex_digit(digits[2 * i]), low = hex_digit(digits[2 * i + 1]);
    fits = high >= 0 && low >= 0;
    out.span()[i] = static_cast<std::uint8_t>(high << 4 | low);
  }
  if (!fits) object.fail(key, "an even number of hexadecimal digits has to follow 0x");
  return out;
}

std::vector<std::string> list_or(ObjectReader& object, std::string_view key, std::vector<std::string> otherwise) {
  std::vector<std::string> found = object.strings(key);
  return found.empty() ? std::move(otherwise) : found;
}

template <typename T>
std::vector<T> parsed_list(ObjectReader& object, std::string_view key, std::string_view wanted) {
  std::vector<T> out;
  for (const std::string& text : object.strings(key)) {
    if (const auto value = T::parse(text)) {
      out.push_back(*value);
    } else {
      object.fail(key, in_quotes(text) + " is no " + std::string(wanted));
    }
  }
  return out;
}

// Another host that clients are sent to.
std::string gateway(ObjectReader& object, std::string_view key) {
  std::string text = object.string(key);
  if (!text.empty() && !IpAddress::parse(text) && !is_host_name(text)) {
    object.fail(key, in_quotes(text) + " is neither an address nor a name");
  }
  return text;
}

// --- local, remote ---

void read_method(ObjectReader& object, IpsecAuth& out) {
  std::string text = object.string("auth", "pubkey");
  const auto kind = [&](std::string_view word) {
    return text == word || (text.starts_with(word) && text[word.size()] == '-');
  };
  if (text == "psk") {
    out.method = IpsecAuth::Method::kPsk;
  } else if (kind("eap")) {
    out.method = IpsecAuth::Method::kEap;
    out.eap = text.substr(std::min<std::size_t>(text.size(), 4));
    static constexpr std::string_view kMethods[] = {"", "mschapv2", "tls", "md5", "gtc", "identity", "dynamic"};
    if (out.eap == "dynamic") out.eap.clear();
    if (std::ranges::find(kMethods, out.eap) == std::end(kMethods) || out.eap == "identity") {
      object.fail("auth", "EAP methods are eap-mschapv2, eap-tls, eap-md5 and eap-gtc; found " + in_quotes(text));
    }
  } else if (kind("pubkey") || kind("rsa") || kind("ecdsa") || kind("ed25519") || kind("rsa/pss") ||
             text.starts_with("ike:")) {
    if (text != "pubkey") out.signatures = std::move(text);
  } else {
    object.fail("auth", text.starts_with("xauth") ? std::string(kIkev1)
                                                  : "expected \"psk\", \"pubkey\", \"rsa\", \"ecdsa\", \"ed25519\" or "
                                                    "\"eap-mschapv2\" and the like, found " +
                                                        in_quotes(text));
  }
}

IpsecAuth read_auth(ObjectReader& object, std::string suffix, bool local) {
  IpsecAuth out;
  out.path = object.path();
  out.name = std::move(suffix);
  out.round = static_cast<std::uint32_t>(object.integer("round", 0, UINT32_MAX, 0));
  read_method(object, out);
  out.id = object.string("id");
  out.eap_id = object.string("eap_id");
  out.certs = object.strings("certs");
  object.sections("cert", [&](ObjectReader& cert, std::string) {
    out.certs.push_back(cert.string("file"));
    refuse(cert, {"handle", "slot", "module"}, "certificates on tokens come through the C++ interface");
  });
  out.pubkeys = object.strings("pubkeys");
  static constexpr std::string_view kTlsVersions[] = {"1.2", "1.3"};
  if (out.method == IpsecAuth::Method::kEap) {
    out.tls13 = object.word("tls_version_max", kTlsVersions, 1) == 1;
  } else {
    refuse(object, {"tls_version_max"}, "is EAP-TLS's, and auth is another");
  }
  refuse(object, {"xauth_id"}, kIkev1);
  if (local) {
    out.aaa_id = object.string("aaa_id");
    return out;
  }
  out.cacerts = object.strings("cacerts");
  object.sections("cacert", [&](ObjectReader& cert, std::string) {
    out.cacerts.push_back(cert.string("file"));
    refuse(cert, {"handle", "slot", "module"}, "certificates on tokens come through the C++ interface");
  });
  static constexpr std::string_view kRevocation[] = {"relaxed", "ifuri", "strict"};
  static constexpr Revocation kMeanings[] = {Revocation::kIfKnown, Revocation::kIfUri, Revocation::kStrict};
  out.revocation = kMeanings[object.word("revocation", kRevocation, 0)];
  refuse(object, {"groups"},
         "who is of which group, RADIUS and attribute certificates say, and neither is asked; take "
         "connections of their own, by id or eap_id");
  refuse(object, {"cert_policy", "ca_id"}, kNotYet);
  return out;
}

// --- children ---

std::vector<node::IpsecSelector> selectors(ObjectReader& object, std::string_view key) {
  std::vector<node::IpsecSelector> out;
  for (const std::string& text : object.strings(key)) {
    std::string_view view = text;
    const bool dynamic = view.starts_with("dynamic");
    if (dynamic) view.remove_prefix(7);
    // Only protocol and ports count of a dynamic one.
    const auto selector = ip::Selector::parse(dynamic ? "0.0.0.0/0" + std::string(view) : text);
    if (!selector) {
      object.fail(key, in_quotes(text) +
                           " is no selector: \"dynamic\", ADDRESS, ADDRESS/BITS or ADDRESS-ADDRESS, then perhaps "
                           "[PROTOCOL] or [PROTOCOL/PORT]");
      continue;
    }
    out.push_back({.dynamic = dynamic, .selector = *selector});
  }
  if (out.empty()) out.push_back({.dynamic = true, .selector = {}});
  return out;
}

IpsecChild::Start read_start(ObjectReader& object, std::string_view key) {
  static constexpr std::string_view kStarts[] = {"none", "trap", "start"};
  std::string text = object.string(key);
  if (text == "trap|start" || text == "start|trap") return IpsecChild::Start::kStart;
  return static_cast<IpsecChild::Start>(object.word(key, kStarts, 0));
}

void read_lifetimes(ObjectReader& object, IpsecChild& out) {
  out.rekey_time = duration(object, "rekey_time", out.rekey_time);
  out.life_time = optional_duration(object, "life_time");
  out.rand_time = optional_duration(object, "rand_time");
  out.rekey_bytes = amount(object, "rekey_bytes");
  out.life_bytes = amount(object, "life_bytes");
  out.rekey_packets = amount(object, "rekey_packets");
  out.life_packets = amount(object, "life_packets");
  object.ignore({"rand_bytes", "rand_packets"});
  if (out.life_time && *out.life_time != Duration(0) && *out.life_time <= out.rekey_time) {
    object.fail("life_time", "has to be longer than rekey_time");
  }
}

IpsecChild read_child(ObjectReader& object, std::string name) {
  IpsecChild out;
  out.path = object.path();
  out.name = std::move(name);
  out.esp_proposals = list_or(object, "esp_proposals", out.esp_proposals);
  out.local_ts = selectors(object, "local_ts");
  out.remote_ts = selectors(object, "remote_ts");
  static constexpr std::string_view kModes[] = {"tunnel", "transport", "beet"};
  out.mode = static_cast<IpsecChild::Mode>(object.word("mode", kModes, 0));
  read_lifetimes(object, out);
  out.start_action = read_start(object, "start_action");
  if (object.find("close_action") != nullptr) out.close_action = read_start(object, "close_action");
  if (object.find("dpd_action") != nullptr) {
    static constexpr std::string_view kWords[] = {"clear", "trap", "restart", "none", "hold", "start"};
    static constexpr IpsecChild::Start kMeanings[] = {IpsecChild::Start::kNone, IpsecChild::Start::kTrap,
                                                      IpsecChild::Start::kStart};
    out.dpd_action = kMeanings[object.word("dpd_action", kWords, 0) % 3];
  }
  out.replay_window = static_cast<std::uint32_t>(object.integer("replay_window", 0, 16384, out.replay_window));
  out.tfc_padding = static_cast<std::uint16_t>(object.integer("tfc_padding", 0, 65535, 0));
  out.copy_ecn = flag(object, "copy_ecn", true);
  static constexpr std::string_view kDscp[] = {"out", "in", "yes", "no"};
  const std::size_t dscp = object.word("copy_dscp", kDscp, 0);
  if (dscp == 1 || dscp == 2) {
    object.fail("copy_dscp", "nothing is copied inward, for nobody vouches for the outer header; \"out\" or \"no\"");
  }
  out.copy_dscp = dscp == 0;
  out.sha256_96 = flag(object, "sha256_96", false);
  refuse(object, {"ah_proposals"}, "AH is not negotiated; use esp_proposals");
  object.pass_over("updown", "no script is run: addresses and routes are set by winze, and a host gets events");
  if (flag(object, "ipcomp", false)) object.warn("ipcomp", "nothing is compressed; peers do without");
  out.inactivity = duration(object, "inactivity", out.inactivity);
  refuse(object, {"label", "label_mode"}, kNotYet);
  refuse(object,
         {"interface", "mark_in", "mark_in_sa", "mark_out", "set_mark_in", "set_mark_out", "if_id_in", "if_id_out",
          "reqid", "priority", "policies_fwd_out"},
         kKernel);
  object.pass_over("copy_df", "the DF bit of outer packets follows what their path takes, not the inner ones");
  object.ignore({"hostaccess", "hw_offload", "policies"});
  return out;
}

// --- connections ---

void read_ends(ObjectReader& object, IpsecConnection& out) {
  out.local_addrs = list_or(object, "local_addrs", out.local_addrs);
  out.remote_addrs = list_or(object, "remote_addrs", out.remote_addrs);
  out.local_port = static_cast<std::uint16_t>(object.integer("local_port", 0, 65535, out.local_port));
  out.remote_port = static_cast<std::uint16_t>(object.integer("remote_port", 1, 65535, out.remote_port));
  object.sections("local", [&](ObjectReader& round, std::string suffix) {
    out.local.push_back(read_auth(round, std::move(suffix), true));
  });
  object.sections("remote", [&](ObjectReader& round, std::string suffix) {
    out.remote.push_back(read_auth(round, std::move(suffix), false));
  });
  for (auto* rounds : {&out.local, &out.remote}) {
    const bool local = rounds == &out.local;
    if (rounds->empty()) rounds->push_back({.path = object.path(local ? "local" : "remote")});
    std::ranges::stable_sort(*rounds, {}, &IpsecAuth::round);
  }
}

void read_times(ObjectReader& object, IpsecConnection& out) {
  out.dpd_delay = duration(object, "dpd_delay", out.dpd_delay);
  out.reauth_time = duration(object, "reauth_time", out.reauth_time);
  // As strongSwan has it: who reauthenticates does not rekey, unless both are asked for.
  out.rekey_time = duration(object, "rekey_time", out.reauth_time != Duration(0) ? Duration(0) : out.rekey_time);
  out.over_time = optional_duration(object, "over_time");
  out.rand_time = optional_duration(object, "rand_time");
  object.ignore({"dpd_timeout"});  // of IKEv1
}

void read_conduct(ObjectReader& object, IpsecConnection& out) {
  static constexpr std::string_view kFragmentation[] = {"yes", "accept", "force", "no"};
  out.fragmentation = static_cast<IpsecConnection::Fragmentation>(object.word("fragmentation", kFragmentation, 0));
  static constexpr std::string_view kChildless[] = {"never", "allow", "prefer", "force"};
  out.childless = static_cast<ike::Childless>(object.word("childless", kChildless, 1));
  static constexpr std::string_view kSendCert[] = {"ifasked", "always", "never"};
  out.send_cert = static_cast<ike::SendCertificate>(object.word("send_cert", kSendCert, 0));
  static constexpr std::string_view kUnique[] = {"no", "never", "keep", "replace"};
  out.unique = static_cast<ike::Unique>(object.word("unique", kUnique, 0));
  if (object.find("encap") != nullptr) out.encap = flag(object, "encap", false);
  out.mobike = flag(object, "mobike", true);
  out.send_certreq = flag(object, "send_certreq", true);
  const JsonValue* tries = object.find("keyingtries");
  const bool forever = tries != nullptr && tries->text == "%forever";
  out.keyingtries = forever ? 0 : static_cast<std::uint32_t>(object.integer("keyingtries", 0, UINT32_MAX, 1));
  out.ppk_id = object.string("ppk_id");
  out.ppk_required = flag(object, "ppk_required", false);
}

IpsecConnection read_connection(ObjectReader& object, std::string name) {
  IpsecConnection out;
  out.path = object.path();
  out.name = std::move(name);
  if (object.integer("version", 0, 2, 2) == 1) object.fail("version", "IKEv1 is not supported; write 2");
  read_ends(object, out);
  out.proposals = list_or(object, "proposals", out.proposals);
  for (const std::string& text : object.strings("vips")) {
    const auto address = IpAddress::parse(text == "%any" || text == "%config4"    ? "0.0.0.0"
                                          : text == "%any6" || text == "%config6" ? "::"
                                                                                  : text);
    if (!address) object.fail("vips", in_quotes(text) + " is no address; \"0.0.0.0\" and \"::\" ask for any");
    if (address) out.vips.push_back(*address);
  }
  out.pools = object.strings("pools");
  read_times(object, out);
  read_conduct(object, out);
  object.sections("children", [&](ObjectReader& children, std::string) {
    children.sections("", [&](ObjectReader& child, std::string child_name) {
      out.children.push_back(read_child(child, std::move(child_name)));
    });
  });
  out.legacy = flag(object, "legacy", false);
  out.resumption = flag(object, "resumption", false);
  out.follow_redirects = flag(object, "follow_redirects", false);
  out.redirect_to = gateway(object, "redirect_to");
  out.signature_authentication = flag(object, "signature_authentication", true);
  out.outbound = object.string("outbound");
  out.retransmit_timeout = duration(object, "retransmit_timeout", out.retransmit_timeout);
  out.retransmit_base = factor(object, "retransmit_base", out.retransmit_base);
  out.retransmit_tries = static_cast<std::uint32_t>(object.integer("retransmit_tries", 1, 100, out.retransmit_tries));
  refuse(object, {"aggressive"}, kIkev1);
  object.pass_over("dscp", "IKE's own messages are not marked");
  object.ignore({"pull", "per_cpu_sas"});
  refuse(object, {"mediation", "mediated_by", "mediation_peer"}, kNotYet);
  refuse(object, {"if_id_in", "if_id_out"}, kKernel);
  return out;
}

// --- pools, secrets, authorities ---

node::IpsecPool read_pool(ObjectReader& object, std::string name) {
  node::IpsecPool out;
  out.path = object.path();
  out.name = std::move(name);
  out.addrs = object.string("addrs");
  if (out.addrs.empty()) object.fail("addrs", "is needed: \"10.3.0.0/24\", or \"10.3.0.10-10.3.0.250\"");
  out.dns = parsed_list<IpAddress>(object, "dns", "address");
  for (std::string_view key : {"split_include", "subnet"}) {
    for (const Prefix& prefix : parsed_list<Prefix>(object, key, "ADDRESS/BITS")) out.split_include.push_back(prefix);
  }
  for (std::string_view key : {"25", "28674"}) {
    for (std::string& domain : object.strings(key)) out.domains.push_back(std::move(domain));
  }
  object.pass_over("split_exclude", "goes by IKEv1's Unity extension; clients of IKEv2 are not told");
  for (const std::string_view key : {"nbns", "dhcp", "server", "address", "netmask"}) {
    object.pass_over(key, "clients are not told; they get addresses, DNS servers, subnets and domains");
  }
  return out;
}

void read_secrets(ObjectReader& object, IpsecOptions& out) {
  using Kind = node::IpsecSecret::Kind;
  for (const auto& [prefix, kind] :
       {std::pair("ike", Kind::kIke), std::pair("eap", Kind::kEap), std::pair("ppk", Kind::kPpk)}) {
    object.sections(prefix, [&, kind = kind](ObjectReader& entry, const std::string&) {
      node::IpsecSecret secret{.kind = kind, .path = entry.path(), .ids = {}, .secret = shared_secret(entry, "secret")};
      entry.texts("id", [&](std::string id) { secret.ids.push_back(std::move(id)); });
      if (secret.secret.empty()) entry.fail("secret", "is needed, and not empty");
      out.secrets.push_back(std::move(secret));
    });
  }
  for (const std::string_view folder : {"private", "rsa", "ecdsa", "pkcs8"}) {
    object.sections(folder, [&](ObjectReader& entry, const std::string&) {
      node::IpsecKeyFile key{.path = entry.path(),
                             .file = entry.string("file"),
                             .folder = std::string(folder),
                             .passphrase = entry.secret("secret")};
      if (key.file.empty()) entry.fail("file", "is needed");
      out.keys.push_back(std::move(key));
    });
  }
  for (const auto& [prefix, why] :
       {std::pair("xauth", kIkev1),
        std::pair("ntlm", std::string_view("NT hashes are not read; write the password in an eap section")),
        std::pair("pkcs12", std::string_view("PKCS#12 is not read; convert it with openssl pkcs12")),
        std::pair("token", std::string_view("keys on tokens come through the C++ interface"))}) {
    object.sections(prefix, [&, why = why](ObjectReader& entry, const std::string&) {
      entry.fail({}, why);
      entry.ignore_all();
    });
  }
}

// Those that can be read; `others`: there are some that had to be fetched.
std::vector<std::string> file_uris(ObjectReader& object, std::string_view key, bool& others) {
  std::vector<std::string> out;
  for (std::string& uri : object.strings(key)) {
    if (uri.starts_with("file:///")) {
      out.push_back(std::move(uri));
    } else {
      others = true;
      object.warn(key, in_quotes(uri) + ": nothing is fetched; file:///... is read, and read again at reload");
    }
  }
  return out;
}

node::IpsecAuthority read_authority(ObjectReader& object, std::string name) {
  node::IpsecAuthority out;
  out.path = object.path();
  out.name = std::move(name);
  out.cacert = object.string("cacert", object.string("file"));
  if (out.cacert.empty()) object.fail("cacert", "is needed");
  out.crl_uris = file_uris(object, "crl_uris", out.fetched);
  out.ocsp_uris = file_uris(object, "ocsp_uris", out.fetched);
  object.pass_over("cert_uri_base", "certificates are shown whole");
  refuse(object, {"handle", "slot", "module"}, "certificates on tokens come through the C++ interface");
  return out;
}

// Of strongswan.conf, beside swanctl's own sections.
void read_limits(ObjectReader& object, node::IpsecLimits& out) {
  const auto number = [&](std::string_view key, std::size_t otherwise) {
    return static_cast<std::size_t>(object.integer(key, 0, UINT32_MAX, static_cast<std::int64_t>(otherwise)));
  };
  out.cookie_threshold = number("cookie_threshold", out.cookie_threshold);
  out.cookie_threshold_ip = number("cookie_threshold_ip", out.cookie_threshold_ip);
  out.block_threshold = number("block_threshold", out.block_threshold);
  out.half_open_timeout = duration(object, "half_open_timeout", out.half_open_timeout);
}

void check_pools(ObjectReader& object, const IpsecOptions& options) {
  for (const IpsecConnection& connection : options.connections) {
    for (const std::string& name : connection.pools) {
      if (std::ranges::find(options.pools, name, &node::IpsecPool::name) != options.pools.end()) continue;
      object.object("connections").object(connection.name).fail("pools", "there is no pool " + in_quotes(name));
    }
  }
}

}  // namespace

void read_ipsec_keys(ObjectReader& object, IpsecOptions& out) {
  object.sections("connections", [&](ObjectReader& list, const std::string&) {
    list.sections("", [&](ObjectReader& entry, std::string name) {
      out.connections.push_back(read_connection(entry, std::move(name)));
    });
  });
  object.sections("pools", [&](ObjectReader& list, const std::string&) {
    list.sections(
        "", [&](ObjectReader& entry, std::string name) { out.pools.push_back(read_pool(entry, std::move(name))); });
  });
  object.sections("secrets", [&](ObjectReader& list, const std::string&) { read_secrets(list, out); });
  object.sections("authorities", [&](ObjectReader& list, const std::string&) {
    list.sections("", [&](ObjectReader& entry, std::string name) {
      out.authorities.push_back(read_authority(entry, std::move(name)));
    });
  });
  if (ObjectReader charon = object.object("charon"); charon.present()) {
    read_limits(charon, out.limits);
    charon.finish();
  }
  check_pools(object, out);
}

IpsecOptions read_ipsec(ObjectReader object) {
  IpsecOptions out;
  read_ipsec_keys(object, out);
  out.directory = object.string("directory");
  out.interface = object.string("interface");
  out.mtu = static_cast<std::uint16_t>(object.integer("mtu", 576, 65535, out.mtu));
  out.tcp_port = static_cast<std::uint16_t>(object.integer("tcp_port", 0, 65535, 0));
  out.key_log_file = object.string("key_log_file");
  out.redirect_to = gateway(object, "redirect_to");
  object.finish();
  return out;
}

}  // namespace winze::config
