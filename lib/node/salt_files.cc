#include "winze/node/salt_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <iterator>
#include <mutex>
#include <system_error>
#include <utility>

#include "winze/proto/shadowsocks/method.h"

namespace winze::node {
namespace {

std::string last_error() { return std::error_code(errno, std::system_category()).message(); }

bool write_all(int fd, std::span<const std::uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno != EINTR) return false;
    if (n > 0) bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return true;
}

}  // namespace

// The salts of one inbound, and their file if they have one.
class SaltFiles::Shared final : public shadowsocks::Salts {
 public:
  Shared(const shadowsocks::SaltLimits& limits, std::string path, std::string name)
      : path_(std::move(path)), name_(std::move(name)), pool_(limits) {}
  ~Shared() override { close(file_); }

  bool add(std::span<const std::uint8_t> salt, UnixTime now) override {
    const std::lock_guard lock(mutex_);
    if (!pool_.add(salt, now)) return false;
    changed_ = true;
    if (begun_) append(shadowsocks::SaltPool::later(salt, now));
    return true;
  }

  absl::Status load(UnixTime now) {
    std::ifstream in(name_, std::ios::binary);
    const std::vector<std::uint8_t> bytes(std::istreambuf_iterator<char>(in), {});
    if (!in.is_open() || bytes.empty() || pool_.load(bytes, now)) return absl::OkStatus();
    return absl::InvalidArgumentError(path_ + ": \"" + name_ + "\" is not a file of salts, or is cut short; remove it");
  }

  // Whole, or not at all, also when the machine stops in between.
  absl::Status replace() {
    std::vector<std::uint8_t> bytes;
    {
      const std::lock_guard lock(mutex_);
      if (std::exchange(replacing_, true)) return absl::OkStatus();
      begun_ = true;
      changed_ = false;
      bytes = pool_.dump();
    }
    const std::string fresh_name = name_ + ".new";
    const int fresh = ::open(fresh_name.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    bool written = fresh >= 0 && write_all(fresh, bytes) && ::fsync(fresh) == 0;
    const std::lock_guard lock(mutex_);
    replacing_ = false;
    written = written && write_all(fresh, std::exchange(meanwhile_, {}));
    if (written && ::rename(fresh_name.c_str(), name_.c_str()) == 0) {
      close(std::exchange(file_, fresh));
      return absl::OkStatus();
    }
    const std::string why = last_error();
    const std::string what = written ? "cannot replace \"" + name_ : "cannot write \"" + fresh_name;
    close(fresh);
    meanwhile_.clear();
    changed_ = true;
    return absl::UnavailableError(path_ + ": " + what + "\": " + why);
  }

  // Nothing when it is saved as it is, or was not begun.
  absl::Status save() {
    {
      const std::lock_guard lock(mutex_);
      if (!changed_ || !begun_) return absl::OkStatus();
    }
    return replace();
  }

 private:
  static void close(int fd) {
    if (fd >= 0) ::close(fd);
  }

  void append(const shadowsocks::SaltPool::Later& later) {
    if (replacing_) meanwhile_.insert(meanwhile_.end(), later.begin(), later.end());
    if (file_ < 0) return;
    // Behind one that is cut off none could be read. The next save() writes them all.
    const ssize_t n = ::write(file_, later.data(), later.size());
    if (n != static_cast<ssize_t>(later.size())) close(std::exchange(file_, -1));
  }

  const std::string path_;  // in the configuration
  const std::string name_;
  std::mutex mutex_;
  shadowsocks::SaltPool pool_;
  int file_ = -1;
  std::vector<std::uint8_t> meanwhile_;  // what came while the file is being replaced
  bool replacing_ = false;
  bool begun_ = false;
  bool changed_ = false;  // since the file was replaced
};

class SaltFiles::SharedWindow final : public shadowsocks::Salts {
 public:
  bool add(std::span<const std::uint8_t> salt, UnixTime now) override {
    const std::lock_guard lock(mutex_);
    return window_.add(salt, now);
  }

 private:
  std::mutex mutex_;
  shadowsocks::SaltWindow window_;
};

absl::StatusOr<std::shared_ptr<SaltFiles>> SaltFiles::create(const NodeOptions& options, UnixTime now) {
  auto out = std::make_shared<SaltFiles>();
  for (const InboundOptions& inbound : options.inbounds) {
    out->inbounds_.emplace_back();
    const auto* settings = std::get_if<ShadowsocksInbound>(&inbound.settings);
    if (settings == nullptr) continue;
    const auto method = shadowsocks::parse_method(settings->method);
    const bool timed = method && is_2022(*method);
    auto salts = std::make_shared<Shared>(timed ? shadowsocks::kTimedSalts : shadowsocks::SaltLimits{},
                                          inbound.path + ".settings.replayFile", settings->replay_file);
    out->inbounds_.back().streams = salts;
    if (settings->udp) out->inbounds_.back().datagrams = std::make_shared<SharedWindow>();
    if (settings->replay_file.empty()) continue;
    if (absl::Status status = salts->load(now); !status.ok()) return status;
    out->kept_.push_back(std::move(salts));
  }
  return out;
}

absl::Status SaltFiles::begin() {
  for (const auto& salts : kept_) {
    if (absl::Status status = salts->replace(); !status.ok()) return status;
  }
  return absl::OkStatus();
}

SaltFiles::~SaltFiles() { (void)save(); }

absl::Status SaltFiles::save() {
  absl::Status status;
  for (const auto& salts : kept_) status.Update(salts->save());
  return status;
}

}  // namespace winze::node
