#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <asio/post.hpp>
#include <cerrno>
#include <optional>
#include <string>
#include <utility>

#include "socket_options.h"
#include "socket_stream.h"
#include "unix_address.h"
#include "winze/base/error.h"
#include "winze/io/tcp.h"

namespace winze {
namespace {

// The file of a Unix socket, which is removed with it; another's that has come to the same path is not. Without a path
// there is none.
class SocketFile {
 public:
  explicit SocketFile(std::string path) : path_(std::move(path)) {
    if (::lstat(path_.c_str(), &made_) != 0) path_.clear();
  }

  void remove() {
    struct stat now;
    if (path_.empty() || ::lstat(path_.c_str(), &now) != 0) return;
    if (now.st_dev == made_.st_dev && now.st_ino == made_.st_ino) ::unlink(path_.c_str());
  }

 private:
  std::string path_;
  struct stat made_ = {};
};

// Whether there is a socket's file that nobody listens at.
bool is_stale(const std::string& path, const sockaddr_any& address) {
  struct stat status;
  if (::lstat(path.c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) return false;
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  const bool refused =
      ::connect(fd, reinterpret_cast<const sockaddr*>(address.bytes), address.size) != 0 && errno == ECONNREFUSED;
  ::close(fd);
  return refused;
}

struct State : std::enable_shared_from_this<State> {
  State(Environment& env, int fd, SocketFile socket_file)
      : environment(env),
        socket(env.executor, asio::generic::stream_protocol(AF_UNSPEC, 0), fd),
        file(std::move(socket_file)) {}

  void start() {
    // After one connection there are often more.
    if (more) {
      if (try_accept()) {
        return asio::post(environment.executor, [self = shared_from_this()] { self->finish(); });
      }
    }
    wait();
  }

  void wait() {
    socket.async_wait(Socket::wait_read, [self = shared_from_this()](std::error_code wait_error) {
      if (self->closed) return;
      self->error = wait_error;
      if (wait_error || self->try_accept()) return self->finish();
      self->wait();
    });
  }

  bool try_accept() {
    for (;;) {
      accepted = ::accept4(socket.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      more = accepted >= 0;
      error = {};
      if (more) return true;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return false;
      if (errno == EINTR || errno == ECONNABORTED) continue;
      error = last_system_error();
      return true;
    }
  }

  void finish() {
    if (closed) {
      if (accepted >= 0) ::close(std::exchange(accepted, -1));
      return;
    }
    auto finishing = std::exchange(handler, nullptr);
    if (error) return finishing(error, nullptr);
    finishing({}, accepted_stream(environment, std::exchange(accepted, -1)));
  }

  void close() {
    if (std::exchange(closed, true)) return;
    std::error_code ignored;
    socket.close(ignored);
    file.remove();
    // Not kept for the wait to tell: who drops the event loop too would leave the handler and this holding each other.
    if (!handler) return;
    asio::post(environment.executor,
               [waiting = std::exchange(handler, nullptr)]() mutable { waiting(Errc::kAborted, nullptr); });
  }

  Environment& environment;
  Socket socket;
  SocketFile file;
  Listener::Handler handler;
  int accepted = -1;
  std::error_code error;
  bool more = false;
  bool closed = false;
};

class SocketListener final : public Listener {
 public:
  SocketListener(Environment& environment, int fd, SocketFile file)
      : state_(std::make_shared<State>(environment, fd, std::move(file))) {}
  ~SocketListener() override { state_->close(); }

  void accept(Handler handler) override {
    if (state_->closed || state_->handler) {
      const Errc error = state_->closed ? Errc::kClosed : Errc::kBusy;
      return asio::post(state_->environment.executor,
                        [handler = std::move(handler), error]() mutable { handler(error, nullptr); });
    }
    state_->handler = std::move(handler);
    state_->start();
  }
  void close() override { state_->close(); }
  Endpoint local() const override { return local_endpoint(state_->socket.native_handle()); }

 private:
  std::shared_ptr<State> state_;
};

// Binds and listens on a new socket, which it closes on failure.
ListenResult listen_at(Environment& environment, const sockaddr_any& address, int family,
                       const TcpListenOptions& options, const std::string& name, std::string unix_path) {
  auto fail = [&](std::string_view step, int fd) {
    ListenResult result{.error = last_system_error(), .what = {}, .listener = nullptr};
    result.what = std::string(step) + " " + name + ": " + result.error.message();
    if (fd >= 0) ::close(fd);
    return result;
  };
  const int fd = ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail("socket for", fd);
  const int one = 1, only = options.v6_only ? 1 : 0;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (options.reuse_port) ::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
  if (family == AF_INET6) ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
  if (options.transparent && ::setsockopt(fd, SOL_IP, IP_TRANSPARENT, &one, sizeof one) != 0) {
    return fail("transparent socket for", fd);
  }
  if (std::error_code error = apply(options.socket, fd, family, SocketRole::kListen)) {
    errno = error.value();
    return fail("socket options for", fd);
  }
  if (::bind(fd, reinterpret_cast<const sockaddr*>(address.bytes), address.size) != 0) return fail("bind to", fd);
  SocketFile file(std::move(unix_path));
  if (::listen(fd, options.backlog) != 0) return fail("listen on", fd);
  return {.error = {}, .what = {}, .listener = std::make_unique<SocketListener>(environment, fd, std::move(file))};
}

}  // namespace

ListenResult tcp_listen(Environment& environment, const Endpoint& at, const TcpListenOptions& options) {
  return listen_at(environment, to_sockaddr(at), at.address.is_v4() ? AF_INET : AF_INET6, options, at.to_string(), {});
}

ListenResult unix_listen(Environment& environment, std::string_view path, unsigned mode) {
  sockaddr_any address;
  if (std::error_code error = to_unix_sockaddr(path, address)) {
    return {
        .error = error, .what = "unix socket path " + std::string(path) + " is empty or too long", .listener = nullptr};
  }
  const std::string name(path);
  const bool in_file_system = path.front() != '@';
  if (in_file_system && is_stale(name, address)) ::unlink(name.c_str());
  ListenResult result = listen_at(environment, address, AF_UNIX, {}, name, in_file_system ? name : std::string());
  if (result.listener && in_file_system && mode != 0 && ::chmod(name.c_str(), mode) != 0) {
    result = {.error = last_system_error(), .what = "chmod " + name, .listener = nullptr};
  }
  return result;
}

}  // namespace winze
