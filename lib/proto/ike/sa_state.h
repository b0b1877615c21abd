// What an IKE SA keeps: its child SAs, and its exchanges under way.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "auth_signature.h"
#include "host.h"
#include "intermediate.h"
#include "keys.h"
#include "payloads.h"
#include "selectors.h"
#include "winze/crypto/key_exchange.h"

namespace winze::ike {

using ByteVector = std::vector<std::uint8_t>;

// A pair of ESP SAs. Those that replace each other have one id.
struct ChildSa {
  enum class State : std::uint8_t {
    kUp,
    kRekeyed,   // another pair has taken its place: it waits for its deletion
    kDeleting,  // we have asked for its deletion
  };

  ChildId id{};
  State state = State::kUp;
  bool initiator = false;  // of the exchange that made it
  std::uint32_t spi_in = 0, spi_out = 0;
  ChildConfigPtr config;
  bool transport = false;
  std::uint16_t group = 0;  // of the key exchange that made it; 0: none
  bool sends = false;       // it is the one that is sent by
  TimePoint rekey_at = kNever, expire_at = kNever, idle_at = kNever;
  // Of a pair that the peer made in a rekey: sent by once the old one is gone (RFC 7296 section 2.8).
  std::unique_ptr<esp::SaConfig> waiting_outbound;
};

struct Task {
  enum class Kind : std::uint8_t {
    kInit,
    kIntermediate,
    kAuth,
    kCreateChild,
    kRekeyChild,
    kDeleteChild,
    kRekeyIke,
    kDeleteIke,
    kProbe,
    kMove,
    kCheckWay,
    kTellAddresses,
    kRedirect
  };

  Kind kind{};
  std::uint32_t spi = 0;  // of the child SA it is about, our inbound one
  ChildId child{};        // and its id
  ChildConfigPtr config;
  std::uint16_t group = 0;   // that the peer has asked for; 0: our first
  ByteVector cookie;         // COOKIE2 of a move or a check; the gateway of a redirect
  bool single_pair = false;  // the peer takes a child for one address of each end only
  bool unwanted = false;     // the child is to go as soon as it has been rekeyed
  bool unmade = false;       // what is deleted is the peer's only: its answer made no pair here
  TimePoint not_before{};
  unsigned attempts = 0;               // that ended with TEMPORARY_FAILURE
  unsigned repeats = 0;                // of an offer that the peer wants otherwise
  Cause cause = Cause::kClosedByHost;  // why something is deleted
};

// What of a child SA was settled in an exchange, by either end.
struct ChildOutcome {
  Proposal proposal;
  std::uint32_t spi_in = 0, spi_out = 0;
  ip::SelectorPair selectors;
  bool transport = false;
  bool pads = true;  // the peer takes TFC padding
  bool initiator = false;
};

// A rekey of the peer that came while ours of the same SA was on its way (RFC 7296 section 2.8.1).
struct Crossing {
  ByteVector lowest_nonce;      // of the peer's exchange
  std::uint32_t child_spi = 0;  // what it made: a child SA, by our inbound SPI
  std::uint64_t ike_spi = 0;    // or an IKE SA, by our SPI
};

// What a CREATE_CHILD_SA has settled while its further key exchanges are made (RFC 9370 section 2.2.4), at either end.
struct FollowUp {
  Proposal proposal;
  ByteVector nonce_i, nonce_r;
  Secret shared;      // of the first key exchange
  Secret further;     // of the others so far
  unsigned done = 0;  // of them
  ByteVector link;    // what the responder has named this by
  // Of a new IKE SA.
  SpiPair ike;
  // Of a child SA: a pair for it, in place of `replaced` if that is not 0.
  ChildConfigPtr config;
  ChildOutcome outcome;
  ChildId child{};
  std::uint32_t replaced = 0;
};

// Our request that waits for its answer.
struct Active {
  Task task;
  Exchange exchange{};
  std::uint32_t message_id = 0;
  std::vector<Buffer> packets;  // of one message; several: its fragments
  unsigned tries = 0;
  TimePoint resend_at = kNever;
  // CREATE_CHILD_SA
  ByteVector nonce;
  std::unique_ptr<KeyExchange> key_exchange;
  std::uint16_t group = 0;
  std::uint32_t child_spi = 0;
  std::uint64_t ike_spi = 0;
  std::unique_ptr<Crossing> crossing;
  std::unique_ptr<FollowUp> follow_up;
};

enum class Asked : std::uint8_t { kNothing, kConnection, kPsk, kAuthorize, kAddresses, kNarrow };

// A request of the peer that is being worked on.
struct Pending {
  Header header;
  Path path;
  PayloadType first{};
  ByteVector payloads;
  Asked asked = Asked::kNothing;  // what it has asked last, and waits for while there is a question
  QuestionId question{};
  std::optional<Secret> psk;
  bool chosen = false;    // the connection
  bool verified = false;  // that the peer is whom it says
  bool allowed = false;
  std::optional<Configuration> configuration;
  std::optional<ip::SelectorPair> narrowed;
  std::optional<Gateway> elsewhere;  // where the host sends the peer
  bool given_up = false;             // the host has not answered in time
};

// A signature that has been asked for.
struct Signing {
  bool late = false;  // sign() has returned without it
  SignatureMethod method;
  std::optional<absl::StatusOr<ByteVector>> result;
};

// The same for a step of EAP.
struct EapStep {
  bool late = false;
  std::optional<eap::Step> result;
};

struct OwnAuth {
  std::uint8_t method = 0;
  ByteVector data;
  bool of_eap = false;  // it ends EAP, and names nobody
};

// The rounds of authentication of one end (RFC 4739): which one it is in, and whether its proof has been given.
struct Rounds {
  std::size_t current = 0;
  bool given = false;

