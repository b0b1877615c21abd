#include "proxy_fields.h"
#include "sections.h"

namespace winze::config {
namespace {

node::VmessUser read_user(ObjectReader& object) {
  node::VmessUser out;
  out.id = object.string("id");
  if (out.id.empty()) object.fail("id", "missing: the user's id");
  out.email = object.string("email");
  out.level = read_level(object, "level");
  if (object.integer("alterId", 0, 65535, 0) != 0) {
    object.fail("alterId", "must be 0: VMess with MD5 headers, which any other number asks for, is not supported");
  }
  return out;
}

// What V2Ray takes for "auto" without a word is refused: a user may well have asked for something else.
void read_security(ObjectReader& object, node::VmessOutbound& out) {
  static constexpr std::string_view kSecurities[] = {"auto", "aes-128-gcm", "chacha20-poly1305", "none", "zero"};
  out.security = kSecurities[object.word("security", kSecurities, 0)];
}

void read_experiments(ObjectReader& object, node::VmessOutbound& out) {
  const std::string experiments = object.string("experiments");
  out.authenticated_length = experiments.find("AuthenticatedLength") != experiments.npos;
  if (experiments.find("NoTerminationSignal") != experiments.npos) {
    object.warn("experiments", "NoTerminationSignal means nothing here: the end of a direction is always said");
  }
}

}  // namespace

node::VmessInbound read_vmess_inbound(ObjectReader object) {
  node::VmessInbound out;
  for (std::string_view key : {"clients", "users"}) {
    object.objects(key, [&](ObjectReader& user) {
      out.users.push_back(read_user(user));
      out.users.back().terms = read_terms(user);
      user.ignore({"security", "experiments"});
    });
  }
  out.refuse_unprotected = object.boolean("disableInsecureEncryption");
  object.refuse({"default", "detour"}, "accounts that a server makes up as it goes are not supported");
  object.ignore({"features"});
  object.finish();
  return out;
}

node::VmessOutbound read_vmess_outbound(ObjectReader object) {
  node::VmessOutbound out;
  const auto take_user = [&](ObjectReader& user) {
    out.user = read_user(user);
    read_security(user, out);
    read_experiments(user, out);
  };
  with_server(object, "vnext", [&](ObjectReader& server) {
    out.server = read_server(server);
    if (server.find("id") != nullptr) return take_user(server);
    server.only("users", "users", take_user);
    if (out.user.id.empty()) server.fail("users", "missing: the user");
  });
  static constexpr std::string_view kEncodings[] = {"None", "Packet"};
  out.packet_addresses = object.word("packetEncoding", kEncodings, 0) == 1;
  object.ignore({"vnext"});
  object.finish();
  return out;
}

}  // namespace winze::config
