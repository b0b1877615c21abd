#include "winze/io/network_watch.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <asio/posix/stream_descriptor.hpp>
#include <utility>

namespace winze {

struct NetworkWatch::State : std::enable_shared_from_this<State> {
  State(Environment& env, absl::AnyInvocable<void()> handler, Duration wait)
      : environment(env),
        on_change(std::move(handler)),
        quiet(wait),
        timer(env.clock.make_timer()),
        socket(env.executor) {}

  // Where the kernel refuses nothing is ever told.
  void start() {
    const int fd = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (fd < 0) return;
    sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    address.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;
    if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      ::close(fd);
      return;
    }
    socket.assign(fd);
    wait();
  }

  void wait() {
    socket.async_wait(asio::posix::stream_descriptor::wait_read, [weak = weak_from_this()](std::error_code error) {
      const auto self = weak.lock();
      if (!self || error) return;
      std::array<char, 4096> message;
      while (::recv(self->socket.native_handle(), message.data(), message.size(), 0) > 0) {
      }
      self->timer->arm(self->environment.clock.now() + self->quiet, [weak] {
        if (const auto state = weak.lock()) state->on_change();
      });
      self->wait();
    });
  }

  Environment& environment;
  absl::AnyInvocable<void()> on_change;
  Duration quiet;
  TimerPtr timer;
  asio::posix::basic_stream_descriptor<Executor> socket;
};

NetworkWatch::NetworkWatch(Environment& environment, absl::AnyInvocable<void()> on_change, Duration quiet)
    : state_(std::make_shared<State>(environment, std::move(on_change), quiet)) {
  state_->start();
}

NetworkWatch::~NetworkWatch() {
  state_->timer->disarm();
  std::error_code ignored;
  state_->socket.close(ignored);
}

}  // namespace winze
