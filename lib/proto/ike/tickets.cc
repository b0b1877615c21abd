#include "tickets.h"

#include <algorithm>
#include <array>
#include <utility>

#include "winze/crypto/aead.h"

namespace winze::ike {
namespace {

constexpr std::size_t kNamesSize = 16, kTagSize = 16;

std::array<std::uint8_t, 12> nonce_of(std::uint64_t number) {
  std::array<std::uint8_t, 12> nonce{};
  store_u64(nonce.data() + 4, number);
  return nonce;
}

void write_text(Writer& out, Bytes bytes) {
  out.u16(static_cast<std::uint16_t>(bytes.size()));
  out.bytes(bytes);
}

Bytes read_text(Reader& in) {
  const std::size_t size = in.u16();
  return in.bytes(size);
}

void write_identity(Writer& out, const Identity& identity) {
  out.u8(static_cast<std::uint8_t>(identity.type));
  write_text(out, identity.bytes);
}

Identity read_identity(Reader& in) {
  const auto type = static_cast<IdentityType>(in.u8());
  const Bytes bytes = read_text(in);
  return {type, {bytes.begin(), bytes.end()}};
}

void write_session(Writer& out, const Session& session) {
  out.u64(static_cast<std::uint64_t>(session.expires_at.time_since_epoch().count()));
  write_text(out, session.d.span());
  out.u8(static_cast<std::uint8_t>(session.proposal.transforms.size()));
  for (const Transform& transform : session.proposal.transforms) {
    out.u8(static_cast<std::uint8_t>(transform.type));
    out.u16(transform.id);
    out.u16(transform.key_bits);
  }
  write_identity(out, session.gateway);
  write_identity(out, session.client);
  write_text(out, as_bytes(session.eap_identity));
  write_text(out, as_bytes(session.connection));
}

std::optional<Session> read_session(Bytes bytes) {
  Reader in(bytes);
  Session session;
  session.expires_at = TimePoint(Duration(static_cast<Duration::rep>(in.u64())));
  session.d = Secret(read_text(in));
  const std::size_t transforms = in.u8();
  for (std::size_t i = 0; i < transforms && in.ok(); ++i) {
    const auto type = static_cast<TransformType>(in.u8());
    const std::uint16_t number = in.u16(), bits = in.u16();
    session.proposal.transforms.push_back({type, number, bits});
  }
  session.gateway = read_identity(in);
  session.client = read_identity(in);
  session.eap_identity = as_text(read_text(in));
  session.connection = as_text(read_text(in));
  return in.ok() && in.remaining() == 0 ? std::optional(std::move(session)) : std::nullopt;
}

}  // namespace

std::vector<std::uint8_t> Tickets::give(TimePoint now, Random& random, Duration lifetime, const Session& session) {
  Key& key = keys_.front();
  if (key.secret.empty() || now - key.since >= lifetime) {
    keys_.back() = std::exchange(key, {random.u64(), Secret(32), now, {}});
    random.fill(key.secret.span());
  }
  const std::uint64_t number = key.used.size();
  if (number >= kMost) return {};
  key.used.push_back(false);
  Buffer ticket(512, kNamesSize);
  Writer out(ticket);
  write_session(out, session);
  const auto aead = Aead::create(AeadAlgorithm::kAesGcm, std::as_const(key.secret).span());
  std::array<std::uint8_t, kTagSize> tag{};
  const std::span<std::uint8_t> text = ticket.span();
  std::array<std::uint8_t, kNamesSize> names{};
  store_u64(names.data(), key.id);
  store_u64(names.data() + 8, number);
  const bool sealed = aead.ok() && aead->seal(nonce_of(number), names, text, tag.data());
  std::vector<std::uint8_t> made;
  if (sealed) {
    made.assign(names.begin(), names.end());
    made.insert(made.end(), text.begin(), text.end());
    made.insert(made.end(), tag.begin(), tag.end());
  }
  secure_wipe(text);
  return made;
}

std::size_t Tickets::find(std::uint64_t id) const noexcept {
  const auto found = std::ranges::find_if(keys_, [&](const Key& key) { return key.id == id && !key.secret.empty(); });
  return static_cast<std::size_t>(found - keys_.begin());
}

std::optional<Session> Tickets::open(TimePoint now, Bytes ticket) const {
  if (ticket.size() < kNamesSize + kTagSize) return std::nullopt;
  const std::uint64_t id = load_u64(ticket.data()), number = load_u64(ticket.data() + 8);
  const std::size_t at = find(id);
  if (at == kNone || number >= keys_[at].used.size() || keys_[at].used[number]) return std::nullopt;
  const auto aead = Aead::create(AeadAlgorithm::kAesGcm, keys_[at].secret.span());
  Secret text(ticket.subspan(kNamesSize, ticket.size() - kNamesSize - kTagSize));
  if (!aead.ok() ||
      !aead->open(nonce_of(number), ticket.first(kNamesSize), text.span(), ticket.last(kTagSize).data())) {
    return std::nullopt;
  }
  auto session = read_session(std::as_const(text).span());
  if (!session || now >= session->expires_at) return std::nullopt;
  session->key = id;
  session->number = number;
  return session;
}

bool Tickets::use(const Session& session) {
  const std::size_t at = find(session.key);
  if (at == kNone || keys_[at].used[session.number]) return false;
  return keys_[at].used[session.number] = true;
}

}  // namespace winze::ike
