// HTTP heads: what is accepted is clean, comes back the same when written and read again, and does not depend on how
// the bytes were cut. The first byte is the size of the segments, less one.
#include <cstdint>
#include <optional>

#include "support/require.h"
#include "support/segments.h"
#include "winze/base/bytes.h"
#include "winze/proto/http/error.h"
#include "winze/proto/http/head.h"
#include "winze/proto/http/target.h"

namespace winze::http {
namespace {

using test::require;

void check_fields(const Fields& fields) {
  require(fields.size() <= kMaxFields);
  for (const Field& field : fields) require(is_token(field.name) && is_field_value(field.value));
}

bool same(const Fields& a, const Fields& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Field& x, const Field& y) { return x.name == y.name && x.value == y.value; });
}

void check_request(std::string_view text) {
  RequestHead head;
  if (parse_request(text, head)) return;
  check_fields(head.fields);
  require(is_token(head.method));
  Buffer out;
  encode(head, out);
  RequestHead again;
  require(!parse_request(out.text(), again));
  require(again.method == head.method && again.target == head.target && again.version == head.version);
  require(again.body == head.body && same(again.fields, head.fields));
  AbsoluteTarget target;
  if (!parse_absolute(head.target, target)) require(target.origin.starts_with('/'));
}

void check_response(std::string_view text) {
  ResponseHead head;
  if (parse_response(text, head)) return;
  check_fields(head.fields);
  Buffer out;
  encode(head, out);
  ResponseHead again;
  require(!parse_response(out.text(), again));
  require(again.status == head.status && again.reason == head.reason && again.version == head.version);
  require(again.body == head.body && same(again.fields, head.fields));
}

std::optional<std::string> collected(std::string_view wire, std::size_t segment) {
  HeadCollector collector;
  std::optional<std::string> head;
  std::error_code error;
  test::feed(wire, segment, [&](Buffer in) {
    if (collector.collect(in, error)) head = collector.text();
    return !head && !error;
  });
  return head;
}

}  // namespace
}  // namespace winze::http

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace winze;
  if (size == 0) return 0;
  const std::string_view wire = as_text({data + 1, size - 1});
  http::check_request(wire);
  http::check_response(wire);
  const auto whole = http::collected(wire, size);
  test::require(whole == http::collected(wire, data[0] + std::size_t{1}));
  if (whole) {
    http::check_request(*whole);
    http::check_response(*whole);
  }
  return 0;
}
