#include "object_reader.h"

#include <algorithm>
#include <charconv>

namespace winze::config {
namespace {

// Levenshtein distance.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row.back();
}

std::string message_at(const Context& context, const std::string& path, std::string_view message, int source,
                       std::size_t offset) {
  const Source& from = context.sources[static_cast<std::size_t>(source)];
  const std::string subject = path.empty() ? std::string() : path + ": ";
  return subject + std::string(message) + " (" + place(from.name, from.text, offset) + ")";
}

}  // namespace

void Context::fail(const std::string& path, std::string_view message, const JsonValue& at) {
  if (unused) return warn(path, message, at);
  if (error.ok()) error = absl::InvalidArgumentError(message_at(*this, path, message, at.source, at.at));
}

void Context::warn(const std::string& path, std::string_view message, const JsonValue& at) {
  warnings.push_back(message_at(*this, path, message, at.source, at.at));
}

void Context::complain(const std::string& path, std::string_view message, const JsonValue& member) {
  std::string text = message_at(*this, path, message, member.source, member.key_at);
  if (options.lenient || unused) {
    warnings.push_back(std::move(text));
  } else if (error.ok()) {
    error = absl::InvalidArgumentError(text);
  }
}

ObjectReader::ObjectReader(Context& context, const JsonValue* value, std::string path, const JsonValue* around)
    : context_(context), around_(value != nullptr ? value : around), path_(std::move(path)) {
  if (value == nullptr) return;
  if (value->kind == JsonValue::Kind::kObject) {
    object_ = value;
  } else {
    context_.fail(path_, "expected an object, found " + describe(*value), *value);
  }
}

std::string ObjectReader::path(std::string_view key) const {
  return path_.empty() ? std::string(key) : path_ + "." + std::string(key);
}

const JsonValue* ObjectReader::find(std::string_view key) {
  asked_.emplace(key);
  if (object_ == nullptr) return nullptr;
  const std::string wanted = lower(key);
  const JsonValue* found = nullptr;
  for (const JsonValue& member : object_->members) {
    if (member.name.size() == wanted.size() && lower(member.name) == wanted && member.kind != JsonValue::Kind::kNull) {
      found = &member;
    }
  }
  return found;
}

ObjectReader ObjectReader::object(std::string_view key) {
  return ObjectReader(context_, find(key), path(key), around_);
}

void ObjectReader::objects(std::string_view key, const std::function<void(ObjectReader&)>& each) {
  const JsonValue* value = find(key);
  if (value == nullptr) return;
  if (value->kind != JsonValue::Kind::kArray) return wrong_kind(*value, key, "an array of objects");
  for (std::size_t i = 0; i < value->items.size(); ++i) {
    ObjectReader element(context_, &value->items[i], path(key) + "[" + std::to_string(i) + "]");
    each(element);
    element.finish();
  }
}

void ObjectReader::only(std::string_view key, std::string_view what, const std::function<void(ObjectReader&)>& read) {
  const JsonValue* value = find(key);
  if (value != nullptr && value->items.size() > 1) {
    return fail(key, "several " + std::string(what) + " in one outbound are not supported; use one");
  }
  objects(key, read);
}

void ObjectReader::unused(std::string_view key, std::string_view why, const std::function<void(ObjectReader)>& read) {
  if (find(key) == nullptr) return;
  warn(key, why);
  const bool around = std::exchange(context_.unused, true);
  read(object(key));
  context_.unused = around;
}

std::string ObjectReader::string(std::string_view key, std::string_view otherwise) {
  const JsonValue* value = find(key);
  if (value == nullptr) return std::string(otherwise);
  if (value->kind != JsonValue::Kind::kString) wrong_kind(*value, key, "a string");
  return value->text;
}

Secret ObjectReader::secret(std::string_view key) {
  const JsonValue* value = find(key);
  if (value == nullptr) return {};
  if (value->kind != JsonValue::Kind::kString) fail(key, "expected a string, in quotation marks");
  return Secret(std::string_view(value->text));
}

bool ObjectReader::boolean(std::string_view key, bool otherwise) {
  const JsonValue* value = find(key);
  if (value == nullptr) return otherwise;
  if (value->kind != JsonValue::Kind::kBool) wrong_kind(*value, key, "true or false");
  return value->boolean;
}

std::int64_t ObjectReader::integer(std::string_view key, std::int64_t low, std::int64_t high, std::int64_t otherwise) {
  const JsonValue* value = find(key);
  if (value == nullptr) return otherwise;
  std::int64_t number = value->integer;
  bool fits = value->kind == JsonValue::Kind::kInteger;
  if (value->kind == JsonValue::Kind::kString) {
    const std::string& text = value->text;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    fits = error == std::errc() && end == text.data() + text.size();
  }
  if (fits && number >= low && number <= high) return number;
  wrong_kind(*value, key, "a whole number from " + std::to_string(low) + " to " + std::to_string(high));
  return otherwise;
}

