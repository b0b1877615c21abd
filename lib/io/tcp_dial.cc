// Happy Eyeballs (RFC 8305): addresses of both families in turn, a new attempt every `attempt_delay` or as soon as one
// fails, the first to connect wins.
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <asio/post.hpp>
#include <cerrno>
#include <utility>
#include <vector>

#include "socket_options.h"
#include "socket_stream.h"
#include "udp_dial.h"
#include "unix_address.h"
#include "winze/base/error.h"
#include "winze/io/tcp.h"

namespace winze {
namespace {

struct Target {
  sockaddr_any address;
  int family;
  bool is_loopback = false;
};

struct Race : std::enable_shared_from_this<Race> {
  Race(Environment& env, const TcpDialOptions& dial_options, const Destination& to, Dialer::Handler on_done)
      : environment(env),
        options(dial_options),
        destination(to),
        deadline(env.clock.make_timer()),
        handler(std::move(on_done)) {}

  void start() {
    if (options.connect_timeout > Duration::zero()) {
      deadline->arm(environment.clock.now() + options.connect_timeout, [weak = weak_from_this()] {
        if (const auto self = weak.lock()) self->finish(Errc::kTimedOut, nullptr);
      });
    }
    if (const IpAddress* address = destination.address()) {
      targets.push_back(target(*address));
      return next();
    }
    resolving = environment.resolver.resolve(
        *destination.name(), [self = shared_from_this()](std::error_code error, std::vector<IpAddress> addresses) {
          if (!self->handler) return;
          if (error) return self->finish(error, nullptr);
          self->order(addresses);
          self->next();
        });
  }

  Target target(const IpAddress& address) const {
    return {to_sockaddr({address, destination.port}), address.is_v4() ? AF_INET : AF_INET6, address.is_loopback()};
  }

  // RFC 8305 section 4: alternate between the families, the preferred one first.
  void order(const std::vector<IpAddress>& addresses) {
    std::vector<Target> first, second;
    for (const IpAddress& address : addresses) {
      if (address.is_v4() && options.family == TcpDialOptions::Family::kV6) continue;
      if (address.is_v6() && options.family == TcpDialOptions::Family::kV4) continue;
      (address.is_v6() == options.prefer_v6 ? first : second).push_back(target(address));
    }
    for (std::size_t i = 0; i < std::max(first.size(), second.size()); ++i) {
      if (i < first.size()) targets.push_back(first[i]);
      if (i < second.size()) targets.push_back(second[i]);
    }
    if (targets.empty()) last_error = Errc::kUnresolved;
    // connect() with Fast Open is done before anybody has answered: the first address would always have won.
    if (targets.size() > 1) options.socket.fast_open = false;
  }

  void next() {
    if (!handler) return;
    if (started == targets.size()) {
      if (attempts.empty()) finish(last_error, nullptr);
      return;
    }
    const Target& to = targets[started++];
    if (started < targets.size()) {
      if (!stagger) stagger = environment.clock.make_timer();
      stagger->arm(environment.clock.now() + options.attempt_delay, [weak = weak_from_this()] {
        if (const auto self = weak.lock()) self->next();
      });
    }
    if (std::error_code error = attempt(to)) {
      last_error = error;
      asio::post(environment.executor, [self = shared_from_this()] { self->next(); });
    }
  }

