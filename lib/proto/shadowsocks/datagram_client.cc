#include <cstring>
#include <utility>

#include "proto/shadowsocks/datagram_parts.h"
#include "proto/shadowsocks/wire.h"
#include "winze/base/bytes.h"
#include "winze/proto/socks/address.h"

namespace winze::shadowsocks {
namespace {

// A server may begin a new session of its own (it was started again), but not all the time.
constexpr UnixTime kServerSessionAge = 60;

struct Incoming {
  SessionCipher cipher;
  esp::ReplayWindow window{kWindow};
};

}  // namespace

struct DatagramClient::State {
  State(std::shared_ptr<const Keys> client_keys, const Surroundings& surroundings)
      : keys(std::move(client_keys)), around(surroundings) {
    if (!is_2022(keys->method)) {
      salted.emplace(keys->method, keys->user);
      return;
    }
    session.emplace(keys->method, keys->user, around.random.u64());
    answers.emplace(keys->method, keys->user);
    requests.emplace(keys->method, keys->identity.empty() ? keys->user : keys->identity.front());
    for (std::size_t i = 0; i < keys->identity.size(); ++i) {
      const bool is_last = i + 1 == keys->identity.size();
      identities.push_back({*AesBlock::create(keys->identity[i].span()),
                            name_of_key(is_last ? keys->user.span() : keys->identity[i + 1].span())});
    }
  }

  void seal_2022(Buffer& datagram, const Destination& to) {
    put_body(datagram, to, kRequestType, std::nullopt, around);
    requests->seal(datagram, *session, sent++, identities.size() * kIdentitySize, around.random);
    put_identities(datagram.data());
    requests->hide_head(datagram);
  }

  void put_identities(std::uint8_t* head) const {
    std::uint8_t* out = head + kHeadSize;
    for (const Identity& identity : identities) {
      std::uint8_t block[kIdentitySize];
      for (std::size_t i = 0; i < kIdentitySize; ++i) block[i] = identity.next[i] ^ head[i];
      identity.cipher.encrypt(block, out);
      out += kIdentitySize;
    }
  }

  Drop open_2022(Buffer& datagram, Destination& from) {
    std::uint64_t id = 0, number = 0;
    if (const Drop drop = answers->open_head(datagram, id, number); drop != Drop::kNone) return drop;
    const UnixTime now = around.clock.unix_now();
    std::optional<Incoming> fresh;
    Incoming* incoming = find(id);
    if (incoming == nullptr) {
      if (current && older && now < turned + kServerSessionAge) return Drop::kForeign;
      incoming = &fresh.emplace(Incoming{SessionCipher(keys->method, keys->user, id)});
    }
    if (const Drop drop = answers->open_body(datagram, incoming->cipher, 0); drop != Drop::kNone) return drop;
    if (!is_new(incoming->window, number)) return Drop::kReplayed;
    if (const Drop drop = take_body(datagram, from, kAnswerType, session->id, now); drop != Drop::kNone) return drop;
    incoming->window.accept(number + 1);
    if (fresh) {
      older = std::exchange(current, std::move(fresh));
      turned = now;
    }
    return Drop::kNone;
  }

  Incoming* find(std::uint64_t id) {
    if (current && current->cipher.id == id) return &*current;
    return older && older->cipher.id == id ? &*older : nullptr;
  }

  std::shared_ptr<const Keys> keys;
  Surroundings around;
  std::optional<SaltedCipher> salted;  // 2017
  // 2022:
  struct Identity {
    AesBlock cipher;
    KeyName next;
  };
  std::optional<SessionCipher> session;
  std::optional<HeadCipher> requests, answers;
  std::vector<Identity> identities;
  std::uint64_t sent = 0;
  std::optional<Incoming> current, older;  // sessions of the server's
  UnixTime turned = 0;                     // when the current one came
};

DatagramClient::DatagramClient(std::shared_ptr<const Keys> keys, const Surroundings& surroundings)
    : state_(std::make_unique<State>(std::move(keys), surroundings)) {}
DatagramClient::~DatagramClient() = default;

Overhead DatagramClient::overhead() const {
  const State& s = *state_;
  const std::size_t front = s.salted
                                ? key_size(s.keys->method)
                                : kLongNonceSize + kHeadSize + s.identities.size() * kIdentitySize + kBodyStartSize;
  return {.front = front + socks::kMaxAddressSize, .back = kTagSize};
}

bool DatagramClient::seal(Buffer& datagram, const Destination& to) {
  State& s = *state_;
  if (!socks::is_encodable(to)) return false;
  s.salted ? s.salted->seal(datagram, to, s.around.random) : s.seal_2022(datagram, to);
  return true;
}

Drop DatagramClient::open(Buffer& datagram, Destination& from) {
  return state_->salted ? state_->salted->open(datagram, from) : state_->open_2022(datagram, from);
}

}  // namespace winze::shadowsocks
