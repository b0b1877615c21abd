// What an engine tells its host, what it asks, and what the host may answer.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "winze/proto/esp/mode.h"
#include "winze/proto/esp/sa.h"
#include "winze/proto/ike/config.h"
#include "winze/proto/ike/identity.h"
#include "winze/proto/ike/path.h"
#include "winze/proto/ike/proposal.h"
#include "winze/proto/ip/selector.h"

namespace winze::ike {

// An IKE SA and a child SA keep their numbers when they are rekeyed. No number is given twice; 0 is none.
enum class SaId : std::uint64_t {};
enum class ChildId : std::uint64_t {};
enum class QuestionId : std::uint64_t {};

enum class Stage : std::uint8_t { kInit, kAuth, kUp };
std::string_view to_string(Stage stage) noexcept;

enum class Cause : std::uint8_t {
  kClosedByHost,
  kClosedByPeer,
  kReplaced,        // by reauthentication, or by a peer that began anew (INITIAL_CONTACT)
  kTimedOut,        // the peer answered nothing any more
  kExpired,         // too old, and not rekeyed in time; or never finished
  kNoProposal,      // no proposal in common
  kNoConnection,    // the peer matches none of our connections
  kAuthentication,  // the peer did not prove its identity
  kRefusedByPeer,   // the peer said no: `notify` says how
  kRefusedByHost,   // the host answered a question with Refuse
  kSelectors,       // no traffic selectors in common
  kAddress,         // no address could be assigned
  kMisbehaved,      // the peer broke the protocol
  kUnsupported,     // something this build or this configuration lacks
  kInactive,        // a child without traffic (ChildConfig::inactivity)
  kRedirected,      // another gateway is to be asked: Redirected has told which
  kHostTimedOut,    // the host, or its key, has not answered in time (EngineOptions::host_timeout)
};
std::string_view to_string(Cause cause) noexcept;

// Why something ended or did not come to be.
struct Reason {
  Stage stage = Stage::kInit;
  Cause cause = Cause::kClosedByHost;
  std::uint16_t notify = 0;  // the error notify that was received or sent, IANA's number; 0: none
  std::string text;          // one sentence for a log
  ProposalList offered;      // what the peer offered, and what we accept, where that was the matter
  ProposalList accepted;

  // All of it in a line.
  std::string to_string() const;
};

// --- What happened -------------------------------------------------------------------------------------------------

// The IKE SA is established, and both ends have proved who they are.
struct Up {
  SaId sa{};
  ConnectionPtr connection;
  bool initiator = false;
  Identity local, remote;    // of several rounds of authentication, by the last
  std::string eap_identity;  // who proved itself by EAP, at a gateway
  Path path;
  Proposal proposal;                           // the chosen transforms
  bool local_nat = false, remote_nat = false;  // a NAT stands before that end
  Configuration configuration;                 // a client's: what was assigned to it; a gateway's: what it assigned
  SaId replaces{};                             // reauthentication: the IKE SA that ends now
};

// A child SA is up: {one inbound, one outbound SA}. Transport and tunnel mode differ in `how`, which holds the ports
// when ESP goes in UDP.
struct ChildUp {
  SaId sa{};
  ChildId child{};
  ChildConfigPtr config;
  esp::SaConfig inbound, outbound;
  ip::SelectorPair selectors;
  esp::Encapsulation how;
  Path path;
};

// A rekey in the order in which nothing is lost: begin to accept (ChildInbound), send by the new one from now on
// (ChildOutbound), cease to accept the old one (ChildInboundGone). A simultaneous rekey of both ends may bring and take
// one inbound SA more.
struct ChildInbound {
  ChildId child{};
  esp::SaConfig inbound;
};
struct ChildOutbound {
  ChildId child{};
  esp::SaConfig outbound;
};
struct ChildInboundGone {
  ChildId child{};
  std::uint32_t spi = 0;
};
// The child ended, with all of its SAs.
struct ChildDown {
  SaId sa{};
  ChildId child{};
  Reason reason;
};
// A child that was asked for did not come up; the IKE SA goes on.
struct ChildRefused {
  SaId sa{};
  ChildConfigPtr config;
  Reason reason;
};

// The IKE SA has new keys.
struct Rekeyed {
  SaId sa{};
};
// The peers talk over another path now: also the path of all children (RFC 4555), each with a new `how`. Told when it
// is known that the peer is reached there. In transport mode, of which the RFC does not speak, a selector of an end's
// old address is one of its new address from now on, as at strongSwan's end.
struct Migrated {
  SaId sa{};
  Path path;
  struct Child {
    ChildId child{};
    esp::Encapsulation how;
  };
  std::vector<Child> children;
};

// The peer does not take this path, and the SA has gone back to the one before.
struct MoveRefused {
  SaId sa{};
  Path refused, path;
  std::uint16_t notify = 0;  // UNACCEPTABLE_ADDRESSES, UNEXPECTED_NAT_DETECTED
};
// The gateway does not answer by this path, and has named other addresses: the host may move there (Engine::move)
// before it is too late.
struct PathFailing {
  SaId sa{};
  Path path;
  std::vector<IpAddress> others;  // not tried since the gateway was last heard
};

// What an IKE SA is resumed by (RFC 5723): kept by the host, and used once (Opening::ticket). Whoever else has it can
// take the client's place until it expires.
struct Ticket {
  std::vector<std::uint8_t> opaque;  // what the gateway has sealed for itself
  Secret d;                          // SK_d of the IKE SA that it was given in
  Proposal proposal;
  Identity local, remote;
  TimePoint expires_at{};
};
struct TicketGiven {
  SaId sa{};
  std::shared_ptr<const Ticket> ticket;
};

// A gateway by its address or, where there is none, by its name.
struct Gateway {
  IpAddress address;
  std::string name;

