// Takes a configuration object apart key by key. The keys that are asked for are the known ones; finish() complains
// about the others. The first error stays in the Context, and everything after it is harmless.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "json_value.h"
#include "winze/base/time.h"
#include "winze/config/v2ray_json.h"

namespace winze::config {

struct Context {
  std::span<const Source> sources;
  bool lenient = false;
  absl::Status error;
  std::vector<std::string> warnings;

  void fail(const std::string& path, std::string_view message, const JsonValue& at);
  void fail_key(const std::string& path, std::string_view message, const JsonValue& member);
  void warn(const std::string& path, std::string_view message, const JsonValue& at);
};

class ObjectReader {
 public:
  // `value` may be null (the key is absent): then every getter finds nothing.
  ObjectReader(Context& context, const JsonValue* value, std::string path);

  const std::string& path() const { return path_; }
  std::string path(std::string_view key) const;
  bool present() const { return object_ != nullptr; }

  // The member, or null; JSON null counts as absent.
  const JsonValue* find(std::string_view key);
  ObjectReader object(std::string_view key);
  // Calls for each element of an array of objects, with a reader that is finished afterwards.
  void objects(std::string_view key, const std::function<void(ObjectReader&)>& each);

  std::string string(std::string_view key, std::string_view otherwise = {});
  bool boolean(std::string_view key, bool otherwise = false);
  // A number, or a string of digits, within [low, high].
  std::int64_t integer(std::string_view key, std::int64_t low, std::int64_t high, std::int64_t otherwise);
  Duration seconds(std::string_view key, Duration otherwise);
  // An array of strings, or one string with commas.
  std::vector<std::string> strings(std::string_view key);
  // name: value, or name: [value, ...].
  std::vector<std::pair<std::string, std::string>> headers(std::string_view key);
  // One of the given words, in any case; its index.
  std::size_t word(std::string_view key, std::span<const std::string_view> words, std::size_t otherwise);

  // Keys that mean nothing here.
  void ignore(std::initializer_list<std::string_view> keys);
  // A key of V2Ray's or Xray's that is not supported: an error when it is there.
  void refuse(std::string_view key, std::string_view why);
  void fail(std::string_view key, std::string_view message);
  void warn(std::string_view key, std::string_view message);
  // To be called last.
  void finish();

 private:
  void wrong_kind(const JsonValue& value, std::string_view key, std::string_view wanted);

  Context& context_;
  const JsonValue* value_ = nullptr;
  const JsonValue* object_ = nullptr;
  std::string path_;
  std::set<std::string, std::less<>> asked_;
};

}  // namespace winze::config
