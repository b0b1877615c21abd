#include <absl/container/flat_hash_map.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "proto/shadowsocks/datagram_parts.h"
#include "proto/shadowsocks/wire.h"
#include "winze/base/bytes.h"
#include "winze/proto/socks/address.h"

namespace winze::shadowsocks {
namespace {

constexpr std::size_t kSaltMark = 16;    // of a salt, by which it is known again
constexpr std::size_t kSessions = 8192;  // those that have ended and are remembered among them
// Longer than any datagram of it could still be timely.
constexpr UnixTime kRemembered = 60;

struct Ciphers {
  Ciphers(Method method, const Secret& key, std::uint64_t client_id, std::uint64_t own_id)
      : requests(method, key, client_id), answers(method, key, own_id), answer_heads(method, key) {}

  SessionCipher requests;
  SessionCipher answers;
  HeadCipher answer_heads;
};

// What a client's session has come to.
struct Session {
  std::unique_ptr<Ciphers> ciphers;  // null: it has ended, and is remembered
  esp::ReplayWindow window{kWindow};
  std::uint64_t own_id = 0;
  std::uint64_t sent = 0;
  KeyName user{};
  Account account;
  UnixTime used = 0;
};

// Stands for a datagram of 2022 among salts. The second half, by which a window chooses its line, spreads what a
// session sends over all of them; the first tells apart what comes to the same.
std::array<std::uint8_t, kSaltMark> salt_of(std::uint64_t session, std::uint64_t number) {
  std::array<std::uint8_t, kSaltMark> out;
  store_u64(out.data(), session ^ number * 0x9e3779b97f4a7c15);
  store_u64(out.data() + 8, session + number);
  return out;
}

}  // namespace

struct DatagramServer::State {
  State(std::shared_ptr<const ServerOptions> server_options, const Surroundings& surroundings)
      : options(std::move(server_options)), around(surroundings) {
    if (is_2022(options->method)) {
      heads.emplace(options->method, options->key);
    } else {
      salted.emplace(options->method, options->key);
    }
  }

  Drop open_2017(Buffer& datagram, Destination& to) {
    if (datagram.size() < kSaltMark) return Drop::kShort;
    std::array<std::uint8_t, kSaltMark> salt;
    std::memcpy(salt.data(), datagram.data(), salt.size());
    if (const Drop drop = salted->open(datagram, to); drop != Drop::kNone) return drop;
    return is_first(salt) ? Drop::kNone : Drop::kReplayed;
  }

  // Also of those that the servers have taken which share the options.
  bool is_first(std::span<const std::uint8_t> salt) {
    return !options->datagram_salts || options->datagram_salts->add(salt, around.clock.unix_now());
  }

  Drop open_2022(Buffer& datagram, Destination& to, std::uint64_t& id) {
    std::uint64_t number = 0;
    if (const Drop drop = heads->open_head(datagram, id, number); drop != Drop::kNone) return drop;
    const auto found = sessions.find(id);
    if (found != sessions.end() && found->second->ciphers) {
      Session& session = *found->second;
      return open(datagram, to, number, session, *session.ciphers);
    }
    Secret key;
    KeyName user{};
    Account account;
    if (const Drop drop = find_key(datagram, key, user, account); drop != Drop::kNone) return drop;
    std::unique_ptr<Session> fresh;
    if (found == sessions.end()) {
      fresh = std::make_unique<Session>();
      fresh->own_id = around.random.u64();
      fresh->user = user;
      fresh->account = std::move(account);
    }
    // One that has ended goes on with the window that it had, if the user still is one.
    Session& session = fresh ? *fresh : *found->second;
    if (session.user != user) return Drop::kUnknownUser;
    auto ciphers = std::make_unique<Ciphers>(options->method, key, id, session.own_id);
    if (const Drop drop = open(datagram, to, number, session, *ciphers); drop != Drop::kNone) return drop;
    session.ciphers = std::move(ciphers);
    if (!fresh) return Drop::kNone;
    if (!make_room()) return Drop::kFull;
    sessions.emplace(id, std::move(fresh));
    return Drop::kNone;
  }