  std::error_code attempt(const Target& to) {
    const int fd = ::socket(to.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return last_system_error();
    auto socket = std::make_shared<Socket>(environment.executor, asio::generic::stream_protocol(AF_UNSPEC, 0), fd);
    if (std::error_code error = prepare(fd, to.family)) return error;
    if (::connect(fd, reinterpret_cast<const sockaddr*>(to.address.bytes), to.address.size) == 0) {
      asio::post(environment.executor, [self = shared_from_this(), socket] { self->connected(*socket); });
      attempts.push_back(std::move(socket));
      return {};
    }
    if (errno != EINPROGRESS) return last_system_error();
    attempts.push_back(socket);
    // Over loopback the handshake is already done here, and asking is cheaper than waiting to be told.
    pollfd ready{.fd = fd, .events = POLLOUT, .revents = 0};
    if (to.is_loopback && ::poll(&ready, 1, 0) == 1) {
      asio::post(environment.executor, [self = shared_from_this(), socket] { self->attempted(socket, {}); });
    } else {
      socket->async_wait(Socket::wait_write, [self = shared_from_this(), socket](std::error_code error) {
        self->attempted(socket, error);
      });
    }
    return {};
  }

  void attempted(const std::shared_ptr<Socket>& socket, std::error_code error) {
    if (!handler) return;
    int value = 0;
    socklen_t size = sizeof value;
    if (!error && ::getsockopt(socket->native_handle(), SOL_SOCKET, SO_ERROR, &value, &size) != 0) value = errno;
    if (value != 0) error = {value, std::system_category()};
    if (!error) return connected(*socket);
    last_error = error;
    std::erase(attempts, socket);
    next();
  }

  std::error_code prepare(int fd, int family) const {
    if (std::error_code error = apply(options.socket, fd, family, SocketRole::kDial)) return error;
    if (environment.socket_hook) {
      if (std::error_code error = environment.socket_hook(fd, destination)) return error;
    }
    if (options.bind_address && options.bind_address->is_v4() == (family == AF_INET)) {
      const sockaddr_any from = to_sockaddr({*options.bind_address, 0});
      if (::bind(fd, reinterpret_cast<const sockaddr*>(from.bytes), from.size) != 0) return last_system_error();
    }
    return {};
  }

  void connected(Socket& socket) {
    if (handler) finish({}, connected_stream(environment, std::move(socket)));
  }

  void finish(std::error_code error, StreamPtr stream) {
    if (!handler) return;
    auto finishing = std::exchange(handler, nullptr);
    deadline->disarm();
    if (stagger) stagger->disarm();
    attempts.clear();
    finishing(error, std::move(stream));
  }

  void cancel() {
    if (!handler) return;
    asio::post(environment.executor,
               [self = shared_from_this(), finishing = std::exchange(handler, nullptr)]() mutable {
                 finishing(Errc::kAborted, nullptr);
               });
    deadline->disarm();
    if (stagger) stagger->disarm();
    resolving.cancel();
    for (auto& socket : attempts) {
      std::error_code ignored;
      socket->close(ignored);
    }
    attempts.clear();
  }

  Environment& environment;
  TcpDialOptions options;
  Destination destination;
  TimerPtr deadline;
  TimerPtr stagger;
  Dialer::Handler handler;
  Pending resolving;
  std::vector<Target> targets;
  std::size_t started = 0;
  std::vector<std::shared_ptr<Socket>> attempts;
  std::error_code last_error;
};

Pending start_race(const std::shared_ptr<Race>& race) {
  race->start();
  return Pending([weak = std::weak_ptr(race)] {
    if (auto strong = weak.lock()) strong->cancel();
  });
}

class TcpDialer final : public Dialer {
 public:
  TcpDialer(Environment& environment, std::optional<Destination> server, const TcpDialOptions& options)
      : environment_(environment), server_(std::move(server)), options_(options) {}

  Pending dial(const Destination& destination, Handler handler) override {
    return start_race(
        std::make_shared<Race>(environment_, options_, server_.value_or(destination), std::move(handler)));
  }
  Pending open_conduit(const Destination& destination, ConduitHandler handler) override {
    SocketResult opened = udp_dial(environment_, destination, options_);
    asio::post(environment_.executor, [handler = std::move(handler), opened = std::move(opened)]() mutable {
      handler(opened.error, std::move(opened.conduit));
    });
    return {};
  }
  const Executor& executor() const override { return environment_.executor; }

 private:
  Environment& environment_;
  std::optional<Destination> server_;
  TcpDialOptions options_;
};

class UnixDialer final : public Dialer {
 public:
  UnixDialer(Environment& environment, std::string_view path) : environment_(environment), path_(path) {}

  Pending dial(const Destination& destination, Handler handler) override {
    auto race = std::make_shared<Race>(environment_, TcpDialOptions(), destination, std::move(handler));
    Target to{.address = {}, .family = AF_UNIX, .is_loopback = false};
    race->last_error = to_unix_sockaddr(path_, to.address);
    if (!race->last_error) race->targets.push_back(to);
    asio::post(environment_.executor, [race] { race->next(); });
    return Pending([weak = std::weak_ptr(race)] {
      if (auto strong = weak.lock()) strong->cancel();
    });
  }
  const Executor& executor() const override { return environment_.executor; }

 private:
  Environment& environment_;
  std::string path_;
};

}  // namespace

DialerPtr tcp_dialer(Environment& environment, const TcpDialOptions& options) {
  return std::make_shared<TcpDialer>(environment, std::nullopt, options);
}

DialerPtr tcp_to(Environment& environment, const Destination& server, const TcpDialOptions& options) {
  return std::make_shared<TcpDialer>(environment, server, options);
}

DialerPtr unix_to(Environment& environment, std::string_view path) {
  return std::make_shared<UnixDialer>(environment, path);
}

}  // namespace winze
