// One IKE SA: its keys, its windows, its exchanges, its children.
//
// Requests of ours go one at a time (RFC 7296 section 2.3): what is to be done waits as a Task. Requests of the peer
// are answered in their order, the last answer is kept for a request that comes again. A request that asks the host
// something waits in `pending_`; its copies are dropped meanwhile.
//
// The code is in several files: sa.cc (life, time, tasks), sa_exchange.cc (messages), sa_init.cc, sa_auth.cc,
// sa_create_child.cc, sa_rekey.cc, sa_informational.cc and others (one kind of exchange each).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sa_state.h"

namespace winze::ike {

class Sa : public Timed {
 public:
  enum class State : std::uint8_t {
    kInit,  // initiator: IKE_SA_INIT is on its way
    kAuth,  // keys, but nobody has proved anything
    kUp,
    kRekeyed,  // another IKE SA has taken its place and its children
    kClosing,  // our deletion is on its way
    kGone,     // only answers repeated requests for a while
  };

  Sa(Host& host, bool initiator, ConnectionPtr connection, const Path& path);
  ~Sa();

  // --- For the engine.
  void begin(TimePoint now, const Route& route, Opening opening);
  void receive(TimePoint now, const Path& path, const Header& header, Buffer& message);
  void on_time(TimePoint now);
  bool answer(TimePoint now, QuestionId question, Answer& answer);
  bool add_child(TimePoint now, ChildConfigPtr config);
  bool rekey_child(TimePoint now, ChildId child);
  bool delete_child(TimePoint now, ChildId child, Cause cause = Cause::kClosedByHost);
  bool rekey(TimePoint now);
  bool close(TimePoint now);
  bool move(TimePoint now, const Route& route);
  bool redirect(TimePoint now, Gateway gateway);
  void tell_addresses(TimePoint now);  // of this host
  TimePoint next_due() const;

  // --- For the responder of first requests.
  struct Opened {
    Bytes request, response, nonce_i, nonce_r;
    Secret shared;
    Proposal proposal;
    ProposalList offered;
    HashNumbers hashes;
    bool fragmentation = false;
    bool local_nat = false, remote_nat = false;
    bool redirects = false;
    std::uint64_t spi_i = 0, spi_r = 0;
    std::optional<Session> session;
  };
  bool open_as_responder(TimePoint now, Opened opened);

  // --- For the host.
  SpiPair spis() const noexcept { return spis_; }
  std::uint64_t own_spi() const noexcept { return initiator_ ? spis_.i : spis_.r; }
  SaInfo info() const;
  bool half_open() const noexcept { return !initiator_ && state_ == State::kAuth; }
  std::size_t fragment_bytes() const noexcept { return request_fragments_ ? request_fragments_->bytes : 0; }
  State state() const noexcept { return state_; }
  const Path& path() const noexcept { return path_; }
  const ConnectionPtr& connection() const noexcept { return connection_; }
  // Of one peer: what EAP has proved is who it is, whatever the peer calls itself.
  bool same_peer(const Sa& other) const noexcept {
    if (!eap_identity_.empty() || !other.eap_identity_.empty()) return eap_identity_ == other.eap_identity_;
    return remote_ == other.remote_;
  }
  // What the peer has made beside our own rekey, and nobody has adopted; null: nothing.
  Sa* parked() const { return parked(active_.get()); }
  SaId id = SaId{};  // none: it was replaced
  bool doomed = false;
  // What a repeated first request is answered with.
  const Handshake* handshake() const noexcept { return handshake_.get(); }
  const IkeKeys& keys() const noexcept { return keys_; }
  const Proposal& proposal() const noexcept { return proposal_; }
  const Suite& suite() const noexcept { return suite_; }

 private:
  friend class Host;

  // --- sa.cc
  void queue(Task task);
  bool may_start(const Task& task) const noexcept;
  void pump(TimePoint now);
  void start(TimePoint now, Task task);
  void set_ike_timers(TimePoint now);
  Duration jitter(Duration most);
  // Ends it: children down, Closed told, gone at once or after it has answered repeated requests for a while.
  void end(TimePoint now, Reason reason, bool linger);
  void retry_later(TimePoint now, Task task);
  // The peer made the pair, and may not have our answer yet: what is about it waits. True when the task has been put
  // off.
  bool put_off(TimePoint now, const ChildSa& pair, const Task& task);
  void on_child_time(TimePoint now);
  // Whether no traffic has passed for too long; else when it may be so.
  bool is_idle(TimePoint now, ChildSa& child);
  // From now on the host owes something: the answer to a question, a signature, a step of EAP.
  void expect_host(TimePoint now);
  QuestionId ask(TimePoint now);
  bool waits_for_host() const noexcept;
  void give_up_host(TimePoint now);
  // The peer is alive.
  void heard(TimePoint now);
  void probe(TimePoint now);
  // As the old IKE SA of a rekey that the peer made: it deletes it.
  void wait_for_deletion(TimePoint now);
  Reason reason(Cause cause, std::string text, std::uint16_t notify = 0) const;

