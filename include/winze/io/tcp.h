// TCP and Unix-domain sockets, and UDP for those who dial.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "winze/base/time.h"
#include "winze/io/dialer.h"
#include "winze/io/environment.h"
#include "winze/io/listener.h"

namespace winze {

// Options of every socket, on both sides.
struct SocketOptions {
  bool no_delay = true;
  // Idle time before the first TCP keep-alive probe, and between probes; zero: the system's; negative: none.
  Duration keep_alive_idle{0};
  Duration keep_alive_interval{0};
  std::uint32_t mark = 0;          // SO_MARK, 0: none (needs CAP_NET_ADMIN)
  std::string interface;           // SO_BINDTODEVICE, empty: none
  std::string congestion_control;  // TCP_CONGESTION, empty: the system's
  // TCP Fast Open, where the kernel has it: the client's first bytes travel in the SYN; the server takes them. A
  // failure to connect then shows at the first write or read. Not for a name with several addresses: which of them
  // answers is found out before anything is written.
  bool fast_open = false;
  // TCP_USER_TIMEOUT: how long sent bytes may stay unacknowledged; TCP_MAXSEG and TCP_WINDOW_CLAMP in bytes.
  // Zero: the system's.
  Duration user_timeout{0};
  int max_segment = 0;
  int window_clamp = 0;
};

struct TcpDialOptions {
  SocketOptions socket;
  Duration connect_timeout{std::chrono::seconds(16)};  // over all addresses
  // Happy Eyeballs (RFC 8305): how long an attempt has before the next address is tried beside it.
  Duration attempt_delay{std::chrono::milliseconds(250)};
  bool prefer_v6 = true;
  enum class Family { kAny, kV4, kV6 } family = Family::kAny;
  std::optional<IpAddress> bind_address;
};

// Dials each destination itself: resolves names and races the addresses (RFC 8305).
//
// A conduit of it is one UDP socket with the same options, in both families unless `bind_address` decides. Datagrams to
// a host name wait while it is resolved, a few for each name, and go to one address, which stays as long as the name is
// in use; IPv4 first, because nothing tells whether the other would answer.
DialerPtr tcp_dialer(Environment& environment, const TcpDialOptions& options = {});
// Dials `server` whatever it is asked for: the bottom of a chain to a fixed server. Datagrams go where they are sent.
DialerPtr tcp_to(Environment& environment, const Destination& server, const TcpDialOptions& options = {});
// Dials the Unix socket at `path` (a leading '@' means the abstract namespace), whatever it is asked for.
DialerPtr unix_to(Environment& environment, std::string_view path);

struct TcpListenOptions {
  SocketOptions socket;
  int backlog = 4096;
  // SO_REUSEPORT: several listeners, one per thread, share the port and the kernel spreads the connections.
  bool reuse_port = false;
  bool v6_only = false;
  bool transparent = false;  // IP_TRANSPARENT, for TPROXY (needs CAP_NET_ADMIN)
};

// The error says what failed ("listen on 127.0.0.1:80: Permission denied").
struct ListenResult {
  std::error_code error;
  std::string what;
  ListenerPtr listener;
};
ListenResult tcp_listen(Environment& environment, const Endpoint& at, const TcpListenOptions& options = {});
// `mode`: permission bits of the socket's file (0: the process's umask decides). A stale socket file, at which nobody
// listens, is replaced; the listener removes its own at the end.
ListenResult unix_listen(Environment& environment, std::string_view path, unsigned mode = 0);

// A stream over a connected stream socket, which it owns from here on, and makes non-blocking.
StreamPtr adopt_socket(Environment& environment, int fd);

}  // namespace winze
