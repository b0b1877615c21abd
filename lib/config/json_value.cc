#include "json_value.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

namespace winze::config {
namespace {

constexpr std::size_t kDeepest = 64;

// The text with comments blanked, so that offsets stay. An unfinished /* is left for the parser to complain about.
std::string without_comments(std::string_view text) {
  std::string out(text);
  const auto blank = [&](std::size_t from, std::size_t to) {
    for (std::size_t i = from; i < to; ++i) {
      if (out[i] != '\n') out[i] = ' ';
    }
  };
  for (std::size_t i = 0; i < out.size();) {
    if (out[i] == '"') {
      for (++i; i < out.size() && out[i] != '"' && out[i] != '\n'; ++i) {
        if (out[i] == '\\') ++i;
      }
      ++i;
    } else if (out[i] == '#' || out.compare(i, 2, "//") == 0) {
      const std::size_t end = std::min(out.find('\n', i), out.size());
      blank(i, end);
      i = end;
    } else if (out.compare(i, 2, "/*") == 0 && out.find("*/", i + 2) != out.npos) {
      const std::size_t end = out.find("*/", i + 2) + 2;
      blank(i, end);
      i = end;
    } else {
      ++i;
    }
  }
  return out;
}

// Counts what the lexer has taken.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* at, std::size_t* count) : at_(at), count_(count) {}
  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    ++at_;
    ++*count_;
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator before = *this;
    ++*this;
    return before;
  }
  friend bool operator==(const CountingIterator& a, const CountingIterator& b) { return a.at_ == b.at_; }

 private:
  const char* at_;
  std::size_t* count_;
};

// Builds the tree from the parser's events (nlohmann's SAX interface, whose names these are).
class TreeBuilder : public nlohmann::json_sax<nlohmann::json> {
 public:
  TreeBuilder(std::string_view text, const std::size_t& taken, int source)
      : text_(text), taken_(taken), source_(source) {}

  JsonValue root;
  std::string error;
  std::size_t error_at = 0;

  bool null() override { return add(JsonValue::Kind::kNull, literal_start()) != nullptr; }
  bool boolean(bool value) override {
    add(JsonValue::Kind::kBool, literal_start())->boolean = value;
    return true;
  }
  bool number_integer(std::int64_t value) override {
    add(JsonValue::Kind::kInteger, literal_start())->integer = value;
    return true;
  }
  bool number_unsigned(std::uint64_t value) override {
    if (value > INT64_MAX) return number_float(static_cast<double>(value), {});
    return number_integer(static_cast<std::int64_t>(value));
  }
  bool number_float(double value, const std::string&) override {
    add(JsonValue::Kind::kReal, literal_start())->real = value;
    return true;
  }
  bool string(std::string& value) override {
    add(JsonValue::Kind::kString, string_start())->text = std::move(value);
    return true;
  }
  bool binary(nlohmann::json::binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(JsonValue::Kind::kObject); }
  bool start_array(std::size_t) override { return open(JsonValue::Kind::kArray); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(std::string& value) override {
    JsonValue& member = stack_.back()->members.emplace_back();
    member.name = std::move(value);
    member.key_at = string_start();
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception& e) override {
    std::string what = e.what();
    // "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error ...": the place is added here.
    if (const std::size_t colon = what.find(": "); colon != what.npos) what = what.substr(colon + 2);
    if (constexpr std::size_t kLongest = 200; what.size() > kLongest) what = what.substr(0, kLongest) + "...";
    return fail(std::move(what), position == 0 ? 0 : position - 1);
  }

 private:
  bool fail(std::string why, std::size_t where) {
    error = std::move(why);
    error_at = where;
    return false;
  }

  JsonValue* add(JsonValue::Kind kind, std::size_t start) {
    JsonValue* value = &root;
    if (!stack_.empty()) {
      JsonValue& parent = *stack_.back();
      value = parent.kind == JsonValue::Kind::kArray ? &parent.items.emplace_back() : &parent.members.back();
    }
    value->kind = kind;
    value->at = start;
    value->source = source_;
    return value;
  }

  bool open(JsonValue::Kind kind) {
    if (stack_.size() == kDeepest)
      return fail("nested more than " + std::to_string(kDeepest) + " levels deep", taken_ - 1);
    stack_.push_back(add(kind, taken_ - 1));
    return true;
  }
  bool close() {
    stack_.pop_back();
    return true;
  }

  // The lexer stands behind the token, behind a number by one character more.
  std::size_t string_start() const {
    std::size_t i = taken_ - 1;
    while (i > 0) {
      --i;
      if (text_[i] != '"') continue;
      std::size_t backslashes = 0;
      while (backslashes < i && text_[i - 1 - backslashes] == '\\') ++backslashes;
      if (backslashes % 2 == 0) break;
    }
    return i;
  }
  std::size_t literal_start() const {
    const auto belongs = [](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) || c == '+' || c == '-' || c == '.';
    };
    std::size_t i = std::min(taken_, text_.size());
    while (i > 0 && !belongs(text_[i - 1])) --i;
    while (i > 0 && belongs(text_[i - 1])) --i;
    return i;
  }