  // --- sa_exchange.cc
  void open(TimePoint now, const Path& path, const Header& header, Buffer& message, const Payload& sealed,
            PayloadType inner_first);
  std::optional<std::pair<PayloadType, ByteVector>> join(std::unique_ptr<Fragments>& assembly, const Header& header,
                                                         FragmentNumber number, PayloadType first, Bytes part);
  // Whether there is room for so much more.
  bool charge(std::ptrdiff_t bytes);
  void on_message(TimePoint now, const Path& path, const Header& header, PayloadType first, Bytes payloads);
  void on_request(TimePoint now, const Path& path, const Header& header, PayloadType first, Bytes payloads);
  // Whom we have sent elsewhere leaves, and waits until that is heard.
  void answer_deletion(TimePoint now, const Path& path, const Header& header, PayloadType first, Bytes payloads);
  void dispatch(TimePoint now, const Path& path, const Header& header, PayloadType first, Bytes payloads,
                const Contents& contents);
  void on_response(TimePoint now, const Contents& contents);
  void replay(const Path& path);
  void resend(TimePoint now);
  Active& send_request(TimePoint now, Task task, Exchange exchange, PayloadType first, Bytes payloads);
  void respond(TimePoint now, const Header& request, const Path& path, PayloadType first, Bytes payloads);
  void respond_notify(TimePoint now, const Header& request, const Path& path, std::uint16_t type, Bytes data = {});
  std::vector<Buffer> seal(Exchange exchange, bool response, std::uint32_t message_id, PayloadType first,
                           Bytes payloads);
  void send_packets(const Path& path, const std::vector<Buffer>& packets);
  Duration retransmission_pause(unsigned tries) const;
  void authentic(TimePoint now, const Path& path, const Header& header);
  void respond_pending(TimePoint now, const PayloadWriter& out, const Buffer& inner);
  void continue_pending(TimePoint now);
  void refused(TimePoint now, const std::string& why);
  const MessageKeys& inbound_keys() const noexcept { return initiator_ ? keys_.r : keys_.i; }
  MessageKeys& outbound_keys() noexcept { return initiator_ ? keys_.i : keys_.r; }

  // --- sa_init.cc
  void send_init(TimePoint now);
  void on_init_response(TimePoint now, const Header& header, Buffer& message);
  void restart_init(TimePoint now, const NotifyView& error);
  void fail_init(TimePoint now, const NotifyView& error);
  void take_answer(const Header& header, Buffer& message, const Contents& contents);
  void take_keys(Secret seed, Bytes nonce_i, Bytes nonce_r);

  // --- sa_resume.cc
  void write_resumption(PayloadWriter& out) const;
  bool resumes() const noexcept { return handshake_->opening.ticket || handshake_->session; }
  void on_resume_response(TimePoint now, const Contents& contents);
  OwnAuth resumed_auth(bool of_initiator) const;
  absl::Status verify_resumed_auth(const Contents& contents) const;
  bool verify_resumption(const Contents& contents);
  void write_ticket(TimePoint now, PayloadWriter& out, const Contents& contents);
  void keep_ticket(TimePoint now, const Contents& contents);

  // --- sa_redirect.cc
  void write_redirect_support(PayloadWriter& out) const;
  // Whether the message sends us elsewhere, and we follow: the host has been told. `nonce`: that it has to name.
  bool redirected(TimePoint now, const Contents& contents, std::optional<Bytes> nonce);
  void send_elsewhere(TimePoint now, PayloadWriter& out, const Buffer& inner);

  // --- sa_intermediate.cc
  bool exchanges_wanting() const noexcept;
  // The next key exchange, or else IKE_AUTH.
  void continue_opening(TimePoint now);
  void on_intermediate_response(TimePoint now, const Contents& contents);
  void on_intermediate_request(TimePoint now, const Path& path, const Header& header, const Contents& contents);
  void take_additional(const Secret& shared);
  void cover_intermediate(const Header& header, PayloadType first, Bytes payloads);

