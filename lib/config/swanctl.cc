#include "winze/config/swanctl.h"

#include <glob.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "sections.h"
#include "swanctl_syntax.h"

namespace winze::config {
namespace {

absl::StatusOr<Source> read_file(const std::string& name) {
  std::ifstream file(name, std::ios::binary);
  if (!file) return absl::NotFoundError(name + ": cannot be read");
  return Source{name, std::string(std::istreambuf_iterator<char>(file), {})};
}

// No match is no error, as strongSwan has it.
absl::StatusOr<std::vector<Source>> read_included(std::string_view pattern, std::string_view from) {
  const auto folder = std::filesystem::path(from).parent_path();
  const std::string path = (folder / std::string(pattern)).string();  // an absolute pattern stays as it is
  glob_t found{};
  std::vector<Source> out;
  absl::Status status;
  if (::glob(path.c_str(), 0, nullptr, &found) == 0) {
    for (std::size_t i = 0; i < found.gl_pathc && status.ok(); ++i) {
      auto source = read_file(found.gl_pathv[i]);
      status = source.status();
      if (source.ok()) out.push_back(std::move(*source));
    }
  }
  ::globfree(&found);
  if (!status.ok()) return status;
  return out;
}

}  // namespace

absl::StatusOr<SwanctlConfig> read_swanctl(Source source, const IncludeReader& include, bool lenient) {
  std::vector<Source> sources;
  sources.push_back(std::move(source));
  JsonValue root;
  std::vector<std::string> referenced;
  if (absl::Status status = parse_swanctl(sources, include, root, referenced); !status.ok()) return status;
  const ReadOptions options{.lenient = lenient, .environment = nullptr};
  Context context{.sources = sources, .options = options, .error = {}, .warnings = {}};
  SwanctlConfig out;
  ObjectReader top(context, &root, {});
  read_ipsec_keys(top, out.options);
  for (const std::string& name : referenced) top.ignore({name});
  top.finish();
  if (!context.error.ok()) return context.error;
  out.warnings = std::move(context.warnings);
  return out;
}

absl::StatusOr<SwanctlConfig> read_swanctl_file(const std::string& file, bool lenient) {
  auto source = read_file(file);
  if (!source.ok()) return source.status();
  auto out = read_swanctl(std::move(*source), read_included, lenient);
  if (out.ok()) out->options.directory = std::filesystem::path(file).parent_path().string();
  return out;
}

}  // namespace winze::config
