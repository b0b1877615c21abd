#include "winze/proto/fallback.h"

#include <absl/status/status.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "winze/base/ascii.h"
#include "winze/base/bytes.h"

namespace winze {
namespace {

constexpr std::size_t kPathSearchEnd = 64;
// Of a first piece that V2Ray looks for a path in: what any VLESS request has more than.
constexpr std::size_t kRequestStartSize = 18;

absl::Status invalid(std::size_t index, std::string_view what) {
  return absl::InvalidArgumentError("fallbacks[" + std::to_string(index) + "]" + std::string(what));
}

// Adds the entries of `from` that `to` lacks.
template <class Map>
void inherit(Map& to, const Map& from) {
  for (const auto& [key, value] : from) to.try_emplace(key, value);
}

// Where a key is found in a map, or else the default key "".
template <class Map>
const typename Map::mapped_type* find_or_default(const Map& map, std::string_view key) {
  auto found = map.find(key);
  if (found == map.end()) found = map.find(std::string_view());
  return found == map.end() ? nullptr : &found->second;
}

}  // namespace

std::optional<FallbackDestination> parse_fallback_destination(std::string_view text) {
  if (text.empty()) return std::nullopt;
  if (text.front() == '/' || (text.front() == '@' && text != "@" && text != "@@")) {
    return UnixPath{std::string(text)};
  }
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error == std::errc() && end == text.data() + text.size()) {
    if (port == 0) return std::nullopt;
    return Destination("127.0.0.1", port);
  }
  auto destination = parse_host_port(text);
  if (!destination || destination->port == 0) return std::nullopt;
  return *std::move(destination);
}

absl::StatusOr<FallbackTable> FallbackTable::create(const std::vector<Fallback>& entries) {
  ByName table;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const Fallback& entry = entries[i];
    if (!entry.path.empty() && entry.path.front() != '/') return invalid(i, ".path: must begin with '/'");
    if (entry.proxy_protocol < 0 || entry.proxy_protocol > 2) return invalid(i, ".xver: must be 0, 1 or 2");
    if (!table[lower(entry.name)][entry.alpn].try_emplace(entry.path, entry).second) {
      return invalid(i, ": there is another entry with the same name, alpn and path");
    }
  }
  // First every name learns the alpns of the empty name, then every alpn the paths of its name's empty alpn, and last
  // the paths of the same alpn of the empty name: what is nearer wins.
  const auto defaults = table.find("");
  for (auto& [name, alpns] : table) {
    if (defaults != table.end()) {
      for (const auto& [alpn, paths] : defaults->second) alpns.try_emplace(alpn);
    }
    if (const auto common = alpns.find(""); common != alpns.end()) {
      for (auto& [alpn, paths] : alpns) inherit(paths, common->second);
    }
  }
  if (defaults != table.end()) {
    for (auto& [name, alpns] : table) {
      for (auto& [alpn, paths] : defaults->second) inherit(alpns[alpn], paths);
    }
  }
  return FallbackTable(std::move(table));
}

const FallbackTable::ByAlpn* FallbackTable::find_name(std::string_view server_name) const {
  const std::string name = lower(server_name);
  if (const auto exact = entries_.find(name); exact != entries_.end()) return &exact->second;
  const ByName::value_type* best = nullptr;
  for (const auto& entry : entries_) {
    if (name.find(entry.first) == name.npos) continue;
    if (best == nullptr || entry.first.size() > best->first.size()) best = &entry;
  }
  return best == nullptr ? nullptr : &best->second;
}

const Fallback* FallbackTable::select(std::span<const std::uint8_t> first, std::string_view server_name,
                                      std::string_view alpn) const {
  const ByAlpn* alpns = find_name(server_name);
  if (alpns == nullptr) return nullptr;
  const ByPath* paths = find_or_default(*alpns, alpn);
  return paths == nullptr ? nullptr : find_or_default(*paths, request_path(first));
}

std::string_view request_path(std::span<const std::uint8_t> first) {
  const std::string_view text = as_text(first);
  // '*' is there in HTTP/2's preface, "PRI * HTTP/2.0".
  if (text.size() < kRequestStartSize || text[4] == '*') return {};
  for (std::size_t begin = 4; begin <= 8; ++begin) {
    if (text[begin] != '/' || text[begin - 1] != ' ') continue;
    const std::string_view searched = text.substr(0, kPathSearchEnd);
    const std::size_t end = searched.find_first_of(" ?\r\n", begin + 1);
    if (end == searched.npos || searched[end] == '\r' || searched[end] == '\n') return {};
    return text.substr(begin, end - begin);
  }
  return {};
}

}  // namespace winze
