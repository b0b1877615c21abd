// What a piece of this library needs from its host, passed explicitly. Nothing here is global: two environments with
// different clocks live in one process. An Environment and what it refers to must outlive everything made with it, and
// all of it belongs to one executor: use it from there only. Several threads are several environments.
#pragma once

#include <absl/functional/any_invocable.h>

#include <asio/any_io_executor.hpp>
#include <system_error>

#include "winze/base/address.h"
#include "winze/base/buffer.h"
#include "winze/base/random.h"
#include "winze/io/clock.h"
#include "winze/io/observer.h"
#include "winze/io/resolver.h"

namespace winze {

using Executor = asio::any_io_executor;

// Called with each outgoing socket before it connects or sends (Android's VpnService.protect, interface binding). An
// error fails the operation.
using SocketHook = absl::AnyInvocable<std::error_code(int fd, const Destination& destination) const>;

struct Environment {
  Executor executor;
  Clock& clock;
  Random& random;
  Resolver& resolver;
  BufferPool& pool;
  SocketHook socket_hook;        // may be empty
  Observer* observer = nullptr;  // may be null

  void emit(const Event& event) const {
    if (observer != nullptr) observer->on_event(event);
  }
};

}  // namespace winze
