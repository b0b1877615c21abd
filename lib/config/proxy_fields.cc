#include "proxy_fields.h"

namespace winze::config {
namespace {

// dest: a port, or a text.
node::FallbackEntry read_fallback(ObjectReader& object) {
  node::FallbackEntry fallback;
  fallback.name = object.string("name");
  fallback.alpn = object.string("alpn");
  fallback.path = object.string("path");
  const JsonValue* dest = object.find("dest");
  if (dest != nullptr && dest->kind == JsonValue::Kind::kInteger) {
    fallback.dest = std::to_string(object.integer("dest", 1, 65535, 0));
  } else {
    fallback.dest = object.string("dest");
  }
  if (fallback.dest.empty())
    object.fail("dest", "missing: where strangers go, \"host:port\", a port, or a socket's path");
  if (!fallback.path.empty() && !fallback.path.starts_with('/')) object.fail("path", "a path begins with \"/\"");
  fallback.proxy_protocol = static_cast<int>(object.integer("xver", 0, 2, 0));
  object.ignore({"type"});
  return fallback;
}

}  // namespace

std::uint32_t read_level(ObjectReader& object, std::string_view key) {
  return static_cast<std::uint32_t>(object.integer(key, 0, 255, 0));
}

Destination read_server(ObjectReader& object) {
  const std::string address = object.string("address");
  if (address.empty()) object.fail("address", "missing: the server's name or IP address");
  const std::uint16_t port = object.port("port");
  if (port == 0) object.fail("port", "missing: the server's port");
  return Destination(address, port);
}

void with_server(ObjectReader& object, std::string_view list, const std::function<void(ObjectReader&)>& read) {
  if (object.find("address") != nullptr) return read(object);
  bool found = false;
  object.only(list, "servers", [&](ObjectReader& server) {
    found = true;
    read(server);
  });
  if (!found) object.fail(list, "missing: the server");
}

std::vector<node::FallbackEntry> read_fallbacks(ObjectReader& object) {
  std::vector<node::FallbackEntry> out;
  object.objects("fallbacks", [&](ObjectReader& fallback) { out.push_back(read_fallback(fallback)); });
  object.refuse("fallback", "use \"fallbacks\", an array");
  return out;
}

}  // namespace winze::config