  Drop find_key(Buffer& datagram, Secret& key, KeyName& user, Account& account) {
    key = options->key;
    account = options->account;
    if (!options->users) return Drop::kNone;
    if (datagram.size() < kHeadSize + kIdentitySize) return Drop::kShort;
    heads->block().decrypt(datagram.data() + kHeadSize, user.data());
    for (std::size_t i = 0; i < user.size(); ++i) user[i] ^= datagram.data()[i];
    const User* known = options->users->find(user);
    if (known == nullptr) return Drop::kUnknownUser;
    key = known->key;
    account = known->account;
    return Drop::kNone;
  }

  Drop open(Buffer& datagram, Destination& to, std::uint64_t number, Session& session, Ciphers& ciphers) {
    const UnixTime now = around.clock.unix_now();
    const std::size_t identity = options->users ? kIdentitySize : 0;
    if (const Drop drop = heads->open_body(datagram, ciphers.requests, identity); drop != Drop::kNone) return drop;
    if (!is_new(session.window, number)) return Drop::kReplayed;
    if (const Drop drop = take_body(datagram, to, kRequestType, std::nullopt, now); drop != Drop::kNone) return drop;
    if (!is_first(salt_of(ciphers.requests.id, number))) return Drop::kReplayed;
    session.window.accept(number + 1);
    session.used = now;
    return Drop::kNone;
  }

  // Those that have ended go when no datagram of theirs can be timely any more.
  bool make_room() {
    if (sessions.size() < forget_from) return true;
    const UnixTime old = around.clock.unix_now() - kRemembered;
    absl::erase_if(sessions, [old](const auto& entry) { return !entry.second->ciphers && entry.second->used < old; });
    forget_from = std::clamp(2 * sessions.size(), std::size_t{64}, kSessions);
    return sessions.size() < kSessions;
  }

  bool seal_2022(Buffer& datagram, const Destination& from, std::uint64_t id) {
    const auto found = sessions.find(id);
    if (found == sessions.end() || !found->second->ciphers) return false;
    Session& session = *found->second;
    Ciphers& ciphers = *session.ciphers;
    put_body(datagram, from, kAnswerType, id, around);
    ciphers.answer_heads.seal(datagram, ciphers.answers, session.sent++, 0, around.random);
    ciphers.answer_heads.hide_head(datagram);
    return true;
  }

  std::shared_ptr<const ServerOptions> options;
  Surroundings around;
  std::optional<SaltedCipher> salted;  // 2017
  // 2022:
  std::optional<HeadCipher> heads;
  absl::flat_hash_map<std::uint64_t, std::unique_ptr<Session>> sessions;
  std::size_t forget_from = 64;
  std::array<std::uint64_t, kDrops> drops{};
};

DatagramServer::DatagramServer(std::shared_ptr<const ServerOptions> options, const Surroundings& surroundings)
    : state_(std::make_unique<State>(std::move(options), surroundings)) {}
DatagramServer::~DatagramServer() = default;

Overhead DatagramServer::overhead() const {
  const std::size_t front =
      state_->salted ? key_size(state_->options->method) : kLongNonceSize + kHeadSize + kBodyStartSize + 8;
  return {.front = front + socks::kMaxAddressSize, .back = kTagSize};
}

Drop DatagramServer::open(Buffer& datagram, Destination& to, std::uint64_t& session) {
  session = 0;
  const Drop drop = state_->salted ? state_->open_2017(datagram, to) : state_->open_2022(datagram, to, session);
  ++state_->drops[static_cast<std::size_t>(drop)];
  return drop;
}

std::uint64_t DatagramServer::dropped(Drop reason) const { return state_->drops[static_cast<std::size_t>(reason)]; }

bool DatagramServer::seal(Buffer& datagram, const Destination& from, std::uint64_t session) {
  if (!socks::is_encodable(from)) return false;
  if (!state_->salted) return state_->seal_2022(datagram, from, session);
  state_->salted->seal(datagram, from, state_->around.random);
  return true;
}

Account DatagramServer::account(std::uint64_t session) const {
  const auto found = state_->sessions.find(session);
  return found == state_->sessions.end() ? state_->options->account : found->second->account;
}

void DatagramServer::end(std::uint64_t session) {
  const auto found = state_->sessions.find(session);
  if (found != state_->sessions.end()) found->second->ciphers.reset();
}

}  // namespace winze::shadowsocks
