// Who takes UDP sessions in: all that comes from one endpoint, or what a protocol calls a session, is a conduit of its
// own.
#pragma once

#include <absl/functional/any_invocable.h>

#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <system_error>

#include "winze/io/conduit.h"
#include "winze/io/udp.h"

namespace winze {

// By what sessions are told apart: the endpoint that they come from, or a number that a protocol gives them.
struct SessionKey {
  Endpoint source;
  std::uint64_t number = 0;

  friend auto operator<=>(const SessionKey&, const SessionKey&) = default;
};

// Whose a session is.
struct SessionSource {
  Endpoint endpoint;  // that its first datagram came from
  std::string user;   // as ProxyRequest has it; empty where there are none
  std::uint32_t level = 0;
};

// What a protocol makes of the datagrams of one socket. Used from one executor.
class SessionProtocol {
 public:
  virtual ~SessionProtocol() = default;

  // Room that seal() would like around the payloads.
  virtual Overhead overhead() const = 0;
  // Opens a datagram in place: its peer, the endpoint it came from, becomes whom it is for. The session that it belongs
  // to, or nothing: dropped. Answers go to where the latest datagram of a session came from.
  virtual std::optional<SessionKey> open(Datagram& datagram) = 0;
  // Seals an answer in place; its peer is whom it comes from. False: dropped.
  virtual bool seal(const SessionKey& session, Datagram& datagram) = 0;
  // Fills in user and level. Asked once, when the session is new.
  virtual void identify(const SessionKey& session, SessionSource& source) const = 0;
  // The session has gone.
  virtual void end(const SessionKey& session) = 0;
};

class PacketListener {
 public:
  using Handler = absl::AnyInvocable<void(std::error_code, ConduitPtr, const SessionSource& source)>;

  virtual ~PacketListener() = default;

  // Takes the next session, with its first datagram in it. One accept is pending at most (Errc::kBusy). The handler is
  // called exactly once, never inside this call. The conduits have one peer, the source, but with a protocol whomever
  // their datagrams name; they may outlive the listener.
  virtual void accept(Handler handler) = 0;
  // Takes no more sessions: a pending accept gets Errc::kAborted. Those there are go on. So does destruction.
  virtual void close() = 0;
  virtual Endpoint local() const = 0;
};

using PacketListenerPtr = std::unique_ptr<PacketListener>;

// A client may send again as soon as its conduit is gone; that is another session.
struct SessionLimits {
  std::size_t sessions = 2048;    // at once; what begins others is dropped
  std::size_t bytes = 512 << 10;  // that wait in one session, in buffers, their room included
};

struct PacketListenResult {
  std::error_code error;
  std::string what;  // failed
  PacketListenerPtr listener;
};
// `protocol` may be null: the datagrams stay as they are.
PacketListenResult udp_listen(Environment& environment, const UdpOptions& options, const SessionLimits& limits = {},
                              std::unique_ptr<SessionProtocol> protocol = nullptr);

}  // namespace winze
