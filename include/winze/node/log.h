// What a node has to say, as text or JSON lines: one line per connection (access) and one per event.
#pragma once

#include <absl/status/status.h>

#include <memory>
#include <string>
#include <string_view>

#include "winze/chain/session.h"
#include "winze/io/observer.h"
#include "winze/node/options.h"

namespace winze::node {

enum class LogFormat { kText, kJson };

// Thread-safe. A line is one write, so lines of several processes do not mix. Never holds a secret: the callers hand it
// addresses, account names and error texts only.
class Log final : public Observer {
 public:
  // Opens the files of `options`.
  static absl::Status create(const LogOptions& options, LogFormat format, std::unique_ptr<Log>& out);
  ~Log() override;

  void on_event(const Event& event) override;
  void on_connection(const chain::Connection& connection);
  void message(Severity severity, std::string_view text);

 private:
  struct Parts;
  explicit Log(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace winze::node
