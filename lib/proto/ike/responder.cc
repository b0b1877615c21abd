// First requests of strangers (RFC 7296 sections 1.2, 2.6): answered without keeping anything, until one can be
// accepted.
#include <algorithm>

#include "choice.h"
#include "nat.h"
#include "redirect.h"
#include "sa.h"
#include "winze/crypto/key_exchange.h"

namespace winze::ike {
namespace {

constexpr std::size_t kNonceSize = 32;
constexpr std::size_t kMarkerRoom = 4;
// The host is told of refusals no oftener than this.
constexpr Duration kTellPause{std::chrono::milliseconds(100)};

bool covers(const Prefix& prefix, const IpAddress& address) {
  return ip::Selector::prefix(prefix.address, prefix.bits).covers(address);
}

bool covers(const std::vector<Prefix>& prefixes, const IpAddress& address) {
  return prefixes.empty() || std::ranges::any_of(prefixes, [&](const Prefix& p) { return covers(p, address); });
}

}  // namespace

bool is_at(const Connection& connection, const IpAddress& local) {
  return local.is_unspecified() || covers(connection.local_addresses, local);
}

bool takes_from(const Connection& connection, const IpAddress& remote) {
  return covers(connection.remote_addresses, remote);
}

bool is_for(const Connection& connection, const Path& path) {
  return is_at(connection, path.local.address) && takes_from(connection, path.remote.address);
}

// One first request, while it is looked at.
class Responder {
 public:
  Responder(Host& host, TimePoint now, const Path& path, const Header& header, Buffer& message)
      : host_(host), now_(now), path_(path), header_(header), message_(message) {}

  void work() {
    const auto known = host_.openings_.find({header_.spi_i, path_.remote});
    if (known != host_.openings_.end()) return repeat(*known->second);
    if (host_.options.connections.empty()) return;
    const bool resumes = header_.exchange == Exchange::kSessionResume;
    PayloadChain chain;
    if (!chain.decode(header_.first, message_.span().subspan(kHeaderSize)) || !contents_.decode(chain)) {
      ++host_.counters.malformed;
      return;
    }
    if (chain.unknown_critical != 0) {
      return refuse(notify::kUnsupportedCriticalPayload, {&chain.unknown_critical, 1});
    }
    const NotifyView* const ticket = contents_.find(notify::kTicketOpaque);
    const bool whole = resumes ? ticket != nullptr : !contents_.offers.empty() && contents_.key_exchange;
    if (!whole || !contents_.nonce) {
      ++host_.counters.malformed;
      return;
    }
    if (sent_elsewhere()) return;
    if (!has_cookie()) return;
    if (is_over_limit()) return;
    if (resumes) return resume(ticket->data);
    if (!choose_proposal()) return;
    accept();
  }

 private:
  void repeat(const Sa& sa) {
    // The same bytes get the same answer; others of this kind are somebody else's attempt.
    const Handshake* const h = sa.handshake();
    if (h == nullptr || !std::ranges::equal(h->request, message_.span())) return;
    ++host_.counters.replays_answered;
    host_.transmit(path_, Buffer::copy_of(h->response, {.front = kMarkerRoom}));
  }

  bool is_over_limit() {
    const EngineOptions& options = host_.options;
    const bool by_source =
        options.source_half_open_limit != 0 && host_.half_open_of(path_) >= options.source_half_open_limit;
    if (!by_source && host_.half_open < options.half_open_limit) return false;
    ++host_.counters.over_limit;
    if (by_source) ++host_.counters.over_source_limit;
    return true;
  }

