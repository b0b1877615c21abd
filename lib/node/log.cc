#include "winze/node/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

namespace winze::node {
namespace {

std::string_view name_of(Severity severity) {
  switch (severity) {
    case Severity::kDebug:
      return "debug";
    case Severity::kInfo:
      return "info";
    case Severity::kWarning:
      return "warning";
    case Severity::kError:
      return "error";
  }
  return "error";
}

// "2026-11-24T02:31:38.123Z"
std::string timestamp() {
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  char text[40];
  const std::size_t n = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  std::snprintf(text + n, sizeof text - n, ".%03dZ", static_cast<int>(ms));
  return text;
}

// The fields of one line, in order. Values with blanks, quotes or control characters are quoted in text.
class Line {
 public:
  Line(LogFormat format, Severity severity) : format_(format) {
    if (format_ == LogFormat::kJson) {
      add("time", timestamp());
      add("level", name_of(severity));
    } else {
      text_ = timestamp() + " " + std::string(name_of(severity));
    }
  }

  void add(const char* key, std::string_view value) {
    if (format_ == LogFormat::kJson) {
      json_[key] = value;
    } else {
      text_ += std::string(" ") + key + "=" + quoted(value);
    }
  }
  void add_if(const char* key, std::string_view value) {
    if (!value.empty()) add(key, value);
  }
  void add(const char* key, std::uint64_t value) {
    if (format_ == LogFormat::kJson) {
      json_[key] = value;
    } else {
      text_ += std::string(" ") + key + "=" + std::to_string(value);
    }
  }
  // Of a UDP association with everyone there is no one destination, of a connection that never asked none at all.
  void add_destination(const Destination& destination) {
    const bool udp = destination.network == Network::kUdp;
    const bool known = destination.port != 0;
    if (format_ == LogFormat::kJson) {
      if (known) add("to", destination.to_string());
      add_if("network", udp ? "udp" : known ? "tcp" : "");
    } else {
      add_if("to", (udp ? "udp:" : "") + (known ? destination.to_string() : udp ? "*" : ""));
    }
  }

  std::string finish() && {
    // Names from the wire may not be UTF-8.
    if (format_ == LogFormat::kJson) text_ = json_.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    return std::move(text_) + "\n";
  }

 private:
  static std::string quoted(std::string_view value) {
    bool plain = !value.empty();
    for (char c : value) plain = plain && c > ' ' && c != '"' && c != '=' && c != 0x7f;
    if (plain) return std::string(value);
    return nlohmann::json(value).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  }

  LogFormat format_;
  std::string text_;
  nlohmann::ordered_json json_;
};

// A descriptor, closed unless it is one of the standard ones.
class Sink {
 public:
  Sink() = default;
  Sink(Sink&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Sink& operator=(Sink&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Sink() {
    if (fd_ > STDERR_FILENO) ::close(fd_);
  }

  absl::Status open(const std::string& file, int standard) {
    if (file == "none") return absl::OkStatus();
    fd_ = file.empty() ? standard : ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd_ < 0) return absl::NotFoundError("log file " + file + ": " + std::strerror(errno));
    return absl::OkStatus();
  }
  bool is_open() const { return fd_ >= 0; }
  void write(const std::string& line) const {
    // A full disk or a closed pipe must not stop the traffic.
    [[maybe_unused]] const ssize_t n = ::write(fd_, line.data(), line.size());
  }

 private:
  int fd_ = -1;
};

}  // namespace

struct Log::Parts {
  LogFormat format;
  LogOptions::Level level;
  Sink access;
  Sink errors;

  bool wants(Severity severity) const {
    return errors.is_open() && static_cast<int>(severity) >= static_cast<int>(level);
  }
};

Log::Log(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Log::~Log() = default;

absl::Status Log::create(const LogOptions& options, LogFormat format, std::unique_ptr<Log>& out) {
  auto parts = std::make_unique<Parts>();
  parts->format = format;
  parts->level = options.level;
  const bool silent = options.level == LogOptions::Level::kNone;
  if (absl::Status s = parts->access.open(silent ? "none" : options.access_file, STDOUT_FILENO); !s.ok()) return s;
  if (absl::Status s = parts->errors.open(silent ? "none" : options.error_file, STDERR_FILENO); !s.ok()) return s;
  out.reset(new Log(std::move(parts)));
  return absl::OkStatus();
}

void Log::on_event(const Event& event) {
  if (!parts_->wants(event.severity)) return;
  Line line(parts_->format, event.severity);
  line.add("layer", event.layer);
  line.add_if("stage", event.stage);
  line.add_if("peer", event.peer);
  if (event.cause) line.add("cause", event.cause.message());
  line.add_if("offer", event.peer_offer);
  line.add_if("policy", event.our_policy);
  parts_->errors.write(std::move(line).finish());
}

void Log::on_connection(const chain::Connection& c) {
  if (!parts_->access.is_open()) return;
  // That a connection breaks while it relays is everyday life.
  Line line(parts_->format, c.error && c.stage != "relay" ? Severity::kWarning : Severity::kInfo);
  line.add("from", c.source.to_string());
  line.add("inbound", c.inbound);
  line.add_if("user", c.user);
  line.add_destination(c.destination);
  line.add_if("outbound", c.outbound);
  line.add("up", c.up);
  line.add("down", c.down);
  if (c.spliced != 0) line.add("spliced", c.spliced);
  line.add("ms", static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(c.duration).count()));
  line.add_if("failed", c.stage);
  if (c.error) line.add("cause", c.error.message());
  line.add_if("detail", c.detail);
  parts_->access.write(std::move(line).finish());
}

void Log::message(Severity severity, std::string_view text) {
  if (!parts_->wants(severity)) return;
  Line line(parts_->format, severity);
  line.add("message", text);
  parts_->errors.write(std::move(line).finish());
}

}  // namespace winze::node
