// Tells when this host's addresses or routes have changed (Linux, by rtnetlink).
#pragma once

#include <absl/functional/any_invocable.h>

#include <memory>

#include "winze/base/time.h"
#include "winze/io/environment.h"

namespace winze {

class NetworkWatch {
 public:
  // `on_change` is called when nothing more has changed for `quiet`: what belongs together comes as one.
  NetworkWatch(Environment& environment, absl::AnyInvocable<void()> on_change,
               Duration quiet = std::chrono::milliseconds(100));
  ~NetworkWatch();
  NetworkWatch(const NetworkWatch&) = delete;
  NetworkWatch& operator=(const NetworkWatch&) = delete;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace winze