  bool has_cookie() {
    const EngineOptions& options = host_.options;
    const bool by_source =
        options.source_cookie_threshold != 0 && host_.half_open_of(path_) >= options.source_cookie_threshold;
    if (!by_source && host_.half_open < options.cookie_threshold) return true;
    const Bytes nonce = *contents_.nonce;
    const NotifyView* const sent = contents_.find(notify::kCookie);
    if (sent != nullptr) {
      if (host_.cookies_.valid(now_, header_.spi_i, path_.remote, nonce, sent->data)) return true;
      ++host_.counters.cookies_bad;
    }
    ++host_.counters.cookies_sent;
    refuse(notify::kCookie, host_.cookies_.make(now_, host_.random, header_.spi_i, path_.remote, nonce));
    return false;
  }

  bool sent_elsewhere() {
    const bool follows = contents_.has(notify::kRedirectSupported) || contents_.has(notify::kRedirectedFrom);
    if (!host_.elsewhere || !follows) return false;
    ++host_.counters.redirected;
    refuse(notify::kRedirect, encode_gateway(*host_.elsewhere, *contents_.nonce));
    return true;
  }

  // The ticket stands for the key exchange, and for what was proved with it.
  void resume(Bytes ticket) {
    auto session = host_.tickets.open(now_, ticket);
    const auto& all = host_.options.connections;
    const auto found = std::ranges::find_if(all, [&](const ConnectionPtr& c) {
      return session && c->resumption && c->name == session->connection && is_for(*c, path_);
    });
    if (!session || found == all.end() || !Suite::of(session->proposal)) {
      ++host_.counters.tickets_refused;
      return refuse(notify::kTicketNack, {});
    }
    connection_ = *found;
    Sa::Opened opened;
    opened.proposal = session->proposal;
    opened.session = std::move(session);
    Buffer answer(1024, kHeaderSize + kMarkerRoom);
    PayloadWriter out(answer);
    open(std::move(opened), answer, out);
  }

  bool choose_proposal() {
    const ProposalList offered = contents_.offered();
    bool any = false;
    for (const ConnectionPtr& connection : host_.options.connections) {
      if (!is_for(*connection, path_)) continue;
      any = true;
      auto choice = choose_offer(connection->proposals, contents_, KeyExchangeRule::kRequired);
      if (!choice || !Suite::of(choice->proposal)) continue;
      if (has_additional({&choice->proposal, 1}) && !contents_.has(notify::kIntermediateSupported)) continue;
      connection_ = connection;
      chosen_ = *std::move(choice);
      if (!chosen_.wrong_group) return true;
      std::uint8_t wanted[2];
      store_u16(wanted, chosen_.group);
      refuse(notify::kInvalidKePayload, wanted);
      return false;
    }
    refuse(notify::kNoProposalChosen, {});
    tell(any ? Cause::kNoProposal : Cause::kNoConnection, offered);
    return false;
  }

  // Which of the connections it will be is not known yet.
  bool knows_ppk() const {
    return std::ranges::any_of(host_.options.connections,
                               [&](const ConnectionPtr& c) { return !c->ppks.empty() && is_for(*c, path_); });
  }

  bool takes_rounds() const {
    return std::ranges::any_of(host_.options.connections,
                               [&](const ConnectionPtr& c) { return has_rounds(*c) && is_for(*c, path_); });
  }

  void accept() {
    auto exchange = answer_key_exchange(static_cast<KeyExchangeMethod>(contents_.key_exchange->method),
                                        contents_.key_exchange->value, host_.random);
    if (!exchange.ok()) return refuse(notify::kInvalidSyntax, {});
    Buffer answer(1024, kHeaderSize + kMarkerRoom);
    PayloadWriter out(answer);
    write_sa(out, {&chosen_.proposal, 1}, {}, chosen_.number);
    write_key_exchange(out, contents_.key_exchange->method, exchange->public_value);
    Sa::Opened opened;
    opened.shared = std::move(exchange->shared);
    opened.proposal = std::move(chosen_.proposal);
    opened.offered = contents_.offered();
    if (connection_->signature_authentication) opened.hashes = decode_hashes(contents_);
    open(std::move(opened), answer, out);
  }

