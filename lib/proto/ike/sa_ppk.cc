// Preshared keys beside the other proofs (RFC 8784). They change what authenticates and what derives, so the messages
// with AUTH tell of them: the initiator's names its key, the responder's says that it has it too.
//
//   USE_PPK                                     -->  <--  USE_PPK               (IKE_SA_INIT)
//   AUTH, PPK_IDENTITY(name), [NO_PPK_AUTH]     -->  <--  AUTH, [PPK_IDENTITY]
//
// After EAP these are the last two messages; the responder has proved itself before without the key.
#include <absl/status/status.h>

#include <algorithm>

#include "sa.h"

namespace winze::ike {
namespace {

constexpr std::uint8_t kFixedId = 2;  // PPK_ID_FIXED: opaque bytes

ByteVector ppk_identity(const Ppk& ppk) {
  ByteVector out(1 + ppk.id.size());
  out[0] = kFixedId;
  std::ranges::copy(ppk.id, out.begin() + 1);
  return out;
}

// The one that a peer names.
const Ppk* named_ppk(const Connection& connection, Bytes identity) {
  if (has_rounds(connection)) return nullptr;
  for (const Ppk& ppk : connection.ppks) {
    if (!connection.ppk_id.empty() && ppk.id != connection.ppk_id) continue;
    if (std::ranges::equal(identity, ppk_identity(ppk))) return &ppk;
  }
  return nullptr;
}

}  // namespace

const Ppk* own_ppk(const Connection& connection) noexcept {
  if (connection.ppk_id.empty()) return nullptr;
  const auto found = std::ranges::find(connection.ppks, connection.ppk_id, &Ppk::id);
  return found == connection.ppks.end() ? nullptr : &*found;
}

void Sa::mix_in_ppk() {
  Handshake& h = *handshake_;
  if (h.ppk == nullptr || h.without_ppk) return;
  h.without_ppk = PpkKeys{keys_.d, keys_.pi, keys_.pr};
  mix_ppk(suite_.prf, h.ppk->secret, keys_);
}

// --- Initiator

bool Sa::offers_way_without_ppk() const noexcept {
  return initiator_ && handshake_->without_ppk && !connection_->ppk_required;
}

void Sa::write_ppk(PayloadWriter& out) {
  const Handshake& h = *handshake_;
  if (!h.without_ppk) return;
  write_notify(out, notify::kPpkIdentity, initiator_ ? ppk_identity(*h.ppk) : ByteVector());
  if (h.own_auth_without_ppk) write_notify(out, notify::kNoPpkAuth, h.own_auth_without_ppk->data);
}

absl::Status Sa::ppk_answered(const Contents& contents) {
  PpkKeys* const plain = handshake_->without_ppk ? &*handshake_->without_ppk : nullptr;
  if (plain == nullptr || contents.has(notify::kPpkIdentity)) return absl::OkStatus();
  if (connection_->ppk_required) return absl::UnauthenticatedError("it does not use our PPK");
  keys_.d = std::move(plain->d);
  keys_.pi = std::move(plain->pi);
  keys_.pr = std::move(plain->pr);
  handshake_->without_ppk.reset();
  return absl::OkStatus();
}

// --- Responder

absl::Status Sa::take_ppk(const Contents& contents) {
  Handshake& h = *handshake_;
  if (h.ppk_settled) return absl::OkStatus();
  const NotifyView* const sent = contents.find(notify::kPpkIdentity);
  h.ppk = sent != nullptr ? named_ppk(*connection_, sent->data) : nullptr;
  if (h.ppk == nullptr && connection_->ppk_required) {
    return absl::UnauthenticatedError(sent == nullptr ? "it uses no PPK" : "it uses a PPK that is not here");
  }
  if (sent != nullptr && h.ppk == nullptr && !contents.has(notify::kNoPpkAuth)) {
    return absl::UnauthenticatedError("it uses a PPK that is not here");
  }
  mix_in_ppk();
  h.ppk_refused = sent != nullptr && h.ppk == nullptr;
  h.ppk_settled = true;
  return absl::OkStatus();
}

AuthView Sa::auth_of(const Contents& contents) const {
  const NotifyView* const without = contents.find(notify::kNoPpkAuth);
  if (!handshake_->ppk_refused || without == nullptr) return *contents.auth;
  return {contents.auth->method, without->data};
}

}  // namespace winze::ike