  friend bool operator==(const Gateway&, const Gateway&) = default;
};
// How a client came to a gateway that another has sent it to.
struct Redirection {
  Gateway from, to;
  unsigned hops = 0;  // in a row
  TimePoint since{};
};
// A gateway sends us to another (RFC 5685), and the host goes there or not (Opening::redirection). An IKE SA that is
// not up ends; one that is up stays until the new one is (Opening::replaces) or the gateway deletes it.
struct Redirected {
  SaId sa{};
  ConnectionPtr connection;
  Stage stage = Stage::kInit;
  Redirection redirection;
};

// The IKE SA ended; its children were told down before. Also for one that never came up; `sa` is 0 when the refusal
// left no state at all.
struct Closed {
  SaId sa{};
  ConnectionPtr connection;  // null when none was chosen
  Path path;
  Identity remote;
  Reason reason;
};

// --- Questions -----------------------------------------------------------------------------------------------------
// Each waits for Engine::answer() with its id, and with the kind of answer that stands beside it; Refuse is always one.
// A question ends by itself when its IKE SA does. Nothing else waits for it.

// Which connection is a peer's? -> ConnectionPtr. Asked where EngineOptions::ask_connection is set.
struct AskConnection {
  QuestionId id{};
  SaId sa{};
  Identity remote;
  std::optional<Identity> wanted;  // whom the peer wants to talk to (IDr)
  Path path;
};
// The secret shared by two identities? -> Secret. Asked where the connection has none.
struct AskPsk {
  QuestionId id{};
  SaId sa{};
  ConnectionPtr connection;
  Identity local, remote;
};
// May this peer, which has proved its identity, come in? -> Allow; or Gateway, which it is sent to if it follows (else
// it is refused). Asked where Connection::ask_authorize is set.
struct AskAuthorize {
  QuestionId id{};
  SaId sa{};
  ConnectionPtr connection;
  Identity remote;
  std::string eap_identity;
  Path path;
};
// Which addresses does this client get? -> Configuration, of which `addresses` count, and dns, subnets and domains are
// added to the connection's. Asked where Connection::pool is set and the client asks for any. Closed, or Up of another
// SA that `replaces` this one, says when they are free again.
struct AskAddresses {
  QuestionId id{};
  SaId sa{};
  ConnectionPtr connection;
  Identity remote;
  std::string eap_identity;
  Configuration wish;
};
// Which part of what the peer proposes, and of what our configuration allows, is taken? -> ip::SelectorPair. Asked
// where Connection::ask_narrow is set.
struct AskNarrow {
  QuestionId id{};
  SaId sa{};
  ChildConfigPtr config;
  ip::SelectorPair selectors;  // what we would take
};

struct Allow {};
struct Refuse {
  std::string why;
};
using Answer = std::variant<Refuse, Allow, ConnectionPtr, Secret, Configuration, ip::SelectorPair, Gateway>;

using Event = std::variant<Up, ChildUp, ChildInbound, ChildOutbound, ChildInboundGone, ChildDown, ChildRefused, Rekeyed,
                           Migrated, MoveRefused, PathFailing, TicketGiven, Redirected, Closed, AskConnection, AskPsk,
                           AskAuthorize, AskAddresses, AskNarrow>;

}  // namespace winze::ike