  // --- sa_ppk.cc
  void mix_in_ppk();
  bool offers_way_without_ppk() const noexcept;
  void write_ppk(PayloadWriter& out);
  // The responder's answer to our PPK; the keys are then those that it uses.
  absl::Status ppk_answered(const Contents& contents);
  absl::Status take_ppk(const Contents& contents);
  // The AUTH payload that counts.
  AuthView auth_of(const Contents& contents) const;

  // --- sa_auth.cc
  void prove(TimePoint now);
  void send_auth(TimePoint now);
  bool makes_child() const noexcept;  // with the IKE SA
  void write_wishes(PayloadWriter& out);
  Configuration wish() const;
  void on_auth_response(TimePoint now, const Contents& contents);
  std::string_view missing_in(const Contents& contents, bool ends_eap) const;
  absl::Status verify_round(const Contents& contents);
  void finish_opening(TimePoint now, const Contents& contents);
  void come_up(TimePoint now, Configuration configuration, bool initial_contact);
  void on_auth_request(TimePoint now, const Contents& contents);
  bool takes(const Connection& connection, const std::optional<Identity>& wanted) const;
  // The steps of the responder: false when one waits for the host, or has failed.
  bool choose_connection(TimePoint now, const Contents& contents);
  bool verify_peer(TimePoint now, const Contents& contents);
  bool knows_psk(TimePoint now);
  bool authorize(TimePoint now, const Contents& contents);
  bool assign_addresses(TimePoint now, const Contents& contents);
  void answer_auth(TimePoint now, const Contents& contents);
  void ask_psk(QuestionId question);
  void fail_auth(TimePoint now, Reason reason, std::uint16_t notify);
  void say_farewell(std::uint16_t notify);

  // --- sa_proofs.cc
  Identity own_identity() const;
  Identity lasting_identity() const;  // of the last round
  // What an AUTH payload covers.
  ByteVector auth_octets(bool of_initiator, const Identity& identity, bool with_ppk = true) const;
  const std::optional<Secret>& known_psk() const noexcept { return pending_ ? pending_->psk : handshake_->psk; }
  // Our own AUTH payload. False while the key signs, or when it has failed and so ended this.
  bool make_auth(TimePoint now);
  bool make_proof(TimePoint now, bool with_ppk, std::optional<OwnAuth>& proof);
  bool sign(TimePoint now, Bytes octets, std::optional<OwnAuth>& proof);
  void on_signed(TimePoint now);
  void fail_to_prove(TimePoint now, std::string text);
  // Who gives it.
  void write_claim(PayloadWriter& out) const;
  // Writes it, if there is one; it is given then.
  void write_proof(PayloadWriter& out);
  // Whether the peer has proved that it is remote_; else why not.
  absl::Status verify_auth(const Contents& contents) const;

  // --- sa_rounds.cc
  // Those that an end is in, or the last ones.
  const LocalAuth& own_round() const noexcept;
  const RemoteAuth& peer_round() const noexcept;
  std::size_t own_rounds() const noexcept;
  std::size_t peer_rounds() const noexcept;
  std::size_t own_left() const noexcept { return handshake_->own.left(own_rounds()); }
  std::size_t peer_left() const noexcept { return handshake_->peer.left(peer_rounds()); }
  // Why the connection cannot be used with its rounds; empty: it can.
  std::string trouble_with_rounds(bool peer_takes_them) const;
  // The peer's proof is right: whether another follows just where one should.
  absl::Status end_peer_round(const Contents& contents);
  void answer_proofs(TimePoint now, const Contents& contents);
  void answer_round(TimePoint now);
  void write_own_round(PayloadWriter& out);
  void keep_first_request();

  // --- sa_policy.cc
  void take_certificate_requests(const Contents& contents);
  void show_certificates(PayloadWriter& out) const;
  bool may_come_beside_others(bool initial_contact) const;
  void end_others(TimePoint now, bool initial_contact);
  bool says_initial_contact() const;
  void write_auth_lifetime(PayloadWriter& out) const;
  void take_auth_lifetime(TimePoint now, const Contents& contents);

  // --- sa_eap.cc
  const Secret& eap_key(bool of_initiator, bool with_ppk) const;
  ByteVector eap_auth(bool of_initiator, bool with_ppk = true) const;
  absl::Status verify_eap_auth(const Contents& contents) const;
  eap::StepHandler step_handler();
  std::optional<eap::Step> take_step(TimePoint now);
  void take_client_step(TimePoint now);
  void begin_eap(TimePoint now, const Contents& contents);
  void on_eap_request(TimePoint now, const Contents& contents);
  void take_server_step(TimePoint now);
  void finish_eap(TimePoint now, const Contents& contents);
  void on_farewell(TimePoint now, const Path& path, const Header& header, const Contents& contents);

