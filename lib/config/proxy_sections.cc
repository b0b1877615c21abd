#include <tuple>

#include "proxy_fields.h"
#include "sections.h"

namespace winze::config {
namespace {

node::Account read_account(ObjectReader& object) {
  node::Account out;
  out.user = object.string("user");
  out.password = object.secret("pass");
  if (object.find("level") != nullptr) out.level = read_level(object, "level");
  object.ignore({"email"});
  if (out.user.empty()) object.fail("user", "missing: the account's name");
  if (out.user.size() > 255 || out.password.size() > 255)
    object.fail("user", "name and password have at most 255 bytes");
  return out;
}

std::vector<node::Account> read_accounts(ObjectReader& object) {
  std::vector<node::Account> out;
  for (std::string_view key : {"accounts", "users"}) {
    object.objects(key, [&](ObjectReader& account) {
      out.push_back(read_account(account));
      out.back().terms = read_terms(account);
    });
  }
  return out;
}

node::VlessUser read_vless_user(ObjectReader& object, Side side) {
  node::VlessUser out;
  out.id = object.string("id");
  if (out.id.empty()) object.fail("id", "missing: the user's id");
  out.email = object.string("email");
  out.level = read_level(object, "level");
  const std::string flow = object.string("flow");
  out.quic = side == Side::kOutbound && flow == "xtls-rprx-vision-udp443";
  out.vision = out.quic || flow == "xtls-rprx-vision";
  if (!out.vision && !flow.empty() && flow != "none") {
    const std::string also = side == Side::kOutbound ? ", \"xtls-rprx-vision-udp443\"" : "";
    object.fail("flow", "expected \"xtls-rprx-vision\"" + also + " or nothing, found \"" + flow + "\"");
  }
  object.refuse("reverse", "VLESS reverse is not supported");
  object.ignore({"alterId", "security"});
  return out;
}

void read_listen(ObjectReader& object, node::InboundOptions& out) {
  out.listen = object.string("listen", "0.0.0.0");
  std::tie(out.port_from, out.port_to) = object.ports("port", 0, true);
  const bool is_path = out.listen.starts_with('/') || out.listen.starts_with('@');
  if (!is_path && object.find("port") == nullptr) object.fail("port", "missing: where to listen");
}

node::SocksInbound read_socks_inbound(ObjectReader object) {
  node::SocksInbound out;
  static constexpr std::string_view kAuth[] = {"noauth", "password"};
  const std::size_t auth = object.word("auth", kAuth, 0);
  std::vector<node::Account> accounts = read_accounts(object);
  if (auth == 1) {
    out.accounts = std::move(accounts);
    if (out.accounts.empty()) object.fail("accounts", "missing: with auth \"password\" at least one account is needed");
  }
  out.udp = object.boolean("udp");
  if (const std::string ip = object.string("ip"); !ip.empty()) {
    out.ip = IpAddress::parse(ip);
    if (!out.ip) object.fail("ip", "expected an IP address, found \"" + ip + "\"");
    if (out.ip && out.ip->is_unspecified()) out.ip.reset();
  }
  object.ignore({"timeout", "packetEncoding"});
  out.level = read_level(object);
  object.finish();
  return out;
}

node::HttpInbound read_http_inbound(ObjectReader object) {
  node::HttpInbound out;
  out.accounts = read_accounts(object);
  if (object.boolean("allowTransparent")) object.fail("allowTransparent", "transparent requests are not supported");
  object.ignore({"timeout"});
  out.level = read_level(object);
  object.finish();
  return out;
}

node::VlessInbound read_vless_inbound(ObjectReader object) {
  node::VlessInbound out;
  for (std::string_view key : {"clients", "users"}) {
    object.objects(key, [&](ObjectReader& user) {
      out.users.push_back(read_vless_user(user, Side::kInbound));
      out.users.back().terms = read_terms(user);
    });
  }
  const std::string decryption = object.string("decryption");
  if (decryption != "none") {
    object.fail("decryption", decryption.empty() ? "missing: \"none\" must be said" : "only \"none\" is supported");
  }
  out.fallbacks = read_fallbacks(object);
  object.finish();
  return out;
}

void read_networks(ObjectReader& object, node::DokodemoInbound& out) {
  const std::vector<std::string> networks = object.strings("network");
  if (!networks.empty()) out.tcp = false;
  for (const std::string& network : networks) {
    const std::string name = lower(network);
    if (name == "tcp") {
      out.tcp = true;
    } else if (name == "udp") {
      out.udp = true;
    } else {
      object.fail("network", "expected \"tcp\", \"udp\" or both, found \"" + network + "\"");
    }
  }
}

node::DokodemoInbound read_dokodemo(ObjectReader object) {
  node::DokodemoInbound out;
  const std::string address = object.string("address", "127.0.0.1");
  const std::uint16_t port = object.port("port");
  if (port == 0) object.fail("port", "missing: the destination's port");
  out.destination = Destination(address, port);
  read_networks(object, out);
  if (object.boolean("followRedirect")) object.fail("followRedirect", "not supported yet");
  object.ignore({"timeout"});
  out.level = read_level(object);
  object.finish();
  return out;
}

void read_sniffing(ObjectReader object) {
  if (object.boolean("enabled")) object.fail("enabled", "sniffing is not supported yet; use false");
  object.ignore({"destOverride", "metadataOnly", "domainsExcluded", "routeOnly"});
  object.finish();
}

void read_allocate(ObjectReader object) {
  static constexpr std::string_view kStrategies[] = {"always", "random", "external"};
  if (object.word("strategy", kStrategies, 0) != 0) object.fail("strategy", "only \"always\" is supported");
  object.ignore({"concurrency", "refresh"});
  object.finish();
}

// --- outbounds ---

std::optional<node::Account> read_server_account(ObjectReader& object) {
  std::optional<node::Account> out;
  if (object.find("user") != nullptr) return read_account(object);
  object.only("users", "users", [&](ObjectReader& user) { out = read_account(user); });
  return out;
}

node::FreedomOutbound read_freedom(ObjectReader object) {
  node::FreedomOutbound out;
  static constexpr std::string_view kStrategies[] = {"AsIs", "UseIP", "UseIPv4", "UseIPv6"};
  out.strategy = static_cast<node::FreedomOutbound::Strategy>(object.word("domainStrategy", kStrategies, 0));
  if (const std::string redirect = object.string("redirect"); !redirect.empty()) {
    const auto to = parse_host_port(redirect.starts_with(':') ? "keep" + redirect : redirect);
    if (to) {
      out.redirect = {redirect.starts_with(':') ? std::string() : to->host_text(), to->port};
    } else {
      object.fail("redirect", "expected \"host:port\" or \":port\", found \"" + redirect + "\"");
    }
  }
  object.refuse({"fragment", "noises", "noise"}, "not supported yet");
  object.refuse("finalRules", "not supported: nothing that is dialed is blocked here");
  object.ignore({"timeout", "userLevel"});
  if (object.integer("proxyProtocol", 0, 2, 0) != 0) object.fail("proxyProtocol", "not supported yet");
  object.finish();
  return out;
}

node::BlackholeOutbound read_blackhole(ObjectReader object) {
  static constexpr std::string_view kTypes[] = {"none", "http"};
  ObjectReader response = object.object("response");
  const node::BlackholeOutbound out{.http_response = response.word("type", kTypes, 0) == 1};
  response.finish();
  object.finish();
  return out;
}

node::SocksOutbound read_socks_outbound(ObjectReader object) {
  node::SocksOutbound out;
  with_server(object, "servers", [&](ObjectReader& server) {
    out.server = read_server(server);
    out.account = read_server_account(server);
  });
  object.ignore({"servers"});
  object.finish();
  return out;
}

node::HttpOutbound read_http_outbound(ObjectReader object) {
  node::HttpOutbound out;
  with_server(object, "servers", [&](ObjectReader& server) {
    out.server = read_server(server);
    out.account = read_server_account(server);
  });
  out.headers = object.headers("headers");
  object.ignore({"servers"});
  object.finish();
  return out;
}

node::VlessOutbound read_vless_outbound(ObjectReader object) {
  node::VlessOutbound out;
  const auto read_user = [&](ObjectReader& user) {
    out.user = read_vless_user(user, Side::kOutbound);
    const std::string encryption = user.string("encryption");
    if (encryption != "none") {
      user.fail("encryption", encryption.empty() ? "missing: \"none\" must be said" : "only \"none\" is supported yet");
    }
  };
  with_server(object, "vnext", [&](ObjectReader& server) {
    out.server = read_server(server);
    if (server.find("id") != nullptr) return read_user(server);
    server.only("users", "users", read_user);
    if (out.user.id.empty()) server.fail("users", "missing: the user");
  });
  object.ignore({"vnext"});
  object.finish();
  return out;
}

// Over another outbound V2Ray drops this one's network, unless it is told to keep it.
void read_proxy(ObjectReader object, node::OutboundOptions& out) {
  out.proxy_tag = object.string("tag");
  const bool keeps_network = object.boolean("transportLayer") || out.proxy_tag.empty();
  if (!keeps_network && out.stream.network != node::StreamSettings::Network::kTcp) {
    object.fail("transportLayer", "here an outbound keeps its network over another: use true, or the network \"tcp\"");
  }
  object.finish();
}

// Which addresses of a destination are dialed.
void read_target_strategy(ObjectReader& object) {
  for (std::string_view key : {"domainStrategy", "targetStrategy"}) {
    const std::string strategy = lower(object.string(key));
    if (strategy.empty() || strategy == "asis") continue;
    object.fail(key, "not supported; \"freedom\" has one among its settings");
  }
}

constexpr std::string_view kNotYet[] = {"wireguard", "tun", "hysteria", "mtproto", "dns", "loopback"};

void refuse_protocol(ObjectReader& object, const std::string& protocol, std::string_view supported) {
  if (protocol.empty()) return object.fail("protocol", "missing: expected one of " + std::string(supported));
  for (std::string_view known : kNotYet) {
    if (protocol == known) {
      return object.fail("protocol",
                         "\"" + protocol + "\" is not supported yet; supported are " + std::string(supported));
    }
  }
  object.fail("protocol", "unknown protocol \"" + protocol + "\"; supported are " + std::string(supported));
}

}  // namespace

node::InboundOptions read_inbound(ObjectReader& object) {
  node::InboundOptions out;
  out.path = object.path();
  out.tag = object.string("tag");
  read_listen(object, out);
  const std::string protocol = lower(object.string("protocol"));
  ObjectReader settings = object.object("settings");
  if (protocol == "socks") {
    out.settings = read_socks_inbound(settings);
  } else if (protocol == "http") {
    out.settings = read_http_inbound(settings);
  } else if (protocol == "mixed") {
    out.settings = node::MixedInbound{.socks = read_socks_inbound(settings)};
  } else if (protocol == "vless") {
    out.settings = read_vless_inbound(settings);
  } else if (protocol == "trojan") {
    out.settings = read_trojan_inbound(settings);
  } else if (protocol == "dokodemo-door" || protocol == "tunnel") {
    out.settings = read_dokodemo(settings);
  } else if (protocol == "vmess") {
    out.settings = read_vmess_inbound(settings);
  } else if (protocol == "shadowsocks") {
    out.settings = read_shadowsocks_inbound(settings);
  } else {
    refuse_protocol(
        object, protocol,
        "\"socks\", \"http\", \"mixed\", \"vless\", \"vmess\", \"trojan\", \"shadowsocks\", \"dokodemo-door\"");
  }
  out.stream = read_stream(object.object("streamSettings"), Side::kInbound);
  out.mux = read_inbound_mux(object.object("mux"));
  read_sniffing(object.object("sniffing"));
  read_allocate(object.object("allocate"));
  return out;
}

node::OutboundOptions read_outbound(ObjectReader& object) {
  node::OutboundOptions out;
  out.path = object.path();
  out.tag = object.string("tag");
  const std::string protocol = lower(object.string("protocol"));
  ObjectReader settings = object.object("settings");
  if (protocol == "freedom" || protocol == "direct") {
    out.settings = read_freedom(settings);
  } else if (protocol == "blackhole" || protocol == "block") {
    out.settings = read_blackhole(settings);
  } else if (protocol == "socks") {
    out.settings = read_socks_outbound(settings);
  } else if (protocol == "http") {
    out.settings = read_http_outbound(settings);
  } else if (protocol == "vless") {
    out.settings = read_vless_outbound(settings);
  } else if (protocol == "trojan") {
    out.settings = read_trojan_outbound(settings);
  } else if (protocol == "vmess") {
    out.settings = read_vmess_outbound(settings);
  } else if (protocol == "shadowsocks") {
    out.settings = read_shadowsocks_outbound(settings);
  } else {
    refuse_protocol(
        object, protocol,
        "\"freedom\", \"blackhole\", \"socks\", \"http\", \"vless\", \"vmess\", \"trojan\", \"shadowsocks\"");
  }
  out.stream = read_stream(object.object("streamSettings"), Side::kOutbound);
  if (const std::string from = object.string("sendThrough"); !from.empty() && from != "0.0.0.0") {
    out.send_through = IpAddress::parse(from);
    if (!out.send_through) object.fail("sendThrough", "expected an IP address, found \"" + from + "\"");
  }
  read_proxy(object.object("proxySettings"), out);
  out.mux = read_mux(object.object("mux"));
  const bool has_server =
      protocol != "freedom" && protocol != "direct" && protocol != "blackhole" && protocol != "block";
  if (out.mux.enabled && !has_server) object.fail("mux", "\"" + protocol + "\" has no server that could take it apart");
  const auto* vless = std::get_if<node::VlessOutbound>(&out.settings);
  if (out.mux.enabled && vless != nullptr && vless->user.vision && out.mux.concurrency != 0) {
    object.fail("mux",
                "streams with the flow xtls-rprx-vision are not multiplexed; \"concurrency\": -1 leaves them out");
  }
  read_target_strategy(object);
  return out;
}

}  // namespace winze::config
