// Who opens streams. Dialers nest: a layer is a Dialer made from a Dialer, a whole proxy chain is one Dialer.
#pragma once

#include <absl/functional/any_invocable.h>

#include <memory>
#include <string>
#include <string_view>
#include <system_error>

#include "winze/base/address.h"
#include "winze/io/conduit.h"
#include "winze/io/pending.h"
#include "winze/io/stream.h"

namespace winze {

// How a dial came out: an error code like any other, and what it does not say ("certificate is for a.test, wanted
// b.test"), if anything. Who does not want to know takes it for the std::error_code that it is.
struct DialError : std::error_code {
  DialError() = default;
  DialError(std::error_code code, std::string_view more = {}) : std::error_code(code), detail(more) {}
  template <typename Enum>
    requires std::is_error_code_enum_v<Enum>
  DialError(Enum code) : std::error_code(code) {}

  std::string detail;
};

class Dialer {
 public:
  using Handler = absl::AnyInvocable<void(DialError, StreamPtr)>;
  using ConduitHandler = absl::AnyInvocable<void(DialError, ConduitPtr)>;

  virtual ~Dialer() = default;

  // Opens a stream to `destination`. The handler is called exactly once, never inside this call. The dialer must
  // outlive the operation.
  virtual Pending dial(const Destination& destination, Handler handler) = 0;
  // Opens a conduit for datagrams to and from `destination`: who sends need not name it, and what comes from others is
  // dropped. For everyone() each datagram says whom it is for, or comes from; to a host name the answers may come from
  // the address it stands for. The default answers Errc::kUnsupported.
  virtual Pending open_conduit(const Destination& destination, ConduitHandler handler);
  virtual const Executor& executor() const = 0;
};

using DialerPtr = std::shared_ptr<Dialer>;

// The destination of a conduit that shall reach any number of peers (full cone), as a SOCKS5 association does.
inline Destination everyone() { return Destination(IpAddress(), 0, Network::kUdp); }
// Port 0 is nobody's.
inline bool is_everyone(const Destination& destination) { return destination.port == 0; }

}  // namespace winze
