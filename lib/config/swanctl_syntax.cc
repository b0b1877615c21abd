#include "swanctl_syntax.h"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

namespace winze::config {
namespace {

constexpr int kDeepest = 16;                 // sections, references and includes within each other
constexpr std::size_t kMostValues = 100000;  // once references are followed

bool is_name(char c) { return std::string_view("#{}:.,=\"\r\n\t ").find(c) == std::string_view::npos && c != '\0'; }

JsonValue* member_of(JsonValue& section, std::string_view name) {
  const auto found = std::ranges::find(section.members, name, &JsonValue::name);
  return found == section.members.end() ? nullptr : &*found;
}

// What a section refers to, by the place of its key.
struct Reference {
  int source;
  std::size_t key_at;
  std::vector<std::string> names;
};

class Parser {
 public:
  Parser(std::vector<Source>& sources, const IncludeReader& include, std::vector<Reference>& references, int number,
         int depth)
      : sources_(sources),
        include_(include),
        references_(references),
        number_(number),
        depth_(depth),
        text_(sources[static_cast<std::size_t>(number)].text) {}

  absl::Status parse(JsonValue& root) {
    if (absl::Status status = statements(root, 0); !status.ok()) return status;
    return skip(true), at_end() ? absl::OkStatus() : error("\"}\" without a section that it ends");
  }

 private:
  bool at_end() const { return at_ >= text_.size(); }
  char peek() const { return at_end() ? '\0' : text_[at_]; }

