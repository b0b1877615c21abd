// Structured events: what logs, metrics and error messages are made from. The views live for the call only.
#pragma once

#include <cstdint>
#include <string_view>
#include <system_error>

namespace winze {

enum class Severity : std::uint8_t { kDebug, kInfo, kWarning, kError };

struct Event {
  Severity severity = Severity::kInfo;
  std::string_view layer;  // "tcp", "tls", "ws", "vless", ...
  std::string_view stage;  // "connect", "handshake", "relay", ...
  std::string_view peer;   // who or where, as text
  std::error_code cause;
  std::string_view peer_offer;  // what the peer offered or did, where that explains the cause
  std::string_view our_policy;  // what we would have accepted
};

class Observer {
 public:
  virtual ~Observer() = default;
  // Called on the executor of the environment. Must not block.
  virtual void on_event(const Event& event) = 0;
};

}  // namespace winze
