// IKEv2 as an engine: datagrams, commands and time in; datagrams, events and deadlines out. One engine holds all the
// IKE SAs of a host, as initiator and as responder. It owns no socket, reads no clock, and blocks for nothing.
//
//   engine.receive(now, path, std::move(datagram));               // or any command below
//   while (auto out = engine.next_transmit()) send(*out);
//   while (auto event = engine.next_event()) std::visit(handler, *event);
//   timer.arm(engine.deadline());                                  // then engine.on_deadline(now), and the same again
//
// What a stranger can cost: a request that opens an IKE SA is answered from the stack until its cookie has come back,
// once there are more than `cookie_threshold` SAs half open (RFC 7296 section 2.6), or more than a few of one source,
// and not answered at all beyond `half_open_limit`. An idle IKE SA with one child keeps a few KiB, and one place in a
// heap of deadlines.
//
// Base documents: RFC 7296; RFC 7383 (fragments), RFC 4555 (MOBIKE), RFC 6023 (childless), RFC 7427 (signatures),
// RFC 8784 (preshared keys), RFC 9242 and 9370 (further key exchanges), RFC 5723 (tickets), RFC 5685 (redirects).
#pragma once

#include <absl/functional/any_invocable.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "winze/base/buffer.h"
#include "winze/base/random.h"
#include "winze/base/time.h"
#include "winze/proto/ike/config.h"
#include "winze/proto/ike/event.h"
#include "winze/proto/ike/path.h"

namespace winze::ike {

struct EngineOptions {
  // What a responder takes, the first that fits. Empty: this host is a client only, and answers no stranger.
  std::vector<ConnectionPtr> connections;
  // The host chooses the connection (AskConnection) once the peer has named itself; those above are what the first
  // exchange is judged by.
  bool ask_connection = false;

  std::size_t cookie_threshold = 30;   // IKE SAs half open; 0: every stranger has to return a cookie
  std::size_t half_open_limit = 5000;  // more are not answered
  // The same for one source: an IPv4 address, or the 64 bits that name a network of IPv6; 0: no matter which. Those who
  // come in streams are not counted. As strongSwan's cookie_threshold_ip and block_threshold: who forges a source has
  // no cookie, and so locks nobody out.
  std::size_t source_cookie_threshold = 3;
  std::size_t source_half_open_limit = 5;
  Duration half_open_timeout{std::chrono::seconds(30)};
  // How long an IKE SA waits for its own host: for the answer to a question, a signature, a step of EAP. Then one that
  // opens ends (kHostTimedOut), and a child of the peer is refused for now. 0: for ever.
  Duration host_timeout{std::chrono::seconds(30)};
  // Bytes of fragments that wait for the rest of their message, for one IKE SA (RFC 7383 section 2.6).
  std::size_t reassembly_limit = 1 << 16;
  std::size_t half_open_reassembly_limit = 1 << 22;  // for all together that are half open
  // Child SAs of one IKE SA; more that a peer wants are refused (NO_ADDITIONAL_SAS).
  std::size_t child_limit = 64;
  // An SA that was replaced by a rekey still accepts packets that are on their way for so long after its deletion.
  Duration inbound_grace{std::chrono::seconds(5)};

  // The time of day, which certificates are judged by; must outlive the engine.
  const WallClock* wall_clock = nullptr;
  // Tickets given to clients (Connection::resumption) are sealed by a key that is made anew after so long, and good for
  // as long.
  Duration ticket_lifetime{std::chrono::hours(1)};

  // Called when a key has signed outside of the engine's own calls (PrivateKey::sign): deadline() is past then, and the
  // host calls on_deadline(). May be null where no key does so.
  absl::AnyInvocable<void()> wake;

  // When the newest authentic ESP packet of an SA's children came, in the engine's time; anything long past when none
  // has. Asked where a probe is due, and at no other time: a peer whose packets come is alive, and the probe is due
  // dpd_delay after the last of them. Null: only IKE's own messages count.
  absl::AnyInvocable<TimePoint(SaId)> last_heard;

  // When the newest packet of a child passed, to the peer or from it; anything long past when none has. Asked where
  // ChildConfig::inactivity may be over.
  absl::AnyInvocable<TimePoint(ChildId)> last_traffic;

