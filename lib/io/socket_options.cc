#include "socket_options.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>

#include "socket_stream.h"

namespace winze {
namespace {

// Keeps the first error.
class Setter {
 public:
  explicit Setter(int fd) : fd_(fd) {}
  void set(int level, int name, int value) { set(level, name, &value, sizeof value); }
  void set(int level, int name, const void* value, std::size_t size) {
    if (::setsockopt(fd_, level, name, value, static_cast<socklen_t>(size)) != 0 && !error_) {
      error_ = last_system_error();
    }
  }
  std::error_code error() const { return error_; }

 private:
  int fd_;
  std::error_code error_;
};

int seconds(Duration d) {
  return static_cast<int>(std::max<std::int64_t>(1, std::chrono::duration_cast<std::chrono::seconds>(d).count()));
}

}  // namespace

std::error_code apply(const SocketOptions& options, int fd, int family, SocketRole role) {
  Setter s(fd);
  if (options.mark != 0) s.set(SOL_SOCKET, SO_MARK, static_cast<int>(options.mark));
  if (!options.interface.empty()) {
    s.set(SOL_SOCKET, SO_BINDTODEVICE, options.interface.data(), options.interface.size());
  }
  if (family == AF_UNIX) return s.error();
  if (options.no_delay) s.set(IPPROTO_TCP, TCP_NODELAY, 1);
  if (options.keep_alive_idle >= Duration::zero() && options.keep_alive_interval >= Duration::zero()) {
    s.set(SOL_SOCKET, SO_KEEPALIVE, 1);
    if (options.keep_alive_idle > Duration::zero()) s.set(IPPROTO_TCP, TCP_KEEPIDLE, seconds(options.keep_alive_idle));
    if (options.keep_alive_interval > Duration::zero()) {
      s.set(IPPROTO_TCP, TCP_KEEPINTVL, seconds(options.keep_alive_interval));
    }
  }
  if (!options.congestion_control.empty()) {
    s.set(IPPROTO_TCP, TCP_CONGESTION, options.congestion_control.data(), options.congestion_control.size());
  }
  if (options.user_timeout > Duration::zero()) {
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(options.user_timeout).count();
    s.set(IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(std::max<std::int64_t>(1, ms)));
  }
  if (options.max_segment != 0) s.set(IPPROTO_TCP, TCP_MAXSEG, options.max_segment);
  if (options.window_clamp != 0) s.set(IPPROTO_TCP, TCP_WINDOW_CLAMP, options.window_clamp);
  if (options.fast_open) {
    // Without it in the kernel the connection works all the same.
    const int value = role == SocketRole::kListen ? 256 : 1;
    (void)::setsockopt(fd, IPPROTO_TCP, role == SocketRole::kListen ? TCP_FASTOPEN : TCP_FASTOPEN_CONNECT, &value,
                       sizeof value);
  }
  return s.error();
}

}  // namespace winze
