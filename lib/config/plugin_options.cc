#include "winze/config/plugin_options.h"

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <utility>

#include "json_value.h"

namespace winze::config {
namespace {

// Takes the characters up to one of `ends` off the front of `text`, and leaves that; nothing when an escape has no
// character.
std::optional<std::string> take_word(std::string_view& text, std::string_view ends) {
  std::string out;
  while (!text.empty() && ends.find(text.front()) == ends.npos) {
    if (text.front() == '\\') text.remove_prefix(1);
    if (text.empty()) return std::nullopt;
    out += text.front();
    text.remove_prefix(1);
  }
  return out;
}

}  // namespace

absl::StatusOr<std::map<std::string, std::string>> parse_plugin_options(std::string_view text) {
  std::map<std::string, std::string> out;
  while (!text.empty()) {
    std::optional<std::string> key = take_word(text, "=;");
    std::optional<std::string> value = "1";
    if (text.starts_with('=')) {
      text.remove_prefix(1);
      value = take_word(text, ";");
      if (key && key->empty()) return absl::InvalidArgumentError("a value without a key");
    }
    if (!key || !value) return absl::InvalidArgumentError("a backslash with nothing behind it");
    if (text.starts_with(';')) text.remove_prefix(1);
    if (key->empty()) continue;
    if (!out.try_emplace(*key, *std::move(value)).second) {
      return absl::InvalidArgumentError(in_quotes(*key) + ": is there twice");
    }
  }
  return out;
}

namespace {

struct KnownPlugin {
  std::string_view server, client;
  std::initializer_list<std::string_view> shared;  // options that both ends have, and mean the same by
};

constexpr std::string_view kHost = "host", kTls = "tls";
const KnownPlugin kKnownPlugins[] = {
    {"v2ray-plugin", "v2ray-plugin", {kTls, kHost, "path", "mode", "mux"}},
    {"ss-v2ray-plugin", "ss-v2ray-plugin", {kTls, kHost, "path", "mode", "mux"}},
    {"winze", "winze", {kTls, kHost, "path", "mode", "mux"}},
    {"obfs-server", "obfs-local", {"obfs"}},
};

}  // namespace

std::optional<std::string> client_plugin(std::string_view program, std::string_view server_options,
                                         std::string_view host) {
  const std::string_view name = program.substr(program.rfind('/') + 1);
  const auto known = std::ranges::find(kKnownPlugins, name, &KnownPlugin::server);
  if (known == std::end(kKnownPlugins)) return std::nullopt;
  std::string out(known->client);
  bool has_tls = false, has_host = false;
  for (std::string_view left = server_options; !left.empty();) {
    const std::string_view from = left;
    const std::optional<std::string> key = take_word(left, "=;");
    const bool whole = key && take_word(left, ";");
    const std::string_view option = from.substr(0, from.size() - left.size());
    if (left.starts_with(';')) left.remove_prefix(1);
    if (!whole || std::ranges::find(known->shared, *key) == known->shared.end()) continue;
    has_tls |= key == kTls;
    has_host |= key == kHost;
    out.append(";").append(option);
  }
  if (has_tls && !has_host) out.append(";host=").append(host);
  return out;
}

}  // namespace winze::config