std::pair<std::uint16_t, std::uint16_t> ObjectReader::ports(std::string_view key, std::uint16_t lowest, bool range) {
  const JsonValue* value = find(key);
  if (value == nullptr) return {};
  std::string text = value->kind == JsonValue::Kind::kInteger ? std::to_string(value->integer) : value->text;
  if (text.starts_with("env:")) {
    const auto& environment = context_.options.environment;
    const auto set = environment ? environment(text.substr(4)) : std::nullopt;
    if (!set) {
      fail(key, "the variable " + text.substr(4) + " is not set");
      return {};
    }
    text = *set;
  }
  const std::size_t dash = range ? std::min(text.find('-'), text.size()) : text.size();
  const auto number = [](std::string_view digits, std::uint16_t& out) {
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), out);
    return error == std::errc() && end == digits.data() + digits.size();
  };
  std::uint16_t from = 0, to = 0;
  const std::string_view view = text;
  bool fits = number(view.substr(0, dash), from);
  to = from;
  if (dash < text.size()) fits = fits && number(view.substr(dash + 1), to) && from > 0;
  if (fits && from >= lowest && to >= from) return {from, to};
  wrong_kind(
      *value, key,
      "a port from " + std::to_string(lowest) + " to 65535" + (range ? ", or a range such as \"1000-1003\"" : ""));
  return {};
}

Duration ObjectReader::seconds(std::string_view key, Duration otherwise) {
  const auto fallback = std::chrono::duration_cast<std::chrono::seconds>(otherwise).count();
  return std::chrono::seconds(integer(key, 0, UINT32_MAX, fallback));
}

std::vector<std::string> ObjectReader::strings(std::string_view key) {
  std::vector<std::string> out;
  const JsonValue* value = find(key);
  if (value == nullptr) return out;
  if (value->kind == JsonValue::Kind::kString) {
    std::string_view rest = value->text;
    while (!rest.empty()) {
      const std::size_t comma = std::min(rest.find(','), rest.size());
      std::string_view part = rest.substr(0, comma);
      while (part.starts_with(' ')) part.remove_prefix(1);
      while (part.ends_with(' ')) part.remove_suffix(1);
      if (!part.empty()) out.emplace_back(part);
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
    return out;
  }
  if (value->kind != JsonValue::Kind::kArray) wrong_kind(*value, key, "an array of strings");
  for (std::size_t i = 0; i < value->items.size(); ++i) {
    const JsonValue& item = value->items[i];
    if (item.kind != JsonValue::Kind::kString) {
      wrong_kind(item, std::string(key) + "[" + std::to_string(i) + "]", "a string");
    }
    out.push_back(item.text);
  }
  return out;
}

// What is put into a head must not end its line (RFC 9110 §5.1, §5.5).
void ObjectReader::check_field(const JsonValue& value, std::string_view key, std::string_view name,
                               std::string_view text) {
  constexpr std::string_view kTokenMarks = "!#$%&'*+-.^_`|~";
  const auto in_token = [&](char c) {
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
           kTokenMarks.find(c) != kTokenMarks.npos;
  };
  const auto in_text = [](char c) { return c == '\t' || (static_cast<unsigned char>(c) >= ' ' && c != 0x7f); };
  const std::string where = path(key) + "." + std::string(name);
  if (name.empty() || !std::ranges::all_of(name, in_token)) {
    context_.fail(path(key), in_quotes(name) + " is not the name of a header: letters, digits and hyphens", value);
  }
  if (!std::ranges::all_of(text, in_text)) context_.fail(where, "a header has no control characters", value);
}

std::vector<std::pair<std::string, std::string>> ObjectReader::headers(std::string_view key) {
  std::vector<std::pair<std::string, std::string>> out;
  const JsonValue* value = find(key);
  if (value == nullptr) return out;
  if (value->kind != JsonValue::Kind::kObject) wrong_kind(*value, key, "an object of strings");
  for (const JsonValue& member : value->members) {
    const std::string& name = member.name;
    const bool one = member.kind == JsonValue::Kind::kString;
    const std::span<const JsonValue> items = one ? std::span(&member, 1) : std::span(member.items);
    const std::string where = std::string(key) + "." + name;
    if (!one && member.kind != JsonValue::Kind::kArray) wrong_kind(member, where, "a string, or an array of strings");
    for (const JsonValue& item : items) {
      if (item.kind != JsonValue::Kind::kString) wrong_kind(item, where, "a string, or an array of strings");
      check_field(item, key, name, item.text);
      out.emplace_back(name, item.text);
    }
  }
  return out;
}

std::size_t ObjectReader::word(std::string_view key, std::span<const std::string_view> words, std::size_t otherwise) {
  const JsonValue* value = find(key);
  if (value == nullptr) return otherwise;
  const bool is_text = value->kind == JsonValue::Kind::kString;
  if (is_text && value->text.empty()) return otherwise;
  const std::string found = lower(value->text);
  std::string accepted;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (is_text && found == lower(words[i])) return i;
    accepted += (i == 0 ? "\"" : ", \"") + std::string(words[i]) + "\"";
  }
  wrong_kind(*value, key, "one of " + accepted);
  return otherwise;
}