  std::string_view text_;
  const std::size_t& taken_;
  int source_;
  std::vector<JsonValue*> stack_;
};

// The line around an offset with a mark below the place, on lines of their own.
std::string excerpt(std::string_view text, std::size_t at) {
  constexpr std::size_t kBefore = 60, kAfter = 20;
  std::size_t from = at == 0 ? 0 : text.rfind('\n', at - 1) + 1;
  from = std::max(from, at - std::min(at, kBefore));
  const std::size_t to = std::min({text.find('\n', at), text.size(), at + kAfter});
  std::string line;
  for (char c : text.substr(from, to - from)) line += (c >= 0 && c < ' ') || c == 0x7f ? ' ' : c;
  return "\n  " + line + "\n  " + std::string(at - from, ' ') + "^";
}

}  // namespace

std::string in_quotes(std::string_view text) {
  constexpr std::size_t kLongest = 60;
  std::string out = "\"";
  for (char c : text.substr(0, kLongest)) out += (c >= 0 && c < ' ') || c == 0x7f ? '?' : c;
  return out + (text.size() > kLongest ? "...\"" : "\"");
}

std::string describe(const JsonValue& value) {
  switch (value.kind) {
    case JsonValue::Kind::kNull:
      return "null";
    case JsonValue::Kind::kBool:
      return value.boolean ? "true" : "false";
    case JsonValue::Kind::kInteger:
      return "the number " + std::to_string(value.integer);
    case JsonValue::Kind::kReal:
      return "the number " + std::to_string(value.real);
    case JsonValue::Kind::kString:
      return "the string " + in_quotes(value.text);
    case JsonValue::Kind::kArray:
      return "an array";
    case JsonValue::Kind::kObject:
      return "an object";
  }
  return "nothing";
}

std::string place(std::string_view name, std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, std::min(offset, text.size()));
  const auto line = 1 + std::ranges::count(before, '\n');
  const std::size_t newline = before.rfind('\n');
  const std::size_t column = before.size() - (newline == before.npos ? 0 : newline + 1) + 1;
  return std::string(name) + ":" + std::to_string(line) + ":" + std::to_string(column);
}

absl::StatusOr<JsonValue> parse_json(std::string_view name, std::string_view text, int source) {
  const std::string plain = without_comments(text);
  std::size_t taken = 0;
  TreeBuilder builder(plain, taken, source);
  const CountingIterator begin(plain.data(), &taken), end(plain.data() + plain.size(), &taken);
  if (nlohmann::json::sax_parse(begin, end, &builder)) return std::move(builder.root);
  const std::size_t at = std::min(builder.error_at, text.size());
  return absl::InvalidArgumentError(place(name, text, at) + ": " + builder.error + excerpt(text, at));
}

}  // namespace winze::config
