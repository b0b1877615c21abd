#include "winze/proto/http/head.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "winze/base/bytes.h"
#include "winze/proto/http/error.h"

namespace winze::http {

bool is_persistent(Version version, const Fields& fields) noexcept {
  if (fields.has_token("Connection", "close")) return false;
  return version == Version::k11 || fields.has_token("Connection", "keep-alive");
}

Body body_of(const ResponseHead& head, std::string_view method) noexcept {
  const bool none = method == "HEAD" || head.status < 200 || head.status == 204 || head.status == 304 ||
                    (method == "CONNECT" && head.status < 300);
  if (none) return {};
  if (head.body.framing == Body::Framing::kNone) return {Body::Framing::kUntilClose, 0};
  return head.body;
}

namespace {

std::string_view version_text(Version version) { return version == Version::k10 ? "HTTP/1.0" : "HTTP/1.1"; }

void encode_fields(const Fields& fields, Buffer& out) {
  for (const Field& field : fields) {
    out.append(field.name);
    out.append(": ");
    out.append(field.value);
    out.append("\r\n");
  }
  out.append("\r\n");
}

}  // namespace

void encode(const RequestHead& head, Buffer& out) {
  out.append(head.method);
  out.append(" ");
  out.append(head.target);
  out.append(" ");
  out.append(version_text(head.version));
  out.append("\r\n");
  encode_fields(head.fields, out);
}

void encode(const ResponseHead& head, Buffer& out) {
  const std::array<char, 3> digits = {static_cast<char>('0' + head.status / 100 % 10),
                                      static_cast<char>('0' + head.status / 10 % 10),
                                      static_cast<char>('0' + head.status % 10)};
  out.append(version_text(head.version));
  out.append(" ");
  out.append(std::string_view(digits.data(), digits.size()));
  out.append(" ");
  out.append(head.reason);
  out.append("\r\n");
  encode_fields(head.fields, out);
}

bool HeadCollector::collect(Buffer& in, std::error_code& error) {
  while (!in.empty()) {
    const auto* end = static_cast<const std::uint8_t*>(std::memchr(in.data(), '\n', in.size()));
    const std::size_t count = end == nullptr ? in.size() : static_cast<std::size_t>(end - in.data()) + 1;
    if (dropped_ + text_.size() + count > kMaxHeadSize) {
      error = Errc::kHeadTooLarge;
      return false;
    }
    text_.append(in.text().substr(0, count));
    in.trim_front(count);
    if (end == nullptr) return false;

    const std::string_view line = std::string_view(text_).substr(line_);
    const bool empty = line == "\n" || line == "\r\n";
    if (empty && line_ != 0) return true;
    if (empty) {
      dropped_ += text_.size();
      text_.clear();
    }
    line_ = text_.size();
  }
  return false;
}

void HeadCollector::clear() {
  text_.clear();
  line_ = dropped_ = 0;
}

}  // namespace winze::http
