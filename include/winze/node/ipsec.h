// The IPsec side of a configuration at work: connections, pools and secrets of IpsecOptions as one IpsecHost on a TUN
// interface, or on packets of the host's own.
#pragma once

#include <absl/functional/any_invocable.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "winze/io/dialer.h"
#include "winze/io/environment.h"
#include "winze/io/observer.h"
#include "winze/node/ipsec_options.h"
#include "winze/tunnel/ipsec_host.h"

namespace winze::node {

// What a configuration does not say.
struct IpsecSettings {
  // UDP ports; none: 500 and 4500, or any that are free where no connection is for peers to come by.
  std::optional<std::uint16_t> port, nat_port;
  // Which connections are begun from here; empty: those with a child that says `start_action = start`.
  std::string initiate;
  // Takes peers in; else this host is a client only.
  bool respond = true;
  // Where inner packets go; null: a TUN interface, with addresses and routes (needs CAP_NET_ADMIN).
  ConduitPtr inner;
  bool keep = true;  // of tunnel::IpsecClientOptions, for connections without a closer word
  // An outbound's dialer by its tag; null: there is none.
  std::function<DialerPtr(std::string_view tag)> outbound;
};

class Ipsec {
 public:
  struct Handlers {
    absl::AnyInvocable<void(const ike::Event&)> on_event;
    // A line for a log: what happened, or what failed.
    absl::AnyInvocable<void(Severity, std::string_view)> on_message;
    // The last client has given up, or everything has failed.
    absl::AnyInvocable<void()> on_end;
  };

  // Reads the certificate and key files, opens the interface and the sockets, begins its clients. Errors begin with the
  // path in the configuration. `options` may go.
  static absl::StatusOr<std::unique_ptr<Ipsec>> create(Environment& environment, const IpsecOptions& options,
                                                       IpsecSettings settings, Handlers handlers);
  // What create() would say of the configuration, and nothing opened.
  static absl::Status check(const IpsecOptions& options);
  ~Ipsec();
  Ipsec(const Ipsec&) = delete;
  Ipsec& operator=(const Ipsec&) = delete;

  tunnel::IpsecHost& host();
  const std::string& interface() const;  // empty without one
  // Of every tunnel that is up: the children, then the IKE SAs. Returns how many IKE SAs there are.
  std::size_t rekey_all();
  // Reads certificates, keys, CRLs and OCSP responses again. What begins from now on goes by them; an error leaves all
  // as it was.
  absl::Status reload();
  // Closes every tunnel in order; `done` at the latest `grace` after now.
  void stop(Duration grace, absl::AnyInvocable<void()> done);

 private:
  struct Parts;
  explicit Ipsec(std::shared_ptr<Parts> parts);
  std::shared_ptr<Parts> parts_;
};

}  // namespace winze::node
