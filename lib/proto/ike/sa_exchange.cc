// Messages of an IKE SA that has keys: sealed and opened, cut and joined, repeated and answered again.
#include <algorithm>

#include "sa.h"

namespace winze::ike {
namespace {

constexpr std::size_t kMarkerRoom = 4;
constexpr std::size_t kUdpHeaderSize = 8;
constexpr std::uint16_t kMostFragments = 1024;
constexpr unsigned kResumeTries = 1;  // after the first sending

Bytes whole(const Buffer& buffer) { return buffer.span(); }

bool ends_ike_sa(const Contents& contents) {
  return std::ranges::any_of(contents.deletes, [](const DeleteView& view) { return view.protocol == Protocol::kIke; });
}

}  // namespace

// --- In

void Sa::receive(TimePoint now, const Path& path, const Header& header, Buffer& message) {
  if (doomed) return;
  if (header.exchange == Exchange::kInit || header.exchange == Exchange::kSessionResume) {
    if (state_ == State::kInit && header.response && header.message_id == 0) on_init_response(now, header, message);
    return;
  }
  if (state_ == State::kInit || header.spi_i != spis_.i || header.spi_r != spis_.r || header.initiator == initiator_) {
    ++host_.counters.unknown_sa;
    return;
  }
  // Before anything is computed: ids that cannot be meant.
  const bool again = !header.response && header.message_id + 1 == expected_ && expected_ != 0;
  const bool wanted = header.response
                          ? active_ && active_->message_id == header.message_id && active_->exchange == header.exchange
                          : header.message_id == expected_ || again;
  if (!wanted) {
    ++host_.counters.out_of_window;
    return;
  }
  PayloadChain chain;
  if (!chain.decode(header.first, message.span().subspan(kHeaderSize)) || chain.payloads.empty()) {
    ++host_.counters.malformed;
    return;
  }
  open(now, path, header, message, chain.payloads.back(), chain.inner_first);
}

void Sa::open(TimePoint now, const Path& path, const Header& header, Buffer& message, const Payload& sealed,
              PayloadType inner_first) {
  const bool fragment = sealed.type == PayloadType::kFragment;
  if ((!fragment && sealed.type != PayloadType::kEncrypted) || (fragment && sealed.body.size() < 4)) {
    ++host_.counters.malformed;
    return;
  }
  const bool again = !header.response && header.message_id != expected_;
  const bool before = again && handshake_ && handshake_->inbound_before;
  const MessageKeys& keys = before ? *handshake_->inbound_before : inbound_keys();
  const auto inner = open_message(suite_, keys, message.span(), sealed.body.subspan(fragment ? 4 : 0));
  if (!inner) {
    ++host_.counters.bad_integrity;
    return;
  }
  FragmentNumber number;
  if (fragment) number = {load_u16(sealed.body.data()), load_u16(sealed.body.data() + 2)};
  if (again) {
    // RFC 7383 section 2.6.1: of a request in fragments, the first alone brings the answer again.
    if (!fragment || number.number == 1) replay(path);
    return;
  }
  if (!fragment) return on_message(now, path, header, inner_first, *inner);
  auto& assembly = header.response ? response_fragments_ : request_fragments_;
  const auto joined = join(assembly, header, number, inner_first, *inner);
  if (!joined) return;
  on_message(now, path, header, joined->first, joined->second);
}

// Of those who have proved nothing.
bool Sa::charge(std::ptrdiff_t bytes) {
  if (!half_open()) return true;
  const std::size_t now = host_.half_open_fragments + static_cast<std::size_t>(bytes);
  if (bytes > 0 && now > host_.options.half_open_reassembly_limit) return false;
  host_.half_open_fragments = now;
  return true;
}

std::optional<std::pair<PayloadType, ByteVector>> Sa::join(std::unique_ptr<Fragments>& assembly, const Header& header,
                                                           FragmentNumber number, PayloadType first, Bytes part) {
  const auto drop = [&] {
    ++host_.counters.fragments_dropped;
    return std::nullopt;
  };
  if (!fragmentation_ || number.number == 0 || number.number > number.total || number.total > kMostFragments) {
    return drop();
  }
  // RFC 7383 section 2.6: a larger total is of a message that was cut anew, into smaller pieces.
  if (!assembly || assembly->message_id != header.message_id || assembly->total < number.total) {
    if (assembly) charge(-static_cast<std::ptrdiff_t>(assembly->bytes));
    assembly = std::make_unique<Fragments>(Fragments{header.message_id, number.total, PayloadType::kNone, 0, {}});
  }
  if (assembly->total != number.total) return drop();
  const auto known = std::ranges::find(assembly->parts, number.number, &std::pair<std::uint16_t, ByteVector>::first);
  if (known != assembly->parts.end() || assembly->bytes + part.size() > host_.options.reassembly_limit) return drop();
  if (!charge(static_cast<std::ptrdiff_t>(part.size()))) return drop();
  if (number.number == 1) assembly->first = first;
  assembly->bytes += part.size();
  assembly->parts.emplace_back(number.number, ByteVector(part.begin(), part.end()));
  if (assembly->parts.size() != number.total) return std::nullopt;
  std::ranges::sort(assembly->parts, {}, &std::pair<std::uint16_t, ByteVector>::first);
  std::pair<PayloadType, ByteVector> joined{assembly->first, {}};
  joined.second.reserve(assembly->bytes);
  for (const auto& [at, bytes] : assembly->parts) joined.second.insert(joined.second.end(), bytes.begin(), bytes.end());
  charge(-static_cast<std::ptrdiff_t>(assembly->bytes));
  assembly.reset();
  return joined;
}

void Sa::on_message(TimePoint now, const Path& path, const Header& header, PayloadType first, Bytes payloads) {
  authentic(now, path, header);
  if (!header.response) return on_request(now, path, header, first, payloads);
  cover_intermediate(header, first, payloads);
  PayloadChain chain;
  Contents contents;
  if (!chain.decode(first, payloads) || !contents.decode(chain)) {
    return end(now, reason(Cause::kMisbehaved, "a malformed response", notify::kInvalidSyntax), false);
  }
  if (chain.unknown_critical != 0) {
    // RFC 7296 section 2.5: a response may hold none.
    return end(now, reason(Cause::kMisbehaved, "an unknown critical payload in a response"), false);
  }
  on_response(now, contents);
}

// Only here is it known that the peer, and nobody else, has sent something new.
void Sa::authentic(TimePoint now, const Path& path, const Header& header) {
  if (connection_ && state_ == State::kUp) heard(now);
  if (header.response) return;
  if (state_ == State::kAuth && !initiator_) {
    path_ = path;  // it may have floated to the other port
  } else if (state_ == State::kUp && remote_nat_ && !local_nat_ && !mobike_ && path_ != path) {
    // RFC 7296 section 2.23: the mapping of the NAT before the peer has changed.
    path_ = path;
    tell_migrated();
  }
}

void Sa::on_request(TimePoint now, const Path& path, const Header& header, PayloadType first, Bytes payloads) {
  if (sent_elsewhere_) return answer_deletion(now, path, header, first, payloads);
  if (state_ == State::kGone || pending_ || (state_ == State::kAuth && initiator_)) return;
  cover_intermediate(header, first, payloads);
  PayloadChain chain;
  Contents contents;
  if (!chain.decode(first, payloads) || !contents.decode(chain)) {
    // RFC 7296 section 2.21.3: fatal to both.
    respond_notify(now, header, path, notify::kInvalidSyntax);
    return end(now, reason(Cause::kMisbehaved, "a malformed request", notify::kInvalidSyntax), true);
  }
  if (chain.unknown_critical != 0) {
    const std::uint8_t type = chain.unknown_critical;
    respond_notify(now, header, path, notify::kUnsupportedCriticalPayload, {&type, 1});
    if (state_ == State::kAuth) end(now, reason(Cause::kUnsupported, "an unknown critical payload"), true);
    return;
  }
  dispatch(now, path, header, first, payloads, contents);
}

void Sa::answer_deletion(TimePoint now, const Path& path, const Header& header, PayloadType first, Bytes payloads) {
  PayloadChain chain;
  Contents contents;
  if (header.exchange != Exchange::kInformational || !chain.decode(first, payloads) || !contents.decode(chain)) return;
  if (!ends_ike_sa(contents)) return;
  sent_elsewhere_ = false;
  respond(now, header, path, PayloadType::kNone, {});
}

void Sa::dispatch(TimePoint now, const Path& path, const Header& header, PayloadType first, Bytes payloads,
                  const Contents& contents) {
  if (parked_beside_ != 0 && !ends_ike_sa(contents)) adopt_self(now);
  const auto wait = [&] {
    pending_ = std::make_unique<Pending>(Pending{.header = header, .path = path, .first = first});
    pending_->payloads.assign(payloads.begin(), payloads.end());
    continue_pending(now);
  };
  switch (header.exchange) {
    case Exchange::kIntermediate:
      if (state_ == State::kAuth) return on_intermediate_request(now, path, header, contents);
      break;
    case Exchange::kAuth:
      if (state_ != State::kAuth) break;
      if (exchanges_wanting()) {
        respond_notify(now, header, path, notify::kInvalidSyntax);
        return end(now, reason(Cause::kMisbehaved, "IKE_AUTH before the key exchanges", notify::kInvalidSyntax), true);
      }
      handshake_->inbound_before.reset();
      return wait();
    case Exchange::kCreateChild:
      if (state_ == State::kUp) return wait();
      if (state_ == State::kAuth) return;
      return respond_notify(now, header, path, notify::kTemporaryFailure);
    case Exchange::kFollowUp:
      if (state_ == State::kUp) return on_follow_up_request(now, path, header, contents);
      if (state_ == State::kAuth) return;
      return respond_notify(now, header, path, notify::kTemporaryFailure);
    case Exchange::kInformational:
      if (state_ == State::kAuth) return on_farewell(now, path, header, contents);
      return on_informational_request(now, path, header, contents);
    case Exchange::kInit:
    case Exchange::kSessionResume:
      return;
  }
  if (state_ == State::kAuth) return;
  respond_notify(now, header, path, notify::kInvalidSyntax);
  if (state_ == State::kUp) {
    end(now, reason(Cause::kMisbehaved, "a request that has no place here", notify::kInvalidSyntax), true);
  }
}

void Sa::continue_pending(TimePoint now) {
  if (!pending_) return;
  // The request outlives what is decided about it here, also where that ends the IKE SA.
  const ByteVector payloads = pending_->payloads;
  PayloadChain chain;
  Contents contents;
  if (!chain.decode(pending_->first, payloads) || !contents.decode(chain)) return;
  if (pending_->header.exchange == Exchange::kAuth) return on_auth_request(now, contents);
  on_create_child_request(now, contents);
}

void Sa::refused(TimePoint now, const std::string& why) {
  switch (pending_->asked) {
    case Asked::kAddresses:
      pending_->configuration.emplace();
      return continue_pending(now);
    case Asked::kNarrow:
      pending_->narrowed.emplace();
      return continue_pending(now);
    default:
      return fail_auth(now, reason(Cause::kRefusedByHost, why), notify::kAuthenticationFailed);
  }
}

// --- Out

std::vector<Buffer> Sa::seal(Exchange exchange, bool response, std::uint32_t message_id, PayloadType first,
                             Bytes payloads) {
  const Header header{.spi_i = spis_.i,
                      .spi_r = spis_.r,
                      .exchange = exchange,
                      .initiator = initiator_,
                      .response = response,
                      .message_id = message_id};
  cover_intermediate(header, first, payloads);
  std::vector<Buffer> packets;
  const std::size_t around =
      (path_.remote.address.is_v4() ? 20u : 40u) + kUdpHeaderSize + (path_.marker ? kMarkerRoom : 0);
  const std::size_t limit = std::max<std::size_t>(connection_ ? connection_->fragment_size : 1280, 256) - around;
  if (!fragmentation_ || path_.stream || payloads.size() + sealed_overhead(suite_, false) <= limit) {
    packets.push_back(
        seal_message(suite_, outbound_keys(), host_.random, header, first, payloads, std::nullopt, kMarkerRoom));
    return packets;
  }
  const std::size_t piece = limit - sealed_overhead(suite_, true);
  const std::size_t total = (payloads.size() + piece - 1) / piece;
  for (std::size_t i = 0; i < total; ++i) {
    const Bytes part = payloads.subspan(i * piece, std::min(piece, payloads.size() - i * piece));
    const FragmentNumber number{static_cast<std::uint16_t>(i + 1), static_cast<std::uint16_t>(total)};
    packets.push_back(seal_message(suite_, outbound_keys(), host_.random, header, i == 0 ? first : PayloadType::kNone,
                                   part, number, kMarkerRoom));
  }
  return packets;
}

void Sa::send_packets(const Path& path, const std::vector<Buffer>& packets) {
  // Copies, for they may have to be sent again.
  for (const Buffer& packet : packets) {
    host_.transmit(path, Buffer::copy_of(whole(packet), {.front = kMarkerRoom}));
  }
}

Active& Sa::send_request(TimePoint now, Task task, Exchange exchange, PayloadType first, Bytes payloads) {
  if (!active_) active_ = std::make_unique<Active>();
  active_->task = std::move(task);
  active_->exchange = exchange;
  active_->message_id = next_request_++;
  active_->packets = seal(exchange, false, active_->message_id, first, payloads);
  active_->tries = 0;
  active_->resend_at = now + retransmission_pause(0);
  send_packets(path_, active_->packets);
  return *active_;
}

Duration Sa::retransmission_pause(unsigned tries) const {
  const Retransmission& r = connection_->retransmission;
  double pause = static_cast<double>(r.first.count());
  for (unsigned i = 0; i < tries; ++i) pause *= r.factor;
  return Duration(static_cast<Duration::rep>(pause));
}

void Sa::resend(TimePoint now) {
  if (state_ == State::kInit && resumes() && active_->tries == kResumeTries) {
    // Who knows no tickets does not answer them.
    handshake_->opening.ticket.reset();
    return send_init(now);
  }
  if (active_->tries >= connection_->retransmission.tries) {
    const bool closing = state_ == State::kClosing || state_ == State::kRekeyed;
    return end(now,
               closing ? reason(Cause::kClosedByHost, "the peer did not confirm it")
                       : reason(Cause::kTimedOut, std::string(exchange_name(active_->exchange)) + " was sent " +
                                                      std::to_string(active_->tries + 1) + " times"),
               false);
  }
  ++active_->tries;
  active_->resend_at = now + retransmission_pause(active_->tries);
  if (path_.stream) return;  // RFC 9329 section 4.3: the stream repeats
  ++host_.counters.retransmits;
  send_packets(path_, active_->packets);
  // Half of the time is left for other addresses.
  if (active_->tries == (connection_->retransmission.tries + 1) / 2) tell_failing_path();
}

void Sa::respond(TimePoint, const Header& request, const Path& path, PayloadType first, Bytes payloads) {
  last_response_ = seal(request.exchange, true, request.message_id, first, payloads);
  expected_ = request.message_id + 1;
  send_packets(path, last_response_);
}

void Sa::respond_notify(TimePoint now, const Header& request, const Path& path, std::uint16_t type, Bytes data) {
  Buffer inner(64);
  PayloadWriter out(inner);
  write_notify(out, type, data);
  respond(now, request, path, out.first(), inner.span());
}

void Sa::respond_pending(TimePoint now, const PayloadWriter& out, const Buffer& inner) {
  const std::unique_ptr<Pending> done = std::move(pending_);
  respond(now, done->header, done->path, out.first(), inner.span());
}

void Sa::replay(const Path& path) {
  if (last_response_.empty()) return;
  ++host_.counters.replays_answered;
  send_packets(path, last_response_);
}

void Sa::on_response(TimePoint now, const Contents& contents) {
  Active active = std::move(*active_);
  active_.reset();
  if (active.exchange == Exchange::kFollowUp) {
    on_follow_up_response(now, std::move(active), contents);
    if (!doomed) pump(now);
    return;
  }
  switch (active.task.kind) {
    case Task::Kind::kInit:
      break;
    case Task::Kind::kIntermediate:
      on_intermediate_response(now, contents);
      break;
    case Task::Kind::kAuth:
      on_auth_response(now, contents);
      break;
    case Task::Kind::kCreateChild:
    case Task::Kind::kRekeyChild:
      on_create_child_response(now, std::move(active), contents);
      break;
    case Task::Kind::kRekeyIke:
      on_rekey_response(now, std::move(active), contents);
      break;
    case Task::Kind::kDeleteChild:
    case Task::Kind::kDeleteIke:
    case Task::Kind::kProbe:
    case Task::Kind::kMove:
    case Task::Kind::kCheckWay:
    case Task::Kind::kTellAddresses:
    case Task::Kind::kRedirect:
      on_informational_response(now, std::move(active), contents);
      break;
  }
  if (!doomed) pump(now);
}

}  // namespace winze::ike
