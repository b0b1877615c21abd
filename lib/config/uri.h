// The parts of a share link's URI (RFC 3986).
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace winze::config {

// "%41b" is "Ab"; nothing when a % has no two digits behind it. + stays.
std::optional<std::string> percent_decode(std::string_view text);
// All but letters, digits and -._~ is encoded.
std::string percent_encode(std::string_view text);

// Parameters of a query, each of which is to be asked for.
class Parameters {
 public:
  // Error when one is malformed or there twice.
  static absl::StatusOr<Parameters> parse(std::string_view query);

  // Decoded; empty when it is not there. Who asks knows the name.
  std::string take(std::string_view name);
  // An error for those that nobody asked for and that say something.
  absl::Status finish() const;

 private:
  std::vector<std::pair<std::string, std::string>> all_;
  std::set<std::string, std::less<>> asked_;
};

struct Uri {
  std::string user;  // decoded
  std::string host;  // without brackets
  std::uint16_t port = 0;
  Parameters parameters;
};

// "host:port" into `out`; the host is a name or an IP address, of version 6 in brackets.
absl::Status parse_authority(std::string_view text, Uri& out);
// What follows "scheme://", without the fragment: user@host:port[/][?query].
absl::StatusOr<Uri> parse_uri(std::string_view text);
// The host as an authority has it.
std::string host_in_authority(const std::string& host);

}  // namespace winze::config
