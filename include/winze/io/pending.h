// An operation under way, as the one who started it holds it. Dropping it cancels the operation, whose handler is then
// called with Errc::kAborted; keep it until the handler has run, or detach() it.
#pragma once

#include <absl/functional/any_invocable.h>

#include <utility>

namespace winze {

class [[nodiscard]] Pending {
 public:
  using Cancel = absl::AnyInvocable<void()>;
  Pending() = default;
  // `cancel` must be harmless after the operation has completed.
  explicit Pending(Cancel cancel) : cancel_(std::move(cancel)) {}
  Pending(Pending&& other) noexcept : cancel_(std::exchange(other.cancel_, nullptr)) {}
  Pending& operator=(Pending&& other) noexcept {
    if (this != &other) {
      cancel();
      cancel_ = std::exchange(other.cancel_, nullptr);
    }
    return *this;
  }
  ~Pending() { cancel(); }

  void cancel() {
    if (Cancel run = std::exchange(cancel_, nullptr)) run();
  }
  // Lets the operation go on without a way to cancel it.
  void detach() { cancel_ = nullptr; }

 private:
  Cancel cancel_;
};

}  // namespace winze
