#include "proto/http/hop_by_hop.h"

#include <algorithm>
#include <string>
#include <vector>

namespace winze::http {
namespace {

constexpr std::string_view kHopByHop[] = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection",
    "te",         "trailer",    "trailers",           "transfer-encoding",   "upgrade",
};

std::string lowered(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  }
  return out;
}

}  // namespace

void strip_hop_by_hop(Fields& fields) {
  // Sorted, for a hostile list may name thousands.
  std::vector<std::string> names(std::begin(kHopByHop), std::end(kHopByHop));
  for (const Field& field : fields) {
    if (!equal_ignoring_case(field.name, "Connection")) continue;
    std::string_view list = field.value;
    std::string_view element;
    while (next_list_element(list, element)) names.push_back(lowered(element));
  }
  std::ranges::sort(names);
  fields.remove_if([&](const Field& field) { return std::ranges::binary_search(names, lowered(field.name)); });
}

}  // namespace winze::http
