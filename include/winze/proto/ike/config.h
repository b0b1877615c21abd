// How a host wants to talk to its peers: plain data, shared by all IKE SAs made from it, never changed once given to an
// engine. Names and defaults follow swanctl.conf where it has them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "winze/base/address.h"
#include "winze/base/secret.h"
#include "winze/base/time.h"
#include "winze/crypto/certificate.h"
#include "winze/proto/eap/authenticator.h"
#include "winze/proto/eap/peer.h"
#include "winze/proto/esp/mode.h"
#include "winze/proto/ike/identity.h"
#include "winze/proto/ike/proposal.h"
#include "winze/proto/ip/selector.h"

namespace winze::ike {

enum class AuthMethod : std::uint8_t {
  kPsk,
  kPublicKey,  // RFC 7427, RFC 8420; RSA PKCS#1 v1.5 with peers that know no better
  kEap,
};

// How this host proves who it is.
struct LocalAuth {
  AuthMethod method = AuthMethod::kPsk;
  Identity id;  // none (empty): this end's address
  Secret psk;   // empty: the engine asks (AskPsk)
  // kPublicKey, and as responder with kEap for the peer. The key may sign later (EngineOptions::wake). With an empty
  // chain it is a bare public key (RFC 7670), which the peer has to know.
  std::shared_ptr<const CertificateIdentity> certificate;
  // How it signs, the best first; empty: as the key does best. One with SHA-1 is used where it stands here, or where
  // Connection::legacy is set.
  std::vector<SignatureScheme> schemes;
  // kEap, as initiator. The peer proves itself before a packet of it leaves: by Connection::remote, but with `eap_only`
  // (RFC 5998), which is for methods that are safe alone, and is refused with others.
  std::shared_ptr<const eap::PeerOptions> eap;
  bool eap_only = false;
};

// What a peer has to prove.
struct RemoteAuth {
  AuthMethod method = AuthMethod::kPsk;
  IdentityPattern id;
  Secret psk;  // empty: the engine asks (AskPsk)
  // kPublicKey: whose certificates are believed; the peer's must be for the identity that it claims. Needs
  // EngineOptions::wall_clock.
  std::shared_ptr<const CertificateVerifier> verifier;
  // kPublicKey: bare public keys (RFC 7670), of whoever `id` takes. A peer that has one of them needs no certificate,
  // and nothing here limits their size.
  std::vector<PublicKey> keys;
  Revocation revocation = Revocation::kIfKnown;
  // How the peer may sign, as LocalAuth::schemes; how its certificates may be signed; and the least size of their keys.
  std::vector<SignatureScheme> schemes, chain_schemes;
  unsigned min_rsa_bits = 2048, min_ecdsa_bits = 0;
  // kEap, as responder: leads one conversation.
  std::function<std::unique_ptr<eap::Authenticator>()> eap;
};

// One end of a child SA's traffic.
struct Traffic {
  std::vector<ip::Selector> selectors;
  // Also this end's own address: the one assigned by the configuration payload where there is one, else the IKE SA's.
  bool dynamic = false;

  bool empty() const noexcept { return selectors.empty() && !dynamic; }
};

struct ChildConfig {
  std::string name;
  Traffic local{.dynamic = true}, remote{.dynamic = true};
  esp::Mode mode = esp::Mode::kTunnel;  // kTransport falls back to kTunnel when the peer does not take it
  // Without a group, what rekeys it has none, but where the peer wants one (PFS): then that of the IKE SA.
  ProposalList proposals = default_proposals(Protocol::kEsp);
  // A child SA is made anew after rekey_time less a random part of rand_time, and is gone after life_time.
  Duration rekey_time{std::chrono::hours(1)};
  Duration rand_time{std::chrono::minutes(6)};
  Duration life_time{std::chrono::minutes(66)};
  // The same by packets and payload bytes; 0: no limit. The host tells (Engine::rekey_child).
  std::uint64_t rekey_packets = 0, life_packets = 0, rekey_bytes = 0, life_bytes = 0;
  // Deleted when no packet has passed for so long; 0: never. Needs EngineOptions::last_traffic.
  Duration inactivity{0};
  std::uint32_t replay_window = 64;
  std::uint16_t pad_payload_to = 0;
  // What the outer header takes of the inner one; else not ECN-capable, and DSCP 0.
  bool copy_ecn = true, copy_dscp = true;
  bool legacy = false;        // of esp::Algorithms
  bool short_sha256 = false;  // ESP's HMAC-SHA-256 is cut to 96 bits, which old peers do unasked; needs `legacy`
};
using ChildConfigPtr = std::shared_ptr<const ChildConfig>;

// RFC 7296 section 2.4 leaves the times to us; these are strongSwan's.
struct Retransmission {
  Duration first{std::chrono::seconds(4)};
  double factor = 1.8;
  unsigned tries = 5;  // after the first sending; then the peer is dead
};

// Whether a peer may have several IKE SAs at a gateway. Who it is: what EAP has proved, else its identity. One that
// says INITIAL_CONTACT has lost what it had, which then ends with kNo, kKeep and kReplace.
enum class Unique : std::uint8_t {
  kNo,       // it may
  kNever,    // it may, and INITIAL_CONTACT is neither heeded nor sent
  kKeep,     // the first stays, and others are refused
  kReplace,  // the newest stays
  // From the address of the one before, a new one is taken for a reauthentication: it is let in, and the one before
  // ends ten seconds later if the peer does not end it itself.
};

// IKE SAs without a child at first (RFC 6023).
enum class Childless : std::uint8_t {
  kNever,   // as responder: none
  kAllow,   // as responder: also
  kPrefer,  // as initiator: where the responder takes them; every child is then made by an exchange of its own
  kForce,   // no others, at either end
};

// When a certificate is shown to the peer.
enum class SendCertificate : std::uint8_t { kIfAsked, kAlways, kNever };

// Configuration that a client asks for (RFC 7296 section 3.15), or that a gateway gives.
struct Configuration {
  std::vector<Prefix> addresses;  // IPv4 and IPv6; as a wish, unspecified ones mean "any"
  std::vector<IpAddress> dns;
  std::vector<Prefix> subnets;       // what lies behind the gateway
  std::vector<std::string> domains;  // INTERNAL_DNS_DOMAIN (RFC 8598): whose names these servers know

