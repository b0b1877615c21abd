// A gateway that sends its clients to another (RFC 5685): before it keeps any state (IKE_SA_INIT), once they have
// proved themselves (IKE_AUTH), or later (INFORMATIONAL). Where a client goes then is for its host to say.
#include <algorithm>

#include "redirect.h"
#include "sa.h"

namespace winze::ike {

// --- The client

void Sa::write_redirect_support(PayloadWriter& out) const {
  if (!connection_->follow_redirects) return;
  if (!came_) return write_notify(out, notify::kRedirectSupported);
  write_notify(out, notify::kRedirectedFrom, encode_gateway(came_->from));
}

bool Sa::redirected(TimePoint now, const Contents& contents, std::optional<Bytes> nonce) {
  const NotifyView* const sent = contents.find(notify::kRedirect);
  if (sent == nullptr || !client_ || !connection_->follow_redirects) return false;
  const auto view = decode_gateway(sent->data);
  // Whoever has not seen our request cannot know its nonce.
  if (!view || (nonce && !std::ranges::equal(view->nonce, *nonce))) return nonce.has_value();
  Redirection next{{path_.remote.address, {}}, view->gateway, 1, now};
  if (came_ && now - came_->since < kRedirectPeriod) {
    next.hops = came_->hops + 1;
    next.since = came_->since;
  }
  const bool up = state_ == State::kUp;
  const bool stops = next.hops > kMostRedirects;
  const Stage stage = state_ == State::kInit ? Stage::kInit : up ? Stage::kUp : Stage::kAuth;
  ++host_.counters.redirected;
  if (!stops) host_.tell(Redirected{id, connection_, stage, std::move(next)});
  if (up) return true;
  if (handshake_->child_spi != 0) give_up_spi(handshake_->child_spi);
  if (stage == Stage::kAuth) say_farewell(0);
  end(now, stops ? reason(Cause::kMisbehaved, "it was sent on and on") : reason(Cause::kRedirected, ""), false);
  return true;
}

// --- The gateway

bool Sa::redirect(TimePoint now, Gateway gateway) {
  if (state_ != State::kUp || client_ || !redirects_) return false;
  queue({.kind = Task::Kind::kRedirect, .cookie = encode_gateway(gateway)});
  pump(now);
  return true;
}

// The answer to one who has proved himself, and is to go.
void Sa::send_elsewhere(TimePoint now, PayloadWriter& out, const Buffer& inner) {
  write_notify(out, notify::kRedirect, encode_gateway(*pending_->elsewhere));
  ++host_.counters.redirected;
  respond_pending(now, out, inner);
  end(now, reason(Cause::kRedirected, ""), true);
  sent_elsewhere_ = true;
}

}  // namespace winze::ike
