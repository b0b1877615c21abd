// A listener and the connections, or UDP sessions, that it has brought.
#pragma once

#include <absl/functional/any_invocable.h>

#include <memory>

#include "winze/chain/session.h"
#include "winze/io/listener.h"
#include "winze/io/packet_listener.h"

namespace winze::chain {

// Accepts until it is stopped or destroyed. Destruction ends all connections at once.
class Server {
 public:
  Server(Environment& environment, ListenerPtr listener, std::shared_ptr<const Inbound> inbound);
  Server(Environment& environment, PacketListenerPtr listener, std::shared_ptr<const Inbound> inbound);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  Endpoint local() const;
  std::size_t connections() const;
  // Stops accepting. `drained` is called when the last connection has ended, or `grace` after now, when the others are
  // ended. Never inside this call.
  void stop(Duration grace, absl::AnyInvocable<void()> drained);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace winze::chain