  // --- sa_child.cc
  // `single_pair`: for one address of each end, where the peer takes no more.
  void write_child_offer(PayloadWriter& out, const ChildConfig& config, std::uint32_t spi, bool single_pair = false,
                         Bytes nonce = {}, const KeyExchange* key_exchange = nullptr) const;
  // What a peer that asks for a child SA gets: the child, or an error notify. `only`: that it may be no other's, in a
  // rekey.
  struct ChildAnswer {
    bool waits = false;  // for the host
    std::uint16_t error = 0;
    ByteVector error_data;
    ChildConfigPtr config;
    ChildOutcome outcome;
    std::uint8_t offer_number = 0;
    std::uint16_t group = 0;
    bool additional = false;  // other children are for other parts of what the peer offers
  };
  ip::SelectorPair common_selectors(const Contents& contents, const ChildConfig& config) const;
  ChildAnswer negotiate_child(TimePoint now, const Contents& contents, KeyExchangeRule rule,
                              const ChildConfigPtr& only);
  bool try_config(const Contents& contents, KeyExchangeRule rule, const ChildConfigPtr& config, ChildAnswer& answer);
  bool narrow(TimePoint now, ChildAnswer& answer);
  Reason refusal_of(const ChildAnswer& answer, const Contents& contents) const;
  void write_child_answer(PayloadWriter& out, const ChildAnswer& answer, Bytes nonce = {},
                          Bytes public_value = {}) const;
  // Why the answer to our offer, with a key exchange of that group or (0) with none, cannot be taken; none: `outcome`
  // says what it is.
  std::optional<Reason> judge_child_answer(const Contents& contents, const ChildConfig& config, std::uint16_t group,
                                           ChildOutcome& outcome) const;
  // Tells of a new child (`child` 0), or of another pair for one, which is not sent by before send_by().
  ChildSa* install(TimePoint now, ChildId child, const ChildConfigPtr& config, const ChildOutcome& outcome,
                   Bytes shared, Bytes nonce_i, Bytes nonce_r, Bytes further = {});
  // Takes a pair away. The last of its id takes the child down; others leave an inbound SA in its grace.
  void remove_child(TimePoint now, ChildSa& child, const Reason& reason);
  void restore_replaced(TimePoint now, ChildId child);
  void give_up_spi(std::uint32_t spi);
  ChildSa* child_by_in(std::uint32_t spi) noexcept;
  ChildSa* child_by_out(std::uint32_t spi) noexcept;
  ChildSa* child_by_id(ChildId child) noexcept;
  Selectors local_selectors(const ChildConfig& config) const;
  Selectors remote_selectors(const ChildConfig& config) const;
  esp::Encapsulation encapsulation(const ChildSa& child) const;
  // From now on this one is sent by.
  void send_by(ChildSa& child);

  // --- sa_create_child.cc
  // What is left to do once all key exchanges of a CREATE_CHILD_SA are done: of ours, of the peer's.
  void finish_child(TimePoint now, Active active, const FollowUp& settled);
  void finish_child_answer(TimePoint now, const FollowUp& settled);
  void send_create_child(TimePoint now, Task task);
  void on_create_child_request(TimePoint now, const Contents& contents);
  void answer_child_request(TimePoint now, const Contents& contents, ChildSa* old);
  void on_create_child_response(TimePoint now, Active active, const Contents& contents);
  std::uint16_t group_wanted(const Active& active, const NotifyView& error) const;
  bool repeat_as_wanted(TimePoint now, Active& active, const NotifyView& error);
  void child_refused(TimePoint now, Active active, const NotifyView* error, Reason reason);
  // Our rekey has succeeded: which of the pairs stay, where the peer may have rekeyed too.
  void settle_child_rekey(TimePoint now, const Active& active, ChildSa& ours, Bytes peer_nonce);

  // --- sa_rekey.cc
  void send_rekey(TimePoint now, Task task);
  void on_rekey_request(TimePoint now, const Contents& contents);
  void on_rekey_response(TimePoint now, Active active, const Contents& contents);
  Sa& make_successor(TimePoint now, bool initiator, const SpiPair& spis, const Proposal& proposal, Secret seed,
                     Bytes nonce_i, Bytes nonce_r);
  void finish_rekey(TimePoint now, Active active, const FollowUp& settled);
  void rekey_refused(TimePoint now, Active active);
  // The peer has gone on to an IKE SA whose keys are not known here.
  void rekey_unusable(TimePoint now, Active active);
  void finish_rekey_answer(TimePoint now, const FollowUp& settled);
  bool is_busy_with_children() const noexcept;
  void hand_over(TimePoint now, Sa& successor);

