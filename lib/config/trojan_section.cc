#include "proxy_fields.h"
#include "sections.h"

namespace winze::config {
namespace {

node::TrojanUser read_user(ObjectReader& object) {
  node::TrojanUser out;
  out.password = object.secret("password");
  if (out.password.empty()) object.fail("password", "missing: the user's password");
  out.email = object.string("email");
  out.level = read_level(object, "level");
  if (!object.string("flow").empty()) object.fail("flow", "Trojan has no flows; leave it out");
  return out;
}

}  // namespace

node::TrojanInbound read_trojan_inbound(ObjectReader object) {
  node::TrojanInbound out;
  for (std::string_view key : {"clients", "users"}) {
    object.objects(key, [&](ObjectReader& user) {
      out.users.push_back(read_user(user));
      out.users.back().terms = read_terms(user);
    });
  }
  out.fallbacks = read_fallbacks(object);
  object.finish();
  return out;
}

node::TrojanOutbound read_trojan_outbound(ObjectReader object) {
  node::TrojanOutbound out;
  with_server(object, "servers", [&](ObjectReader& server) {
    out.server = read_server(server);
    out.user = read_user(server);
  });
  object.ignore({"servers"});
  object.finish();
  return out;
}

}  // namespace winze::config
