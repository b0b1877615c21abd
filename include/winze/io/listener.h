// Who takes streams in.
#pragma once

#include <absl/functional/any_invocable.h>

#include <memory>
#include <system_error>

#include "winze/io/stream.h"

namespace winze {

class Listener {
 public:
  using Handler = absl::AnyInvocable<void(std::error_code, StreamPtr)>;

  virtual ~Listener() = default;

  // Takes the next connection. One accept is pending at most (Errc::kBusy). The handler is called exactly once, never
  // inside this call. Errors other than Errc::kAborted concern one connection or pass (no descriptors left): accept
  // again.
  virtual void accept(Handler handler) = 0;
  // Stops listening: a pending accept gets Errc::kAborted. So does destruction.
  virtual void close() = 0;
  // Where it listens, with the port the system chose; unspecified for Unix sockets.
  virtual Endpoint local() const = 0;
};

using ListenerPtr = std::unique_ptr<Listener>;

}  // namespace winze