  bool empty() const noexcept { return addresses.empty() && dns.empty() && subnets.empty() && domains.empty(); }
};

// A preshared key beside the other proofs, which whoever records now, and breaks the key exchange later, has not (RFC
// 8784). At least 32 random bytes.
struct Ppk {
  std::string id;
  Secret secret;
};

struct Connection {
  std::string name;
  LocalAuth local;
  RemoteAuth remote;
  // Further rounds of authentication, behind those (RFC 4739): an end proves all of its own, one after the other, or
  // there is no IKE SA. The last names it in what the host is told. One round at most, of the initiator, is by EAP, and
  // behind as many others that the responder has proved itself in all of its own by then. PPKs do not go with these.
  std::vector<LocalAuth> further_local;
  std::vector<RemoteAuth> further_remote;
  // Which hosts this is for, as responder: any when empty.
  std::vector<Prefix> local_addresses, remote_addresses;
  ProposalList proposals = default_proposals(Protocol::kIke);
  std::vector<ChildConfigPtr> children;
  // Children of a client that are made at once with the IKE SA: the first of them in IKE_AUTH, unless `childless` says
  // otherwise. Without any the IKE SA is childless, which the peer must support.
  std::size_t start_children = 1;

  bool legacy = false;  // takes signatures with SHA-1, and RSA keys of 1024 bits
  // As initiator: the PPK that is used, by its name; empty: none. As responder: the only one that is taken; empty: any.
  std::string ppk_id;
  std::vector<Ppk> ppks;
  bool ppk_required = false;  // without one there is no IKE SA
  Duration rekey_time{std::chrono::hours(4)};
  // 0: never. A client obeys a gateway that wants it sooner (AUTH_LIFETIME, RFC 4478); a gateway says it, and ends the
  // IKE SA over_time later.
  Duration reauth_time{0};
  Duration rand_time{std::chrono::minutes(24)};
  Duration over_time{std::chrono::minutes(24)};  // after rekey_time or reauth_time the IKE SA ends
  Duration dpd_delay{std::chrono::seconds(30)};  // without a sign of life; 0: no probes
  Retransmission retransmission;
  Duration keepalive{std::chrono::seconds(20)};  // from behind a NAT; 0: the host sends them

  // Has ESP put into UDP where there is no NAT either, which hosts that cannot send protocol 50 need: in user space,
  // most. The peer is made to believe that it talks through a NAT.
  bool force_encapsulation = true;
  bool mobike = true;
  bool fragmentation = true;
  std::uint16_t fragment_size = 1280;  // of IP packets (RFC 7383 section 2.5.1)
  Unique unique = Unique::kNo;
  // Some clients want to see a certificate, and do not ask for it.
  SendCertificate send_certificate = SendCertificate::kAlways;
  bool request_certificates = true;
  // RFC 7427, with peers that know it; else each key has the one method that it had before.
  bool signature_authentication = true;
  Childless childless = Childless::kAllow;
  // As initiator: asks for tickets, each of which begins one more IKE SA without key exchange, certificates or EAP; as
  // responder: gives them (RFC 5723). What resumes a session knows what was recorded of it once SK_d is known.
  bool resumption = false;
  // As initiator: goes where a responder sends it (RFC 5685). The first answer of a gateway is not authentic: whoever
  // stands on the way can send this host elsewhere, where it finds nobody whom it believes.
  bool follow_redirects = false;

  // The client's wishes.
  Configuration request;
  // The gateway's part but for the addresses, which the host assigns (AssignAddresses) if `pool` is set.
  Configuration reply;
  bool pool = false;

  // Questions that the host wants to be asked, and answers when it can.
  bool ask_authorize = false;
  bool ask_narrow = false;
};
using ConnectionPtr = std::shared_ptr<const Connection>;

}  // namespace winze::ike