  // Blanks and comments; and line ends.
  void skip(bool lines) {
    while (!at_end()) {
      const char c = text_[at_];
      if (c == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (c == ' ' || c == '\t' || c == '\r' || (lines && c == '\n')) {
        ++at_;
      } else {
        return;
      }
    }
  }

  absl::Status error(const std::string& message) { return error(message, std::min(at_, text_.size())); }
  absl::Status error(const std::string& message, std::size_t at) {
    const Source& source = sources_[static_cast<std::size_t>(number_)];
    return absl::InvalidArgumentError(message + " (" + place(source.name, source.text, at) + ")");
  }
  std::string found() const { return at_end() ? "the end of the file" : in_quotes(text_.substr(at_, 1)); }

  std::string_view name() {
    const std::size_t begin = at_;
    while (!at_end() && is_name(text_[at_])) ++at_;
    return std::string_view(text_).substr(begin, at_ - begin);
  }

  // Up to the section's end, or the file's.
  absl::Status statements(JsonValue& section, int depth) {
    while (true) {
      skip(true);
      if (at_end() || peek() == '}') return absl::OkStatus();
      const std::size_t begin = at_;
      const std::string key(name());
      if (key.empty()) return error("expected a section, a key or \"}\", found " + found());
      absl::Status status = statement(section, key, begin, depth);
      if (!status.ok()) return status;
    }
  }

  absl::Status statement(JsonValue& section, const std::string& key, std::size_t begin, int depth) {
    const bool blank = peek() == ' ' || peek() == '\t';
    skip(false);
    if (peek() == '=') return ++at_, value(section, key, begin);
    if (key == "include" && blank && peek() != '{' && peek() != ':' && peek() != '\n') return include(section, depth);
    std::vector<std::string> names;
    if (peek() == ':') {
      ++at_;
      if (absl::Status status = references(names); !status.ok()) return status;
    }
    skip(true);
    if (peek() != '{') return error("expected \"=\" or \"{\" behind " + in_quotes(key) + ", found " + found());
    if (depth >= kDeepest) return error("sections are nested too deeply");
    const std::size_t at = at_++;
    JsonValue* inner = member_of(section, key);
    if (inner == nullptr || inner->kind != JsonValue::Kind::kObject) {
      inner = &replace(section, key, begin);
      inner->kind = JsonValue::Kind::kObject;
      inner->at = at;
    }
    if (!names.empty()) references_.push_back({inner->source, inner->key_at, std::move(names)});
    if (absl::Status status = statements(*inner, depth + 1); !status.ok()) return status;
    if (at_end()) return error("the section " + in_quotes(key) + " that begins here has no end", begin);
    ++at_;
    return absl::OkStatus();
  }

  absl::Status references(std::vector<std::string>& names) {
    while (true) {
      skip(false);
      std::string path(name());
      while (peek() == '.') {
        ++at_;
        path += "." + std::string(name());
      }
      if (path.empty() || path.back() == '.') return error("expected a section's name, found " + found());
      names.push_back(std::move(path));
      skip(false);
      if (peek() != ',') return absl::OkStatus();
      ++at_;
    }
  }

  JsonValue& replace(JsonValue& section, const std::string& key, std::size_t begin) {
    JsonValue* member = member_of(section, key);
    if (member == nullptr) member = &section.members.emplace_back();
    *member = JsonValue{.name = key, .key_at = begin, .source = number_};
    return *member;
  }

  absl::Status value(JsonValue& section, const std::string& key, std::size_t begin) {
    std::string text;
    bool any = false, quoted = false;
    skip_blanks();
    const std::size_t at = at_;
    while (!at_end() && peek() != '\n' && peek() != '}' && peek() != '#') {
      if (any) text += ' ';
      any = true;
      if (peek() == '"') {
        quoted = true;
        if (absl::Status status = string(text); !status.ok()) return status;
      } else {
        while (!at_end() && std::string_view("#}\"\r\n\t ").find(peek()) == std::string_view::npos)
          text += text_[at_++];
      }
      skip_blanks();
    }
    JsonValue& member = replace(section, key, begin);
    member.kind = any && (quoted || !text.empty()) ? JsonValue::Kind::kString : JsonValue::Kind::kNull;
    member.text = std::move(text);
    member.at = std::min(at, text_.size());
    return absl::OkStatus();
  }

  void skip_blanks() {
    while (peek() == ' ' || peek() == '\t' || peek() == '\r') ++at_;
  }

  absl::Status string(std::string& out) {
    const std::size_t begin = at_++;
    while (!at_end() && peek() != '"') {
      char c = text_[at_++];
      if (c == '\\' && !at_end()) {
        c = text_[at_++];
        if (c == '\r' && peek() == '\n') c = text_[at_++];
        if (c == '\n') continue;  // lines are joined
        c = c == 'n' ? '\n' : c == 'r' ? '\r' : c == 't' ? '\t' : c;
      }
      out += c;
    }
    if (at_end()) return error("the string that begins here has no end", begin);
    ++at_;
    return absl::OkStatus();
  }

  absl::Status include(JsonValue& section, int depth) {
    const std::size_t begin = at_;
    std::string pattern;
    if (peek() == '"') {
      if (absl::Status status = string(pattern); !status.ok()) return status;
    } else {
      while (!at_end() && std::string_view("#{}\"\r\n\t ").find(peek()) == std::string_view::npos) {
        pattern += text_[at_++];
      }
    }
    if (!include_) return error("include is not read here: no files are at hand", begin);
    if (depth_ >= kDeepest) return error("files include each other too deeply", begin);
    auto files = include_(pattern, sources_[static_cast<std::size_t>(number_)].name);
    if (!files.ok()) return error(std::string(files.status().message()), begin);
    for (Source& file : *files) {
      if (sources_.size() >= 1000) return error("too many files are included", begin);
      sources_.push_back(std::move(file));
      Parser inner(sources_, include_, references_, static_cast<int>(sources_.size()) - 1, depth_ + 1);
      if (absl::Status status = inner.parse_within(section, depth); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status parse_within(JsonValue& section, int depth) {
    if (absl::Status status = statements(section, depth); !status.ok()) return status;
    return at_end() ? absl::OkStatus() : error("\"}\" without a section that it ends");
  }

  std::vector<Source>& sources_;
  const IncludeReader& include_;
  std::vector<Reference>& references_;
  int number_;
  int depth_;
  const std::string text_;  // a copy: `sources_` grows
  std::size_t at_ = 0;
};

// Gives sections what they refer to.
class Resolver {
 public:
  Resolver(const std::vector<Source>& sources, const std::vector<Reference>& references, const JsonValue& root)
      : sources_(sources), references_(references), root_(root) {}

  absl::Status resolve(JsonValue& section, int depth) {
    if (depth > kDeepest) return error("references are nested too deeply, or go round in circles", section);
    if (++values_ > kMostValues) return error("references make too much of this", section);
    for (const Reference& reference : references_) {
      if (reference.source != section.source || reference.key_at != section.key_at || section.name.empty()) continue;
      for (const std::string& name : reference.names) {
        const JsonValue* target = find(name);
        if (target == nullptr) {
          return error("there is no section " + in_quotes(name) + " to refer to", section);
        }
        JsonValue copy = *target;
        if (absl::Status status = resolve(copy, depth + 1); !status.ok()) return status;
        if (absl::Status status = merge(section, copy); !status.ok()) return status;
      }
    }
    for (JsonValue& member : section.members) {
      if (member.kind != JsonValue::Kind::kObject) continue;
      if (absl::Status status = resolve(member, depth + 1); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  std::vector<std::string> referenced;

 private:
  const JsonValue* find(std::string_view path) {
    const JsonValue* at = &root_;
    referenced.emplace_back(path.substr(0, path.find('.')));
    while (!path.empty()) {
      const std::size_t dot = std::min(path.find('.'), path.size());
      const auto next = std::ranges::find(at->members, path.substr(0, dot), &JsonValue::name);
      if (next == at->members.end() || next->kind != JsonValue::Kind::kObject) return nullptr;
      at = &*next;
      path.remove_prefix(std::min(dot + 1, path.size()));
    }
    return at;
  }

  absl::Status merge(JsonValue& into, const JsonValue& from) {
    for (const JsonValue& member : from.members) {
      if (++values_ > kMostValues) return error("references make too much of this", into);
      JsonValue* own = member_of(into, member.name);
      if (own == nullptr) {
        into.members.push_back(member);
      } else if (own->kind == JsonValue::Kind::kObject && member.kind == JsonValue::Kind::kObject) {
        if (absl::Status status = merge(*own, member); !status.ok()) return status;
      }
    }
    return absl::OkStatus();
  }

  absl::Status error(const std::string& message, const JsonValue& at) {
    const Source& source = sources_[static_cast<std::size_t>(at.source)];
    return absl::InvalidArgumentError(at.name + ": " + message + " (" + place(source.name, source.text, at.key_at) +
                                      ")");
  }

  const std::vector<Source>& sources_;
  const std::vector<Reference>& references_;
  const JsonValue& root_;
  std::size_t values_ = 0;
};

}  // namespace

absl::Status parse_swanctl(std::vector<Source>& sources, const IncludeReader& include, JsonValue& root,
                           std::vector<std::string>& referenced) {
  root.kind = JsonValue::Kind::kObject;
  std::vector<Reference> references;
  if (absl::Status status = Parser(sources, include, references, 0, 0).parse(root); !status.ok()) return status;
  if (references.empty()) return absl::OkStatus();
  const JsonValue original = root;
  Resolver resolver(sources, references, original);
  absl::Status status = resolver.resolve(root, 0);
  referenced = std::move(resolver.referenced);
  return status;
}

}  // namespace winze::config
