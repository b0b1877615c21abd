#include "proxy_fields.h"
#include "sections.h"

namespace winze::config {
namespace {

void read_networks(ObjectReader& object, node::ShadowsocksInbound& out) {
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
  if (object.boolean("udp")) out.udp = true;
}

// The keys of V2Ray 5.
node::Plugin read_plugin(ObjectReader& object) {
  node::Plugin out{.program = object.string("plugin"),
                   .options = object.string("pluginOpts"),
                   .arguments = object.strings("pluginArgs")};
  if (out.program.empty() && !(out.options.empty() && out.arguments.empty())) {
    object.fail("plugin", "missing: the program that these options are for");
  }
  return out;
}

std::string read_method(ObjectReader& object) {
  std::string method = object.string("method");
  if (method.empty()) object.fail("method", "missing: the cipher, such as \"aes-256-gcm\"");
  return method;
}

}  // namespace

node::ShadowsocksInbound read_shadowsocks_inbound(ObjectReader object) {
  node::ShadowsocksInbound out;
  out.method = read_method(object);
  out.password = object.secret("password");
  out.email = object.string("email");
  out.level = read_level(object, "level");
  for (std::string_view key : {"clients", "users"}) {
    object.objects(key, [&](ObjectReader& user) {
      node::ShadowsocksUser& one = out.users.emplace_back();
      one.password = user.secret("password");
      one.email = user.string("email");
      one.level = read_level(user, "level");
      one.terms = read_terms(user);
      user.refuse({"address", "port"}, "relaying to another Shadowsocks server is not supported");
      if (user.string("method") != "") user.fail("method", "all users have the inbound's method");
    });
  }
  read_networks(object, out);
  out.replay_file = object.string("replayFile");
  out.plugin = read_plugin(object);
  if (object.find("ivCheck") != nullptr && !object.boolean("ivCheck", true)) {
    object.warn("ivCheck", "not used: what has been seen before is always refused");
  }
  object.ignore({"packetEncoding"});
  object.finish();
  return out;
}

node::ShadowsocksOutbound read_shadowsocks_outbound(ObjectReader object) {
  node::ShadowsocksOutbound out;
  with_server(object, "servers", [&](ObjectReader& server) {
    out.server = read_server(server);
    out.method = read_method(server);
    out.password = server.secret("password");
    server.ignore({"email", "level", "ota", "ivCheck", "experimentReducedIvHeadEntropy"});
    if (server.boolean("uot")) server.fail("uot", "UDP over TCP is not supported; datagrams go as such");
    server.ignore({"UoTVersion"});
  });
  out.plugin = read_plugin(object);
  object.ignore({"servers"});
  object.finish();
  return out;
}

}  // namespace winze::config