void ObjectReader::sections(std::string_view prefix,
                            const std::function<void(ObjectReader&, const std::string&)>& each) {
  if (!prefix.empty()) asked_.emplace(prefix);
  if (object_ == nullptr) return;
  for (const JsonValue& member : object_->members) {
    if (!lower(member.name).starts_with(prefix) || member.kind == JsonValue::Kind::kNull) continue;
    if (member.kind != JsonValue::Kind::kObject) {
      // With something behind the prefix it may be a key of its own.
      if (prefix.empty() || member.name.size() == prefix.size()) wrong_kind(member, member.name, "a section");
      continue;
    }
    asked_.emplace(member.name);
    ObjectReader section(context_, &member, path(member.name));
    each(section, member.name.substr(prefix.size()));
    section.finish();
  }
}

void ObjectReader::texts(std::string_view prefix, const std::function<void(std::string)>& each) {
  if (object_ == nullptr) return;
  for (const JsonValue& member : object_->members) {
    if (member.kind == JsonValue::Kind::kString && lower(member.name).starts_with(prefix)) each(string(member.name));
  }
}

void ObjectReader::ignore_all() {
  if (object_ == nullptr) return;
  for (const JsonValue& member : object_->members) asked_.emplace(member.name);
}

void ObjectReader::ignore(std::initializer_list<std::string_view> keys) {
  for (std::string_view key : keys) (void)find(key);
}

// The member, unless it says nothing.
const JsonValue* ObjectReader::find_saying(std::string_view key) {
  const JsonValue* value = find(key);
  if (value == nullptr) return nullptr;
  using Kind = JsonValue::Kind;
  const bool says_nothing =
      (value->kind == Kind::kBool && !value->boolean) || (value->kind == Kind::kInteger && value->integer == 0) ||
      (value->kind == Kind::kString && value->text.empty()) || (value->kind == Kind::kArray && value->items.empty()) ||
      (value->kind == Kind::kObject && value->members.empty());
  return says_nothing ? nullptr : value;
}

void ObjectReader::refuse(std::string_view key, std::string_view why) {
  if (find_saying(key) != nullptr) fail(key, why);
}

void ObjectReader::pass_over(std::string_view key, std::string_view why) {
  if (find_saying(key) != nullptr) warn(key, why);
}

void ObjectReader::refuse(std::initializer_list<std::string_view> keys, std::string_view why) {
  for (std::string_view key : keys) refuse(key, why);
}

void ObjectReader::fail(std::string_view key, std::string_view message) {
  const JsonValue* value = find(key);
  if (value == nullptr) value = around_;
  if (value != nullptr) context_.fail(path(key), message, *value);
}

void ObjectReader::warn(std::string_view key, std::string_view message) {
  if (const JsonValue* value = find(key)) context_.warn(path(key), message, *value);
}

void ObjectReader::finish() {
  if (object_ == nullptr) return;
  std::set<std::string> seen;
  for (const JsonValue& member : object_->members) {
    const std::string written = lower(member.name);
    const std::string where = path(std::string_view(member.name).substr(0, 60));
    if (!seen.insert(written).second) context_.complain(where, "this key is there twice", member);
    if (std::ranges::any_of(asked_, [&](const std::string& key) { return lower(key) == written; })) continue;
    std::string message = "unknown key";
    std::size_t nearest = std::max<std::size_t>(2, written.size() / 3) + 1;
    for (const std::string& key : asked_) {
      // Far apart in length is far apart.
      if (written.size() > key.size() + nearest) continue;
      const std::size_t apart = distance(lower(key), written);
      if (apart >= nearest) continue;
      nearest = apart;
      message = "unknown key; did you mean \"" + key + "\"?";
    }
    context_.complain(where, message, member);
  }
}

void ObjectReader::wrong_kind(const JsonValue& value, std::string_view key, std::string_view wanted) {
  context_.fail(path(key), "expected " + std::string(wanted) + ", found " + describe(value), value);
}

}  // namespace winze::config