  // The rest of the answer, and from here on there is an IKE SA.
  void open(Sa::Opened opened, Buffer& answer, PayloadWriter& out) {
    ByteVector nonce(kNonceSize);
    host_.random.fill(nonce);
    out.add(PayloadType::kNonce, nonce);
    opened.request = message_.span();
    opened.nonce_i = *contents_.nonce;
    opened.nonce_r = nonce;
    opened.spi_i = header_.spi_i;
    opened.spi_r = host_.new_spi();
    opened.fragmentation = connection_->fragmentation && contents_.has(notify::kFragmentationSupported);
    opened.redirects = contents_.has(notify::kRedirectSupported) || contents_.has(notify::kRedirectedFrom);
    if (const auto nat = detect_nat(contents_, header_.spi_i, 0, path_)) {
      opened.local_nat = nat->local;
      opened.remote_nat = nat->remote;
      write_nat_detection(out, header_.spi_i, opened.spi_r, path_, connection_->force_encapsulation, host_.random);
    }
    if (opened.fragmentation) write_notify(out, notify::kFragmentationSupported);
    if (connection_->childless != Childless::kNever) write_notify(out, notify::kChildlessSupported);
    if (!opened.session) write_proofs(out, opened);
    prepend_header(answer, {.spi_i = header_.spi_i,
                            .spi_r = opened.spi_r,
                            .first = out.first(),
                            .exchange = header_.exchange,
                            .response = true});
    opened.response = answer.span();

    auto sa = std::make_unique<Sa>(host_, false, connection_, path_);
    sa->id = host_.new_sa_id();
    if (!sa->open_as_responder(now_, std::move(opened))) return;
    Sa& added = host_.add(std::move(sa));
    host_.enter_half_open(added);
    host_.transmit(path_, std::move(answer));
    host_.settle(&added);
  }

  // How the ends may prove themselves, and exchange further keys.
  void write_proofs(PayloadWriter& out, const Sa::Opened& opened) {
    if (!opened.hashes.empty()) write_hashes(out);
    if (has_additional({&opened.proposal, 1})) write_notify(out, notify::kIntermediateSupported);
    if (contents_.has(notify::kUsePpk) && knows_ppk()) write_notify(out, notify::kUsePpk);
    if (connection_->request_certificates) write_certificate_requests(out, *connection_);
    if (takes_rounds()) write_notify(out, notify::kMultipleAuthSupported);
  }

  // Not longer than what it answers: nobody is worth more to an attacker than he pays.
  void refuse(std::uint16_t type, Bytes data) {
    Buffer answer(96, kHeaderSize + kMarkerRoom);
    PayloadWriter out(answer);
    write_notify(out, type, data);
    prepend_header(answer,
                   {.spi_i = header_.spi_i, .first = out.first(), .exchange = header_.exchange, .response = true});
    host_.transmit(path_, std::move(answer));
  }

  void tell(Cause cause, const ProposalList& offered) {
    ++host_.counters.failed;
    if (now_ - host_.last_refusal_told_ < kTellPause) return;
    host_.last_refusal_told_ = now_;
    Reason why{Stage::kInit, cause, notify::kNoProposalChosen, "", offered, {}};
    for (const ConnectionPtr& connection : host_.options.connections) {
      if (!is_for(*connection, path_)) continue;
      why.accepted.insert(why.accepted.end(), connection->proposals.begin(), connection->proposals.end());
    }
    host_.tell(Closed{SaId{}, nullptr, path_, {}, std::move(why)});
  }

  Host& host_;
  TimePoint now_;
  const Path& path_;
  const Header& header_;
  Buffer& message_;
  Contents contents_;
  ConnectionPtr connection_;
  Choice chosen_;
};

void Host::receive_first(TimePoint now, const Path& path, const Header& header, Buffer& message) {
  Responder(*this, now, path, header, message).work();
}

}  // namespace winze::ike