  // Whoever reads these lines reads all that the SAs carry. One line of Wireshark's ikev2_decryption_table for each IKE
  // SA. Null: no keys leave the engine.
  absl::AnyInvocable<void(std::string_view line)> key_log;
};

struct Transmit {
  Path path;
  Buffer datagram;
};

// Where a client's messages go. Most begin at port 500 and float to 4500 once they know of a NAT or of MOBIKE; one that
// begins where ESP goes too (`first.marker`) stays there.
struct Route {
  Path first;
  std::optional<Path> floated;
};

// How an IKE SA begins, where it is not by itself.
struct Opening {
  SaId replaces{};  // another IKE SA of ours, which ends when this one is up
  // Without a key exchange; with one all the same when the gateway does not take the ticket, or does not answer.
  std::shared_ptr<const Ticket> ticket;
  std::optional<Redirection> redirection;
};

struct Counters {
  std::uint64_t received = 0, sent = 0;  // datagrams
  std::uint64_t malformed = 0;           // no IKE messages, or not whole
  std::uint64_t unknown_sa = 0;          // for an IKE SA that is not here
  std::uint64_t bad_integrity = 0;
  std::uint64_t out_of_window = 0;  // message ids that are neither expected nor just answered
  std::uint64_t replays_answered = 0;
  std::uint64_t retransmits = 0;
  std::uint64_t cookies_sent = 0, cookies_bad = 0;
  std::uint64_t over_limit = 0, over_source_limit = 0;  // strangers not answered; those of them by their source
  std::uint64_t fragments_dropped = 0;
  std::uint64_t initiated = 0, accepted = 0, failed = 0;  // IKE SAs that came up by us, by peers; that did not
  std::uint64_t resumed = 0, tickets_refused = 0;         // as responder
  std::uint64_t redirected = 0;
  std::uint64_t ike_rekeys = 0, child_rekeys = 0, collisions = 0;
};

// A look at one IKE SA.
struct SaInfo {
  bool established = false;
  bool initiator = false;
  std::uint64_t spi_i = 0, spi_r = 0;
  Path path;
  Identity local, remote;
  Proposal proposal;
  std::vector<ChildId> children;
  std::vector<IpAddress> peer_addresses;  // a client's: those that the gateway has told, and the one in use
};

class Host;

class Engine {
 public:
  // `random` must outlive the engine, and be unpredictable outside of tests.
  Engine(EngineOptions options, Random& random);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // The datagram is a whole IKE message, behind its marker if the path has one. It is changed in place.
  void receive(TimePoint now, const Path& path, Buffer datagram);
  std::optional<Transmit> next_transmit();
  std::optional<Event> next_event();
  // When on_deadline() has something to do; kNever: not by time alone. Exact: nothing is to be done before.
  TimePoint deadline() const;
  void on_deadline(TimePoint now);

  // --- Commands. Those about an SA or a child are false when there is none, or when it is not up.
  // A responder's connections from now on; SAs that are up keep theirs.
  void set_connections(std::vector<ConnectionPtr> connections);
  SaId initiate(TimePoint now, ConnectionPtr connection, const Route& route, Opening opening = {});
  // From now on strangers who can follow are sent there, and cost no state; none: they come in.
  void redirect_newcomers(std::optional<Gateway> gateway);
  // This host's addresses, of which a gateway tells its clients (RFC 4555): they try others when one is not reached any
  // more.
  void set_addresses(TimePoint now, std::vector<IpAddress> addresses);
  // Sends a client, which has to be able to follow, to another gateway. It is for the host to end the IKE SA of one
  // that stays.
  bool redirect(TimePoint now, SaId sa, Gateway gateway);
  // One more child SA: ChildUp or ChildRefused tells.
  bool add_child(TimePoint now, SaId sa, ChildConfigPtr child);
  bool rekey_child(TimePoint now, ChildId child);
  bool delete_child(TimePoint now, ChildId child);
  bool rekey(TimePoint now, SaId sa);
  // A new IKE SA beside the old one, which ends when the new one is up (RFC 7296 section 2.8.3). By initiators.
  bool reauthenticate(TimePoint now, SaId sa);
  // Tells the peer, and waits for its answer; Closed follows.
  bool close(TimePoint now, SaId sa);
  // Forgets it at once, and tells the peer nothing; no event follows.
  bool forget(SaId sa);
  // This host's network has changed: MOBIKE where the peer speaks it, else reauthentication over the new path.
  // Migrated, MoveRefused or Closed follows.
  bool move(TimePoint now, SaId sa, const Route& route);
  // False for a question that does not wait any more, or an answer of the wrong kind.
  bool answer(TimePoint now, QuestionId question, Answer answer);

  std::optional<SaInfo> info(SaId sa) const;
  // The child that an inbound SPI belongs to.
  std::optional<ChildId> child_of(std::uint32_t inbound_spi) const;
  std::size_t size() const;       // IKE SAs, also those half open and those that end
  std::size_t half_open() const;  // as responder
  const Counters& counters() const;

 private:
  std::unique_ptr<Host> host_;
};

}  // namespace winze::ike
