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

// Whole, or not at all, also when the machine stops in between.
std::string replace_file(const std::string& name, std::span<const std::uint8_t> bytes) {
  const std::string fresh = name + ".new";
  const int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return "cannot write \"" + fresh + "\": " + last_error();
  std::string failure;
  while (!bytes.empty() && failure.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n >= 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    } else if (errno != EINTR) {
      failure = "cannot write \"" + fresh + "\": " + last_error();
    }
  }
  if (failure.empty() && ::fsync(fd) != 0) failure = "cannot write \"" + fresh + "\": " + last_error();
  ::close(fd);
  if (failure.empty() && ::rename(fresh.c_str(), name.c_str()) != 0) {
    failure = "cannot replace \"" + name + "\": " + last_error();
  }
  return failure;
}

}  // namespace

class SaltFiles::Shared final : public shadowsocks::Salts {
 public:
  explicit Shared(const shadowsocks::SaltLimits& limits) : pool_(limits) {}

  bool add(std::span<const std::uint8_t> salt, UnixTime now) override {
    const std::lock_guard lock(mutex_);
    changed_ = true;
    return pool_.add(salt, now);
  }
  bool load(std::span<const std::uint8_t> bytes, UnixTime now) { return pool_.load(bytes, now); }
  // Nothing when all is saved.
  std::vector<std::uint8_t> dump_changes() {
    const std::lock_guard lock(mutex_);
    return std::exchange(changed_, false) ? pool_.dump() : std::vector<std::uint8_t>();
  }

 private:
  std::mutex mutex_;
  shadowsocks::SaltPool pool_;
  bool changed_ = false;
};

absl::StatusOr<std::shared_ptr<SaltFiles>> SaltFiles::create(const NodeOptions& options, UnixTime now) {
  auto out = std::make_shared<SaltFiles>();
  for (const InboundOptions& inbound : options.inbounds) {
    out->inbounds_.emplace_back();
    const auto* settings = std::get_if<ShadowsocksInbound>(&inbound.settings);
    if (settings == nullptr) continue;
    const auto method = shadowsocks::parse_method(settings->method);
    const bool timed = method && is_2022(*method);
    auto salts = std::make_shared<Shared>(timed ? shadowsocks::kTimedSalts : shadowsocks::SaltLimits{});
    out->inbounds_.back() = salts;
    if (settings->replay_file.empty()) continue;
    const std::string where = inbound.path + ".settings.replayFile";
    std::ifstream in(settings->replay_file, std::ios::binary);
    const std::vector<std::uint8_t> bytes(std::istreambuf_iterator<char>(in), {});
    if (in.is_open() && !bytes.empty() && !salts->load(bytes, now)) {
      return absl::InvalidArgumentError(where + ": \"" + settings->replay_file +
                                        "\" is not a file of salts, or is cut short; remove it");
    }
    out->files_.push_back({where, settings->replay_file, std::move(salts)});
  }
  return out;
}

SaltFiles::~SaltFiles() { (void)save(); }

absl::Status SaltFiles::save() {
  absl::Status status;
  for (const File& file : files_) {
    const auto bytes = file.salts->dump_changes();
    if (bytes.empty()) continue;
    if (const std::string failure = replace_file(file.name, bytes); !failure.empty()) {
      status.Update(absl::UnavailableError(file.path + ": " + failure));
    }
  }
  return status;
}

}  // namespace winze::node