  // --- sa_followup.cc
  // Goes on with the next key exchange of ours. False: the peer has named nothing to go on with.
  bool send_follow_up(TimePoint now, Active& active, const Contents& contents);
  void on_follow_up_response(TimePoint now, Active active, const Contents& contents);
  void finish(TimePoint now, Active active);
  // Of two rekeys at once only one goes on: whether it is ours.
  bool follows_up_after(Active& active);
  // The peer's: keeps what is settled, and names it in the answer.
  void await_follow_up(FollowUp settled, PayloadWriter& out);
  void on_follow_up_request(TimePoint now, const Path& path, const Header& header, const Contents& contents);
  void delete_replaced(TimePoint now);
  void adopt_crossing(TimePoint now);
  void adopt_self(TimePoint now);
  Sa* parked(const Active* rekey) const;

  // --- sa_informational.cc
  void send_informational(TimePoint now, Task task);
  void on_informational_request(TimePoint now, const Path& path, const Header& header, const Contents& contents);
  void on_informational_response(TimePoint now, Active active, const Contents& contents);
  void on_delete_children(TimePoint now, const DeleteView& view, std::vector<std::uint32_t>& answered);

  // --- sa_mobility.cc
  Mobility& mobility();
  Way way_of_children() const;
  void write_move(PayloadWriter& out, Task& task);
  void on_move_response(TimePoint now, const Active& active, const Contents& contents);
  void on_way_checked(TimePoint now, const Active& active, const Contents& contents);
  void on_move_request(TimePoint now, const Path& path, const Contents& contents, PayloadWriter& out);
  void follow(TimePoint now, const Path& path, const Contents& contents);
  // IKE goes this way from now on; what waits for an answer too.
  void go_by(TimePoint now, const Path& path);
  // ESP goes where IKE goes.
  void settle(TimePoint now);
  void tell_migrated();
  bool waits(Task::Kind kind) const noexcept;
  void write_addresses(PayloadWriter& out, bool none_too) const;
  void take_addresses(const Contents& contents);
  void tell_failing_path();
  void set_keepalive(TimePoint now);

  Host& host_;
  State state_ = State::kInit;
  const bool initiator_;  // of this IKE SA, as it was made or rekeyed
  bool client_;           // initiator of the first of them: whose addresses were assigned, who may move
  bool fragmentation_ = false;
  bool local_nat_ = false, remote_nat_ = false;
  bool mobike_ = false;                // both ends speak it
  bool redirects_ = false;             // the peer, a client, can be sent elsewhere
  bool sent_elsewhere_ = false;        // in IKE_AUTH: its deletion is still to come
  std::unique_ptr<Redirection> came_;  // how we were sent here
  SpiPair spis_;
  ConnectionPtr connection_;
  Path path_;
  std::unique_ptr<Mobility> mobility_;
  Identity remote_;
  std::string eap_identity_;
  std::vector<IpAddress> assigned_;  // by the configuration payload, to the client of the two
  Proposal proposal_;
  Suite suite_;
  IkeKeys keys_;

  std::uint32_t next_request_ = 0;  // our next message id
  std::uint32_t expected_ = 0;      // the peer's
  std::vector<Buffer> last_response_;
  std::unique_ptr<Active> active_;
  std::vector<Task> tasks_;
  std::unique_ptr<Pending> pending_;
  std::unique_ptr<Handshake> handshake_;
  std::unique_ptr<FollowUp> follow_up_;  // of the peer
  std::unique_ptr<Fragments> request_fragments_, response_fragments_;
  std::vector<std::unique_ptr<ChildSa>> children_;
  // Of an IKE SA that the peer made while our own rekey was on its way: the SPI of the one that both would replace,
  // until it is known which stays.
  std::uint64_t parked_beside_ = 0;
  std::vector<std::pair<TimePoint, std::pair<ChildId, std::uint32_t>>> leaving_;  // inbound SAs in their grace

  bool close_when_settled_ = false;
  Cause closing_cause_ = Cause::kClosedByHost;
  TimePoint rekey_at_ = kNever, reauth_at_ = kNever, expire_at_ = kNever, probe_at_ = kNever, keepalive_at_ = kNever;
  TimePoint host_due_ = kNever;  // counts while waits_for_host()
};

}  // namespace winze::ike
