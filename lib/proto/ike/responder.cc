// First requests of strangers (RFC 7296 sections 1.2, 2.6): answered without keeping anything, until one can be
// accepted.
#include <algorithm>

#include "choice.h"
#include "nat.h"
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

bool is_for(const Connection& connection, const Path& path) {
  return (path.local.address.is_unspecified() || covers(connection.local_addresses, path.local.address)) &&
         covers(connection.remote_addresses, path.remote.address);
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
    PayloadChain chain;
    if (!chain.decode(header_.first, message_.span().subspan(kHeaderSize)) || !contents_.decode(chain)) {
      ++host_.counters.malformed;
      return;
    }
    if (chain.unknown_critical != 0) {
      return refuse(notify::kUnsupportedCriticalPayload, {&chain.unknown_critical, 1});
    }
    if (contents_.offers.empty() || !contents_.key_exchange || !contents_.nonce) {
      ++host_.counters.malformed;
      return;
    }
    if (!has_cookie()) return;
    if (host_.half_open >= host_.options.half_open_limit) {
      ++host_.counters.over_limit;
      return;
    }
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

  bool has_cookie() {
    if (host_.half_open < host_.options.cookie_threshold) return true;
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

  bool choose_proposal() {
    const ProposalList offered = contents_.offered();
    bool any = false;
    for (const ConnectionPtr& connection : host_.options.connections) {
      if (!is_for(*connection, path_)) continue;
      any = true;
      auto choice = choose_offer(connection->proposals, contents_, KeyExchangeRule::kRequired);
      if (!choice || !Suite::of(choice->proposal)) continue;
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

  void accept() {
    auto exchange = answer_key_exchange(static_cast<KeyExchangeMethod>(contents_.key_exchange->method),
                                        contents_.key_exchange->value, host_.random);
    if (!exchange.ok()) return refuse(notify::kInvalidSyntax, {});
    ByteVector nonce(kNonceSize);
    host_.random.fill(nonce);
    const std::uint64_t spi_r = host_.new_spi();
    const bool fragmentation = connection_->fragmentation && contents_.has(notify::kFragmentationSupported);
    Buffer answer(1024, kHeaderSize + kMarkerRoom);
    PayloadWriter out(answer);
    write_sa(out, {&chosen_.proposal, 1}, {}, chosen_.number);
    write_key_exchange(out, contents_.key_exchange->method, exchange->public_value);
    out.add(PayloadType::kNonce, nonce);
    const auto nat = detect_nat(contents_, header_.spi_i, 0, path_);
    if (nat) {
      write_nat_detection(out, header_.spi_i, spi_r, path_, connection_->force_encapsulation, host_.random);
    }
    if (fragmentation) write_notify(out, notify::kFragmentationSupported);
    if (connection_->childless) write_notify(out, notify::kChildlessSupported);
    HashNumbers hashes = decode_hashes(contents_);
    if (!hashes.empty()) write_hashes(out);
    if (connection_->remote.verifier) write_certificate_request(out, *connection_->remote.verifier);
    prepend_header(
        answer,
        {.spi_i = header_.spi_i, .spi_r = spi_r, .first = out.first(), .exchange = Exchange::kInit, .response = true});

    auto sa = std::make_unique<Sa>(host_, false, connection_, path_);
    sa->id = host_.new_sa_id();
    if (!sa->open_as_responder(now_, {.request = message_.span(),
                                      .response = answer.span(),
                                      .nonce_i = *contents_.nonce,
                                      .nonce_r = nonce,
                                      .shared = std::move(exchange->shared),
                                      .proposal = std::move(chosen_.proposal),
                                      .offered = contents_.offered(),
                                      .hashes = std::move(hashes),
                                      .fragmentation = fragmentation,
                                      .local_nat = nat && nat->local,
                                      .remote_nat = nat && nat->remote,
                                      .spi_i = header_.spi_i,
                                      .spi_r = spi_r})) {
      return;
    }
    Sa& added = host_.add(std::move(sa));
    ++host_.half_open;
    host_.openings_[{header_.spi_i, path_.remote}] = &added;
    host_.transmit(path_, std::move(answer));
    host_.settle(&added);
  }

  // Not longer than what it answers: nobody is worth more to an attacker than he pays.
  void refuse(std::uint16_t type, Bytes data) {
    Buffer answer(96, kHeaderSize + kMarkerRoom);
    PayloadWriter out(answer);
    write_notify(out, type, data);
    prepend_header(answer,
                   {.spi_i = header_.spi_i, .first = out.first(), .exchange = Exchange::kInit, .response = true});
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
