// Takes a configuration object apart key by key. The keys that are asked for are the known ones; finish() complains
// about the others. The first error stays in the Context, and everything after it is harmless.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "json_value.h"
#include "winze/base/ascii.h"  // keys and words count in any case
#include "winze/base/secret.h"
#include "winze/base/time.h"
#include "winze/config/v2ray_json.h"

namespace winze::config {

struct Context {
  std::span<const Source> sources;
  const ReadOptions& options;
  absl::Status error;
  std::vector<std::string> warnings;
  bool unused = false;  // what is being read has no use: what is wrong with it is a warning

  void fail(const std::string& path, std::string_view message, const JsonValue& at);
  void warn(const std::string& path, std::string_view message, const JsonValue& at);
  // An error at the key of `member`; with ReadOptions::lenient a warning.
  void complain(const std::string& path, std::string_view message, const JsonValue& member);
};

class ObjectReader {
 public:
  // `value` may be null (the key is absent): then every getter finds nothing, and errors point at `around`.
  ObjectReader(Context& context, const JsonValue* value, std::string path, const JsonValue* around = nullptr);

  const std::string& path() const { return path_; }
  std::string path(std::string_view key) const;
  bool present() const { return object_ != nullptr; }

  // The member, or null; JSON null counts as absent. Of several the last, as Go's decoder has it.
  const JsonValue* find(std::string_view key);
  ObjectReader object(std::string_view key);
  // Calls for each element of an array of objects, with a reader that is finished afterwards.
  void objects(std::string_view key, const std::function<void(ObjectReader&)>& each);

  // Calls for the only element of an array of objects, if there is one; several are an error. `what`: "servers".
  void only(std::string_view key, std::string_view what, const std::function<void(ObjectReader&)>& read);
  // Has a member read that is not used here, as `why` says.
  void unused(std::string_view key, std::string_view why, const std::function<void(ObjectReader)>& read);

  std::string string(std::string_view key, std::string_view otherwise = {});
  // A string that no message shows.
  Secret secret(std::string_view key);
  bool boolean(std::string_view key, bool otherwise = false);
  // A number, or a string of digits, within [low, high].
  std::int64_t integer(std::string_view key, std::int64_t low, std::int64_t high, std::int64_t otherwise);
  // A number, or a string: digits, "env:NAME"; `range` also takes "from-to". {0, 0} when the key is absent.
  std::pair<std::uint16_t, std::uint16_t> ports(std::string_view key, std::uint16_t lowest, bool range);
  std::uint16_t port(std::string_view key) { return ports(key, 1, false).first; }
  Duration seconds(std::string_view key, Duration otherwise);
  // An array of strings, or one string with commas.
  std::vector<std::string> strings(std::string_view key);
  // Fields of an HTTP head; name: value, or name: [value, ...].
  std::vector<std::pair<std::string, std::string>> headers(std::string_view key);
  // One of the given words, in any case; its index. An empty string counts as absent.
  std::size_t word(std::string_view key, std::span<const std::string_view> words, std::size_t otherwise);

  // Calls for each member whose name begins with `prefix` and that is an object, with what follows the prefix, in the
  // order of the text; the reader is finished afterwards.
  void sections(std::string_view prefix, const std::function<void(ObjectReader&, const std::string& suffix)>& each);
  // The same for the texts among the members.
  void texts(std::string_view prefix, const std::function<void(std::string)>& each);

  // Keys that mean nothing here.
  void ignore_all();
  void ignore(std::initializer_list<std::string_view> keys);
  // Keys of V2Ray's or Xray's that are not supported: an error when they say anything, which false, 0, "", {}, [] and
  // null do not.
  void refuse(std::string_view key, std::string_view why);
  void refuse(std::initializer_list<std::string_view> keys, std::string_view why);
  void fail(std::string_view key, std::string_view message);
  void warn(std::string_view key, std::string_view message);
  // The same as refuse() for what only tunes: a warning.
  void pass_over(std::string_view key, std::string_view why);
  // To be called last.
  void finish();

 private:
  void wrong_kind(const JsonValue& value, std::string_view key, std::string_view wanted);
  const JsonValue* find_saying(std::string_view key);
  void check_field(const JsonValue& value, std::string_view key, std::string_view name, std::string_view text);

  Context& context_;
  const JsonValue* object_ = nullptr;
  const JsonValue* around_ = nullptr;  // where errors about absent keys point
  std::string path_;
  std::set<std::string, std::less<>> asked_;
};

}  // namespace winze::config
