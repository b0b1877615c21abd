// What all the IKE SAs of an engine share: tables, queues, timers, numbers.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/hash/hash.h>

#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cookies.h"
#include "deadlines.h"
#include "payloads.h"
#include "tickets.h"
#include "winze/proto/ike/engine.h"
#include "wire.h"

namespace winze::ike {

class Sa;

struct HashOfAddress {
  std::size_t operator()(const IpAddress& address) const {
    const auto bytes = address.bytes();
    return absl::HashOf(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  }
};

// Outlives the engine with those who still sign for it.
struct Waker {
  absl::AnyInvocable<void()> wake;
  std::vector<std::uint64_t> ready;  // SAs whose signature has come, by the SPI that we chose
};

class Host {
 public:
  Host(EngineOptions given, Random& source);
  ~Host();

  // --- For the engine.
  void receive(TimePoint now, const Path& path, Buffer datagram);
  void on_deadline(TimePoint now);
  Sa* find(SaId sa) const;
  Sa* find(ChildId child) const;
  // Takes away the SAs that ended, and renews the deadline of `touched`.
  void settle(Sa* touched);

  // --- For the SAs.
  void transmit(const Path& path, Buffer message);  // without its marker, for which it has room in front
  void tell(Event event) { events.push_back(std::move(event)); }
  std::uint64_t new_spi();
  std::uint32_t new_child_spi();
  SaId new_sa_id() { return static_cast<SaId>(++last_sa_); }
  ChildId new_child_id() { return static_cast<ChildId>(++last_child_); }
  QuestionId ask(Sa& sa);
  void forget(QuestionId question) { questions.erase(question); }
  Sa& add(std::unique_ptr<Sa> sa);
  void doom(Sa& sa);
  void log_keys(const Sa& sa);
  void enter_half_open(Sa& sa);
  void leave_half_open(Sa& sa);
  Sa& initiate(TimePoint now, ConnectionPtr connection, const Route& route, Opening opening);
  Sa* reauthenticate(TimePoint now, Sa& sa, const Route& route);
  // Ends an IKE SA that another has taken the place of.
  void retire(TimePoint now, SaId replaced);
  // Other IKE SAs that are up, of the same peer.
  std::vector<Sa*> others_of_peer(const Sa& sa) const;
  // Whether this host has an IKE SA, as initiator, with the peer that `sa` goes to, by the same two names.
  bool has_contact(const Sa& sa) const;
  void touch(Sa& sa);  // its deadline may have changed
  std::uint64_t last_sa() const noexcept { return last_sa_; }

  EngineOptions options;
  Random& random;
  Counters counters;
  std::deque<Transmit> transmits;
  std::deque<Event> events;
  Deadlines deadlines;
  absl::flat_hash_map<std::uint64_t, std::unique_ptr<Sa>> sas;  // by the SPI that we chose
  absl::flat_hash_map<SaId, Sa*> by_id;
  absl::flat_hash_map<ChildId, Sa*> by_child;
  absl::flat_hash_map<std::uint32_t, std::pair<Sa*, ChildId>> by_child_spi;  // inbound ones; null while only promised
  absl::flat_hash_map<QuestionId, Sa*> questions;
  std::size_t half_open = 0, half_open_fragments = 0;  // bytes of these
  std::optional<Gateway> elsewhere;                    // where strangers are sent
  std::vector<IpAddress> addresses;                    // of this host, as a gateway
  Tickets tickets;
  std::shared_ptr<Waker> waker = std::make_shared<Waker>();

 private:
  friend class Responder;
  std::size_t half_open_of(const Path& path) const;
  void refuse_version(const Path& path, const Header& request);
  void receive_first(TimePoint now, const Path& path, const Header& header, Buffer& message);

  struct FirstRequest {
    std::uint64_t spi_i;
    Endpoint remote;
    friend bool operator==(const FirstRequest&, const FirstRequest&) = default;
    template <typename H>
    friend H AbslHashValue(H h, const FirstRequest& o) {
      const auto bytes = o.remote.address.bytes();
      return H::combine(H::combine_contiguous(std::move(h), bytes.data(), bytes.size()), o.spi_i, o.remote.port);
    }
  };

  Cookies cookies_;
  absl::flat_hash_map<FirstRequest, Sa*> openings_;  // half open ones, by what a repeated first request is known by
  absl::flat_hash_map<IpAddress, std::size_t, HashOfAddress> half_open_by_source_;
  std::vector<Sa*> doomed_;
  std::uint64_t last_sa_ = 0, last_child_ = 0, last_question_ = 0;
  TimePoint last_refusal_told_{};
};

}  // namespace winze::ike
