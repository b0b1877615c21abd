// What V2Ray's configuration has no words for: on what terms a user may use an inbound.
//
//   "clients": [{"id": "...", "email": "a@example", "expiry": "2027-01-31T12:00:00Z",
//                "limits": {"up": "1MiB", "down": "2MiB", "quota": "100GB", "connections": 32, "addresses": 3}}]
#include <algorithm>
#include <charconv>
#include <chrono>
#include <limits>

#include "sections.h"

namespace winze::config {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t bytes;
};
constexpr Unit kUnits[] = {{"kib", 1ull << 10},
                           {"mib", 1ull << 20},
                           {"gib", 1ull << 30},
                           {"tib", 1ull << 40},
                           {"kb", 1'000},
                           {"mb", 1'000'000},
                           {"gb", 1'000'000'000},
                           {"tb", 1'000'000'000'000},
                           {"b", 1}};

// "100", "1.5GB" is not taken: whole numbers with a unit, or without for bytes.
std::optional<std::uint64_t> parse_bytes(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  std::string_view rest = text.substr(static_cast<std::size_t>(end - text.data()));
  while (rest.starts_with(' ')) rest.remove_prefix(1);
  std::uint64_t factor = 1;
  if (!rest.empty()) {
    const auto unit = std::ranges::find(kUnits, lower(rest), &Unit::name);
    if (unit == std::end(kUnits)) return std::nullopt;
    factor = unit->bytes;
  }
  // What 63 bits hold is more than anybody moves.
  if (number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) / factor) return std::nullopt;
  return number * factor;
}

std::uint64_t read_bytes(ObjectReader& object, std::string_view key) {
  const JsonValue* value = object.find(key);
  if (value == nullptr) return 0;
  if (value->kind == JsonValue::Kind::kInteger && value->integer >= 0)
    return static_cast<std::uint64_t>(value->integer);
  const auto bytes = value->kind == JsonValue::Kind::kString ? parse_bytes(value->text) : std::nullopt;
  if (!bytes) {
    object.fail(key, "expected a number of bytes, or a text such as \"100MB\" or \"2GiB\", found " + describe(*value));
  }
  return bytes.value_or(0);
}

// A part of `text` at `at`, digits alone, within [low, high]; -1 otherwise.
int digits(std::string_view text, std::size_t at, std::size_t count, int low, int high) {
  int number = 0;
  if (text.size() < at + count) return -1;
  const char* begin = text.data() + at;
  const auto [end, error] = std::from_chars(begin, begin + count, number);
  const bool whole = error == std::errc() && end == begin + count && *begin != '-';
  return whole && number >= low && number <= high ? number : -1;
}

// RFC 3339: "2027-01-31T12:00:00Z", "2027-01-31T12:00:00+01:00"; or a date, which begins at midnight UTC.
std::optional<UnixTime> parse_time(std::string_view text) {
  using namespace std::chrono;
  const int y = digits(text, 0, 4, 1970, 9999), m = digits(text, 5, 2, 1, 12), d = digits(text, 8, 2, 1, 31);
  if (y < 0 || m < 0 || d < 0 || text[4] != '-' || text[7] != '-') return std::nullopt;
  const year_month_day date(year(y), month(static_cast<unsigned>(m)), day(static_cast<unsigned>(d)));
  if (!date.ok()) return std::nullopt;
  const UnixTime midnight = sys_seconds(sys_days(date)).time_since_epoch().count();
  if (text.size() == 10) return midnight;
  const int hour = digits(text, 11, 2, 0, 23), minute = digits(text, 14, 2, 0, 59), second = digits(text, 17, 2, 0, 60);
  if (hour < 0 || minute < 0 || second < 0 || lower(text[10]) != 't' || text[13] != ':' || text[16] != ':') {
    return std::nullopt;
  }
  const UnixTime local = midnight + hour * 3600 + minute * 60 + second;
  const std::string_view zone = text.substr(19);
  if (zone == "Z" || zone == "z") return local;
  const int zone_hour = digits(zone, 1, 2, 0, 23), zone_minute = digits(zone, 4, 2, 0, 59);
  if (zone.size() != 6 || (zone[0] != '+' && zone[0] != '-') || zone[3] != ':' || zone_hour < 0 || zone_minute < 0) {
    return std::nullopt;
  }
  const UnixTime ahead = zone_hour * 3600 + zone_minute * 60;
  return zone[0] == '+' ? local - ahead : local + ahead;
}

std::optional<UnixTime> read_expiry(ObjectReader& object) {
  const JsonValue* value = object.find("expiry");
  if (value == nullptr) return std::nullopt;
  if (value->kind == JsonValue::Kind::kInteger && value->integer >= 0) return value->integer;
  const auto time = value->kind == JsonValue::Kind::kString ? parse_time(value->text) : std::nullopt;
  if (!time) {
    object.fail("expiry", "expected a time such as \"2027-01-31T12:00:00Z\", a date, or seconds since 1970, found " +
                              describe(*value));
  }
  return time;
}

}  // namespace

chain::UserTerms read_terms(ObjectReader& object) {
  chain::UserTerms out;
  out.expiry = read_expiry(object);
  ObjectReader limits = object.object("limits");
  out.limits.up = read_bytes(limits, "up");
  out.limits.down = read_bytes(limits, "down");
  out.limits.quota = read_bytes(limits, "quota");
  out.limits.connections = static_cast<std::uint32_t>(limits.integer("connections", 0, UINT32_MAX, 0));
  out.limits.addresses = static_cast<std::uint32_t>(limits.integer("addresses", 0, UINT32_MAX, 0));
  limits.finish();
  return out;
}

}  // namespace winze::config
