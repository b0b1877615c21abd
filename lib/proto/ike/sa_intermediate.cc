// Further key exchanges (RFC 9370), one IKE_INTERMEDIATE (RFC 9242) each, between IKE_SA_INIT and IKE_AUTH.
#include "sa.h"

namespace winze::ike {

bool Sa::exchanges_wanting() const noexcept {
  return !resumes() && additional_method(proposal_, handshake_->intermediate.exchanges()) != id::kNoKeyExchange;
}

void Sa::continue_opening(TimePoint now) {
  if (!exchanges_wanting()) return prove(now);
  Handshake& h = *handshake_;
  h.group = additional_method(proposal_, h.intermediate.exchanges());
  auto exchange = KeyExchange::create(static_cast<KeyExchangeMethod>(h.group), host_.random);
  if (!exchange.ok()) return end(now, reason(Cause::kUnsupported, std::string(exchange.status().message())), false);
  h.key_exchange = *std::move(exchange);
  Buffer inner(2048);
  PayloadWriter out(inner);
  write_key_exchange(out, h.group, h.key_exchange->public_value());
  send_request(now, {.kind = Task::Kind::kIntermediate}, Exchange::kIntermediate, out.first(), inner.span());
}

void Sa::on_intermediate_response(TimePoint now, const Contents& contents) {
  Handshake& h = *handshake_;
  if (const NotifyView* const error = contents.error()) {
    return end(now, reason(Cause::kRefusedByPeer, "", error->type), false);
  }
  if (!contents.key_exchange || contents.key_exchange->method != h.group) {
    return end(now, reason(Cause::kMisbehaved, "an IKE_INTERMEDIATE response without its key exchange"), false);
  }
  const auto shared = h.key_exchange->derive(contents.key_exchange->value);
  h.key_exchange.reset();
  if (!shared.ok()) return end(now, reason(Cause::kMisbehaved, std::string(shared.status().message())), false);
  take_additional(*shared);
  continue_opening(now);
}

void Sa::on_intermediate_request(TimePoint now, const Path& path, const Header& header, const Contents& contents) {
  const auto fail = [&](std::string text) {
    respond_notify(now, header, path, notify::kInvalidSyntax);
    end(now, reason(Cause::kMisbehaved, std::move(text), notify::kInvalidSyntax), true);
  };
  const std::uint16_t method = additional_method(proposal_, handshake_->intermediate.exchanges());
  if (method == id::kNoKeyExchange || !contents.key_exchange || contents.key_exchange->method != method) {
    return fail("an IKE_INTERMEDIATE request without the key exchange that is due");
  }
  const auto answer =
      answer_key_exchange(static_cast<KeyExchangeMethod>(method), contents.key_exchange->value, host_.random);
  if (!answer.ok()) return fail(std::string(answer.status().message()));
  Buffer inner(2048);
  PayloadWriter out(inner);
  write_key_exchange(out, method, answer->public_value);
  // A copy of this request is still sealed with the keys of before.
  handshake_->inbound_before = inbound_keys();
  respond(now, header, path, out.first(), inner.span());
  take_additional(answer->shared);
}

void Sa::take_additional(const Secret& shared) {
  const Handshake& h = *handshake_;
  take_keys(skeyseed_of_additional(suite_.prf, keys_.d, shared.span(), h.nonce_i, h.nonce_r), h.nonce_i, h.nonce_r);
}

void Sa::cover_intermediate(const Header& header, PayloadType first, Bytes payloads) {
  if (header.exchange != Exchange::kIntermediate || !handshake_) return;
  handshake_->intermediate.cover(suite_.prf, header.initiator ? keys_.pi : keys_.pr, header, first, payloads);
}

}  // namespace winze::ike
