// Keeps one tunnel to a gateway up: resolves its name, tries its addresses in turn, begins anew when the tunnel has
// ended, follows this host from network to network.
#pragma once

#include <absl/functional/any_invocable.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "winze/io/dialer.h"
#include "winze/io/environment.h"
#include "winze/tunnel/ipsec_host.h"

namespace winze::tunnel {

struct IpsecClientOptions {
  ike::ConnectionPtr connection;
  // Names or addresses, the best first. Port 500, from where IKE goes on to 4500; or any other, with ESP beside it.
  std::vector<Destination> gateways;
  std::optional<IpAddress> from;  // this host's address to use; none: the one that the route has
  // IKE and ESP in a stream (RFC 9329) to the first of the gateways, whose port then is one of TCP; over any chain.
  DialerPtr dialer;
  // So often each address is tried in vain before the client gives up; 0: without end.
  unsigned tries = 1;
  // Begins anew when a tunnel that was up has ended, unless by close(): because the peer has vanished, or for any other
  // reason.
  bool keep_lost = true, keep_closed = true;
  // Between two rounds, doubled each time.
  Duration first_pause{std::chrono::seconds(1)};
  Duration longest_pause{std::chrono::minutes(1)};
};

class IpsecClient {
 public:
  struct Handlers {
    absl::AnyInvocable<void(const ike::Up&)> on_up;
    // Why the tunnel ended, or an attempt failed; `again`: it will be tried again. The last call has false.
    absl::AnyInvocable<void(const ike::Reason&, bool again)> on_down;
  };

  // Begins at once. The host must outlive it, and pass its events on to on_event(). Destruction leaves the tunnel as it
  // is: call close() for an orderly end.
  IpsecClient(Environment& environment, IpsecHost& host, IpsecClientOptions options, Handlers handlers);
  ~IpsecClient();
  IpsecClient(const IpsecClient&) = delete;
  IpsecClient& operator=(const IpsecClient&) = delete;

  void on_event(const ike::Event& event);
  // Beside IpsecHost::on_network_changed(), which moves a tunnel whose gateway is still reached: this one looks for
  // another of its addresses where it is not, of the other IP version perhaps, and also for those that it has told.
  void on_network_changed();
  void close();
  // For the next time that it begins.
  void set_connection(ike::ConnectionPtr connection);

  std::optional<ike::SaId> sa() const;  // of the tunnel, or of the attempt

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace winze::tunnel
