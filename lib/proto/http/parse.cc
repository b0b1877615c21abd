#include <algorithm>
#include <charconv>

#include "winze/proto/http/error.h"
#include "winze/proto/http/head.h"

namespace winze::http {
namespace {

// What is an error in a request and tolerated in a response.
enum class Kind { kRequest, kResponse };

// Takes one line off `text`, without its end.
std::error_code next_line(std::string_view& text, std::string_view& line, Kind kind) {
  const std::size_t end = text.find('\n');
  if (end == text.npos) return Errc::kBadLineEnd;
  line = text.substr(0, end);
  text.remove_prefix(end + 1);
  if (line.ends_with('\r')) {
    line.remove_suffix(1);
  } else if (kind == Kind::kRequest) {
    return Errc::kBadLineEnd;
  }
  return {};
}

std::error_code parse_version(std::string_view text, Version& out) {
  if (text.size() != 8 || !text.starts_with("HTTP/")) return Errc::kBadStartLine;
  if (text[5] != '1' || text[6] != '.' || text[7] < '0' || text[7] > '9') return Errc::kBadVersion;
  // A later minor version is understood as the highest one known (RFC 9110 §2.5).
  out = text[7] == '0' ? Version::k10 : Version::k11;
  return {};
}

bool is_target(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte > 0x20 && byte != 0x7f;
  });
}

std::error_code parse_start(std::string_view line, RequestHead& out) {
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == line.npos || first == last) return Errc::kBadStartLine;
  out.method = line.substr(0, first);
  out.target = line.substr(first + 1, last - first - 1);
  if (!is_token(out.method) || !is_target(out.target)) return Errc::kBadStartLine;
  return parse_version(line.substr(last + 1), out.version);
}

std::error_code parse_start(std::string_view line, ResponseHead& out) {
  if (std::error_code error = parse_version(line.substr(0, std::min(line.find(' '), line.size())), out.version)) {
    return error;
  }
  // "HTTP/1.1 200" without the space before an absent reason is common.
  line.remove_prefix(8);
  if (line.size() < 4 || line[0] != ' ' || (line.size() > 4 && line[4] != ' ')) return Errc::kBadStartLine;
  const char* end = line.data() + 4;
  const auto [stop, error] = std::from_chars(line.data() + 1, end, out.status);
  if (error != std::errc() || stop != end || out.status < 100) return Errc::kBadStartLine;
  out.reason = line.substr(std::min<std::size_t>(5, line.size()));
  if (!is_field_value(out.reason)) return Errc::kBadStartLine;
  return {};
}

std::error_code parse_fields(std::string_view text, Kind kind, Fields& out) {
  for (;;) {
    std::string_view line;
    if (std::error_code error = next_line(text, line, kind)) return error;
    if (line.empty()) break;
    const std::size_t colon = line.find(':');
    // A folded line begins with white space, which no token does.
    if (colon == line.npos || !is_token(line.substr(0, colon))) return Errc::kBadField;
    std::string_view value = line.substr(colon + 1);
    value.remove_prefix(std::min(value.find_first_not_of(" \t"), value.size()));
    value.remove_suffix(value.size() - 1 - value.find_last_not_of(" \t"));
    if (!is_field_value(value)) return Errc::kBadField;
    if (out.size() == kMaxFields) return Errc::kTooManyFields;
    out.add(line.substr(0, colon), value);
  }
  return text.empty() ? std::error_code() : Errc::kUnexpectedData;
}

// All Content-Length values of a message; several are taken when they are equal (RFC 9112 §6.3).
std::error_code parse_lengths(const Fields& fields, Body& out) {
  bool seen = false;
  for (const Field& field : fields) {
    if (!equal_ignoring_case(field.name, "Content-Length")) continue;
    std::string_view list = field.value;
    std::string_view element;
    bool any = false;
    while (next_list_element(list, element)) {
      std::uint64_t length = 0;
      const char* end = element.data() + element.size();
      const auto [stop, error] = std::from_chars(element.data(), end, length);
      if (error != std::errc() || stop != end || (seen && length != out.length)) return Errc::kBadFraming;
      out = {Body::Framing::kLength, length};
      seen = any = true;
    }
    if (!any) return Errc::kBadFraming;
  }
  return {};
}

// Transfer-Encoding: exactly one coding, chunked.
std::error_code parse_codings(const Fields& fields, Body& out) {
  std::size_t codings = 0;
  for (const Field& field : fields) {
    if (!equal_ignoring_case(field.name, "Transfer-Encoding")) continue;
    std::string_view list = field.value;
    std::string_view element;
    while (next_list_element(list, element)) {
      if (!equal_ignoring_case(element, "chunked")) return Errc::kUnsupportedCoding;
      ++codings;
    }
  }
  if (codings != 1) return Errc::kBadFraming;
  out = {Body::Framing::kChunked, 0};
  return {};
}

std::error_code parse_framing(const Fields& fields, Version version, Kind kind, Body& out) {
  out = {};
  if (std::error_code error = parse_lengths(fields, out)) return error;
  if (fields.count("Transfer-Encoding") == 0) return {};
  if (kind == Kind::kRequest) {
    // HTTP/1.0 has no transfer codings: such a message's framing is faulty (RFC 9112 §6.1).
    if (out.framing == Body::Framing::kLength || version == Version::k10) return Errc::kBadFraming;
  }
  return parse_codings(fields, out);
}

template <typename Head>
std::error_code parse(std::string_view text, Kind kind, Head& out) {
  out = {};
  std::string_view line;
  if (std::error_code error = next_line(text, line, kind)) return error;
  if (std::error_code error = parse_start(line, out)) return error;
  if (std::error_code error = parse_fields(text, kind, out.fields)) return error;
  return parse_framing(out.fields, out.version, kind, out.body);
}

}  // namespace

std::error_code parse_request(std::string_view text, RequestHead& out) {
  if (std::error_code error = parse(text, Kind::kRequest, out)) return error;
  return out.fields.count("Host") > 1 ? Errc::kBadFraming : std::error_code();
}

std::error_code parse_response(std::string_view text, ResponseHead& out) { return parse(text, Kind::kResponse, out); }

}  // namespace winze::http
