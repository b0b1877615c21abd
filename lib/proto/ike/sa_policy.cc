// What a connection says of its peers: how many IKE SAs each may have, when certificates are shown, how long a proof of
// identity lasts (RFC 4478).
#include <algorithm>

#include "sa.h"

namespace winze::ike {
namespace {

// What makes a new IKE SA before it ends the old one (RFC 7296 section 2.8.3) is given so long for the end.
constexpr Duration kTakeover{std::chrono::seconds(10)};
constexpr Duration kShortestLifetime{std::chrono::seconds(1)};

}  // namespace

// --- Connection::send_certificate

void Sa::take_certificate_requests(const Contents& contents) {
  const auto is_bare = [](const CertificateView& request) { return request.encoding == kRawPublicKey; };
  const auto& requests = contents.certificate_requests;
  handshake_->bare_key_wanted = std::ranges::any_of(requests, is_bare);
  handshake_->certificate_wanted = !std::ranges::all_of(requests, is_bare);
}

void Sa::show_certificates(PayloadWriter& out) const {
  const LocalAuth& local = own_round();
  const SendCertificate when = connection_->send_certificate;
  if (local.method != AuthMethod::kPublicKey || !local.certificate || when == SendCertificate::kNever) return;
  const bool bare = local.certificate->chain.empty();
  const bool asked = bare ? handshake_->bare_key_wanted : handshake_->certificate_wanted;
  if (when == SendCertificate::kIfAsked && !asked) return;
  if (bare) {
    write_certificate(out, PayloadType::kCertificate, kRawPublicKey, local.certificate->key->public_key().spki());
  }
  for (const Certificate& certificate : local.certificate->chain) {
    write_certificate(out, PayloadType::kCertificate, kX509Signature, certificate.der());
  }
}

// --- Connection::unique

bool Sa::may_come_beside_others(bool initial_contact) const {
  if (connection_->unique != Unique::kKeep || initial_contact) return true;
  return std::ranges::all_of(host_.others_of_peer(*this),
                             [&](const Sa* other) { return other->path_.remote.address == path_.remote.address; });
}

void Sa::end_others(TimePoint now, bool initial_contact) {
  const Unique unique = connection_->unique;
  if (unique == Unique::kNever || (unique != Unique::kReplace && !initial_contact)) return;
  for (Sa* const other : host_.others_of_peer(*this)) {
    if (initial_contact) {
      other->end(now, other->reason(Cause::kReplaced, "INITIAL_CONTACT"), false);
      continue;
    }
    other->closing_cause_ = Cause::kReplaced;
    if (other->path_.remote.address == path_.remote.address) {
      other->queue({.kind = Task::Kind::kDeleteIke, .not_before = now + kTakeover});
    } else {
      other->close(now);
    }
    host_.touch(*other);
  }
}

bool Sa::says_initial_contact() const {
  if (connection_->unique == Unique::kNever || handshake_->opening.replaces != SaId{}) return false;
  return !host_.has_contact(*this);
}

// --- RFC 4478

void Sa::write_auth_lifetime(PayloadWriter& out) const {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(connection_->reauth_time).count();
  if (seconds <= 0) return;
  std::uint8_t bytes[4];
  store_u32(bytes, static_cast<std::uint32_t>(std::min<std::int64_t>(seconds, UINT32_MAX)));
  write_notify(out, notify::kAuthLifetime, bytes);
}

void Sa::take_auth_lifetime(TimePoint now, const Contents& contents) {
  const NotifyView* const said = contents.find(notify::kAuthLifetime);
  if (!client_ || said == nullptr || said->data.size() != 4) return;
  const Duration lifetime = std::max<Duration>(std::chrono::seconds(load_u32(said->data.data())), kShortestLifetime);
  // Early enough for the exchange, and its repetitions.
  reauth_at_ = std::min(reauth_at_, now + lifetime - std::min(connection_->over_time, lifetime / 10));
}

}  // namespace winze::ike