  std::size_t left(std::size_t all) const noexcept { return all - current - given; }
  // To the next one, where this one is over.
  void go_on(std::size_t all) noexcept {
    if (!given || left(all) == 0) return;
    ++current;
    given = false;
  }
};

// The keys that a PPK changes, as they are without it.
struct PpkKeys {
  Secret d, pi, pr;
};

// What only the opening of an IKE SA needs.
struct Handshake {
  Route route;
  ByteVector request, response;  // the IKE_SA_INIT messages, which AUTH covers
  ByteVector nonce_i, nonce_r;
  std::unique_ptr<KeyExchange> key_exchange;
  std::uint16_t group = 0;
  ByteVector cookie;
  unsigned restarts = 0;
  Secret pi, pr;
  ProposalList offered;  // by the peer
  std::optional<Identity> wanted;
  std::uint32_t child_spi = 0;
  bool peer_childless = false;
  bool certificate_wanted = false, bare_key_wanted = false;  // by the peer
  QuestionId question{};                                     // of the initiator
  Opening opening;                                           // its ticket until the gateway has refused it
  std::vector<IpAddress> had;                                // by the IKE SA whose place this takes
  std::optional<Session> session;                            // responder: of the ticket that resumes this
  std::optional<Secret> psk;
  HashNumbers peer_hashes;
  std::shared_ptr<Signing> signing;
  Rounds own, peer;
  std::optional<OwnAuth> own_auth;  // of the message that is being made
  ByteVector first_request;         // of the peer, its payloads, where it is the last that is answered for it
  PayloadType first_type{};
  // EAP
  std::unique_ptr<eap::Peer> eap_peer;
  std::unique_ptr<eap::Authenticator> authenticator;
  std::shared_ptr<EapStep> step;  // that is under way
  bool eap_done = false;
  bool eap_alone = false;  // RFC 5998
  IntermediateAuth intermediate;
  std::optional<MessageKeys> inbound_before;  // of the last IKE_INTERMEDIATE request, which may come again
  // Preshared keys of RFC 8784.
  const Ppk* ppk = nullptr;                       // the one in use: as initiator, if both ends use PPKs
  std::optional<PpkKeys> without_ppk;             // it has been mixed in
  std::optional<OwnAuth> own_auth_without_ppk;    // for a responder that has it not
  bool ppk_settled = false, ppk_refused = false;  // responder: ours have been compared; none is the peer's
};

// Fragments of one message (RFC 7383 section 2.6).
struct Fragments {
  std::uint32_t message_id = 0;
  std::uint16_t total = 0;
  PayloadType first{};
  std::size_t bytes = 0;
  std::vector<std::pair<std::uint16_t, ByteVector>> parts;
};

// Of the key exchange that a child's offer begins with; 0: none.
std::uint16_t first_group(const ChildConfig& config) noexcept;

bool has_rounds(const Connection& connection) noexcept;  // of authentication, more than one
const LocalAuth& last_own_round(const Connection& connection) noexcept;
const RemoteAuth& last_peer_round(const Connection& connection) noexcept;

// Whether a connection of a responder is for those who come this way.
bool is_for(const Connection& connection, const Path& path);
// One end of it.
bool is_at(const Connection& connection, const IpAddress& local);
bool takes_from(const Connection& connection, const IpAddress& remote);

// The way of an IKE SA's messages, or of its children.
struct Way {
  Path path;
  bool local_nat = false, remote_nat = false;  // a NAT stands before that end
};

// What RFC 4555 adds to an IKE SA, once there is any of it.
struct Mobility {
  // Where ESP stays while IKE goes another way that is not proved yet: by the peer's answer to our move, or, after the
  // peer's, by its answer to our check.
  std::optional<Way> settled;
  std::vector<IpAddress> peer_addresses;  // all that we know of the gateway
  std::vector<IpAddress> tried;           // of them, since it was last heard
};

}  // namespace winze::ike
