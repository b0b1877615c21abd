// Both ends of an EAP conversation, and a look at what passes between them.
#pragma once

#include <doctest/doctest.h>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "winze/proto/eap/authenticator.h"
#include "winze/proto/eap/peer.h"

namespace winze::test {

// Passwords that are there at once, or that wait for release().
class PasswordTable final : public eap::Passwords {
 public:
  explicit PasswordTable(std::map<std::string, std::string> table, bool later = false)
      : table_(std::move(table)), later_(later) {}

  void find(std::string_view user, Handler found) override {
    ++asked;
    const auto at = table_.find(std::string(user));
    auto password = at == table_.end() ? std::nullopt : std::optional(Secret(std::string_view(at->second)));
    if (!later_) return found(std::move(password));
    waiting_ = [found = std::move(found), password = std::move(password)]() mutable { found(std::move(password)); };
  }
  bool release() {
    auto waiting = std::exchange(waiting_, nullptr);
    if (waiting) waiting();
    return true;
  }
  bool waits() { return static_cast<bool>(waiting_); }

  int asked = 0;

 private:
  std::map<std::string, std::string> table_;
  bool later_;
  absl::AnyInvocable<void()> waiting_;
};

struct EapOutcome {
  std::optional<eap::Step> peer, authenticator;  // the last of each
  int packets = 0;
  std::size_t longest = 0;

  bool both_succeeded() const {
    return peer && authenticator && peer->kind == eap::Step::Kind::kSuccess &&
           authenticator->kind == eap::Step::Kind::kSuccess;
  }
};

// Runs until both ends are at theirs, or until one is silent. `meddle` sees each packet, and may change it; `idle` is
// called when a step has not come yet, and lets it come.
struct EapRun {
  std::function<void(bool from_peer, std::vector<std::uint8_t>& packet)> meddle;
  std::function<void()> idle;

  EapOutcome operator()(eap::Peer& peer, eap::Authenticator& authenticator) const {
    EapOutcome out;
    std::optional<eap::Step> step;
    const auto keep = [&](eap::Step made) { step = std::move(made); };
    const auto wait = [&] {
      for (int i = 0; !step && idle && i < 100; ++i) idle();
      REQUIRE(step);
      out.longest = std::max(out.longest, step->packet.size());
      ++out.packets;
    };
    authenticator.begin(keep);
    for (int turn = 0; turn < 1000; ++turn) {
      wait();
      out.authenticator = std::move(*std::exchange(step, std::nullopt));
      if (out.authenticator->packet.empty()) return out;
      if (meddle) meddle(false, out.authenticator->packet);
      peer.receive(out.authenticator->packet, keep);
      wait();
      out.peer = std::move(*std::exchange(step, std::nullopt));
      if (out.peer->packet.empty()) return out;
      if (meddle) meddle(true, out.peer->packet);
      authenticator.receive(out.peer->packet, keep);
    }
    FAIL("endless");
    return out;
  }
};

}  // namespace winze::test
