#include "winze/io/dialer.h"

#include <asio/post.hpp>

#include "winze/base/error.h"

namespace winze {

Pending Dialer::open_conduit(const Destination&, ConduitHandler handler) {
  asio::post(executor(), [handler = std::move(handler)]() mutable { handler(Errc::kUnsupported, nullptr); });
  return {};
}

}  // namespace winze
