#include "object_reader.h"

#include <algorithm>
#include <charconv>

namespace winze::config {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

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

}  // namespace

void Context::fail(const std::string& path, std::string_view message, const JsonValue& at) {
  if (!error.ok()) return;
  const Source& source = sources[static_cast<std::size_t>(at.source)];
  error = absl::InvalidArgumentError(path + ": " + std::string(message) + " (" +
                                     place(source.name, source.text, at.at) + ")");
}

void Context::fail_key(const std::string& path, std::string_view message, const JsonValue& member) {
  JsonValue at;
  at.at = member.key_at;
  at.source = member.source;
  fail(path, message, at);
}

void Context::warn(const std::string& path, std::string_view message, const JsonValue& at) {
  const Source& source = sources[static_cast<std::size_t>(at.source)];
  warnings.push_back(path + ": " + std::string(message) + " (" + place(source.name, source.text, at.at) + ")");
}

ObjectReader::ObjectReader(Context& context, const JsonValue* value, std::string path)
    : context_(context), value_(value), path_(std::move(path)) {
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
  for (const auto& [name, member] : object_->members) {
    if (lower(name) == wanted) return member.kind == JsonValue::Kind::kNull ? nullptr : &member;
  }
  return nullptr;
}

ObjectReader ObjectReader::object(std::string_view key) { return ObjectReader(context_, find(key), path(key)); }

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

std::string ObjectReader::string(std::string_view key, std::string_view otherwise) {
  const JsonValue* value = find(key);
  if (value == nullptr) return std::string(otherwise);
  if (value->kind != JsonValue::Kind::kString) wrong_kind(*value, key, "a string");
  return value->text;
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

Duration ObjectReader::seconds(std::string_view key, Duration otherwise) {
  const auto fallback = std::chrono::duration_cast<std::chrono::seconds>(otherwise).count();
  return std::chrono::seconds(integer(key, 0, 30 * 24 * 3600, fallback));
}

std::vector<std::string> ObjectReader::strings(std::string_view key) {
  std::vector<std::string> out;
  const JsonValue* value = find(key);
  if (value == nullptr) return out;
  if (value->kind == JsonValue::Kind::kString) {
    for (std::size_t from = 0; from <= value->text.size();) {
      const std::size_t comma = std::min(value->text.find(',', from), value->text.size());
      if (comma > from) out.push_back(value->text.substr(from, comma - from));
      from = comma + 1;
    }
    return out;
  }
  if (value->kind != JsonValue::Kind::kArray) wrong_kind(*value, key, "an array of strings");
  for (const JsonValue& item : value->items) {
    if (item.kind != JsonValue::Kind::kString) wrong_kind(item, key, "strings");
    out.push_back(item.text);
  }
  return out;
}

std::vector<std::pair<std::string, std::string>> ObjectReader::headers(std::string_view key) {
  std::vector<std::pair<std::string, std::string>> out;
  const JsonValue* value = find(key);
  if (value == nullptr) return out;
  if (value->kind != JsonValue::Kind::kObject) wrong_kind(*value, key, "an object of strings");
  for (const auto& [name, member] : value->members) {
    if (member.kind == JsonValue::Kind::kString) {
      out.emplace_back(name, member.text);
    } else if (member.kind == JsonValue::Kind::kArray) {
      for (const JsonValue& item : member.items) {
        if (item.kind != JsonValue::Kind::kString) wrong_kind(item, key, "strings");
        out.emplace_back(name, item.text);
      }
    } else {
      wrong_kind(member, key, "an object of strings");
    }
  }
  return out;
}

std::size_t ObjectReader::word(std::string_view key, std::span<const std::string_view> words, std::size_t otherwise) {
  const JsonValue* value = find(key);
  if (value == nullptr) return otherwise;
  const std::string found = lower(value->text);
  std::string accepted;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (value->kind == JsonValue::Kind::kString && found == lower(words[i])) return i;
    accepted += (i == 0 ? "\"" : ", \"") + std::string(words[i]) + "\"";
  }
  wrong_kind(*value, key, "one of " + accepted);
  return otherwise;
}

void ObjectReader::ignore(std::initializer_list<std::string_view> keys) {
  for (std::string_view key : keys) (void)find(key);
}

void ObjectReader::refuse(std::string_view key, std::string_view why) {
  if (find(key) != nullptr) fail(key, why);
}

void ObjectReader::fail(std::string_view key, std::string_view message) {
  const JsonValue* value = find(key);
  if (value != nullptr || value_ != nullptr) context_.fail(path(key), message, value != nullptr ? *value : *value_);
}

void ObjectReader::warn(std::string_view key, std::string_view message) {
  if (const JsonValue* value = find(key)) context_.warn(path(key), message, *value);
}

void ObjectReader::finish() {
  if (object_ == nullptr) return;
  for (const auto& [name, member] : object_->members) {
    const std::string written = lower(name);
    if (std::ranges::any_of(asked_, [&](const std::string& key) { return lower(key) == written; })) continue;
    const auto nearest =
        std::ranges::min_element(asked_, {}, [&](const std::string& key) { return distance(lower(key), written); });
    std::string message = "unknown key";
    if (nearest != asked_.end() && distance(lower(*nearest), written) <= std::max<std::size_t>(2, written.size() / 3)) {
      message += "; did you mean \"" + *nearest + "\"?";
    }
    if (context_.lenient) {
      context_.warn(path(name), message, member);
    } else {
      context_.fail_key(path(name), message, member);
    }
  }
}

void ObjectReader::wrong_kind(const JsonValue& value, std::string_view key, std::string_view wanted) {
  context_.fail(path(key), "expected " + std::string(wanted) + ", found " + describe(value), value);
}

}  // namespace winze::config
