// Child SAs: what is offered and taken, and the pairs that stand (RFC 7296 sections 2.9, 2.17, 2.23.1).
#include <algorithm>

#include "choice.h"
#include "sa.h"

namespace winze::ike {
namespace {

ProposalList without_groups(ProposalList proposals) {
  for (Proposal& proposal : proposals) {
    std::erase_if(proposal.transforms, [](const Transform& t) {
      return t.type == TransformType::kKeyExchange || t.type >= TransformType::kAdditionalKeyExchange1;
    });
  }
  return proposals;
}

// What is offered with a key exchange of that group, or (0) with none. Where it is not for the configuration that there
// is one, but for the peer, all proposals have one.
ProposalList offer_of(const ChildConfig& config, std::uint16_t group) {
  if (group == id::kNoKeyExchange) return without_groups(config.proposals);
  ProposalList proposals = config.proposals;
  if (first_group(config) != id::kNoKeyExchange) return proposals;
  const Transform none{TransformType::kKeyExchange, id::kNoKeyExchange, 0};
  for (Proposal& proposal : proposals) {
    std::erase(proposal.transforms, none);
    if (proposal.find(TransformType::kKeyExchange) != nullptr) continue;
    proposal.transforms.push_back({TransformType::kKeyExchange, group, 0});
    std::ranges::stable_sort(proposal.transforms, {}, &Transform::type);
  }
  return proposals;
}

bool takes_transport(const Contents& contents, const ChildConfig& config) {
  return config.mode == esp::Mode::kTransport && contents.has(notify::kUseTransportMode);
}

// Gives selectors of a single host another address.
void set_host(Selectors& selectors, const IpAddress& address) {
  const bool of_one = std::ranges::all_of(selectors, [&](const ip::Selector& s) {
    return s.first == s.last && s.first == selectors.front().first && s.first.is_v4() == address.is_v4();
  });
  if (!of_one) return;
  for (ip::Selector& selector : selectors) selector.first = selector.last = address;
}

}  // namespace

std::uint16_t first_group(const ChildConfig& config) noexcept {
  if (config.proposals.empty()) return id::kNoKeyExchange;
  const Transform* const group = config.proposals.front().find(TransformType::kKeyExchange);
  return group != nullptr ? group->id : id::kNoKeyExchange;
}

// --- What each end wants

Selectors Sa::local_selectors(const ChildConfig& config) const {
  if (client_ && config.local.dynamic && !assigned_.empty()) return resolve(config.local, assigned_);
  if (client_ && config.local.dynamic && !connection_->request.addresses.empty()) {
    // The address is not known before the answer, which narrows this.
    Traffic all = config.local;
    all.dynamic = false;
    for (const Prefix& wish : connection_->request.addresses) {
      all.selectors.push_back(ip::Selector::any(wish.address.is_v6()));
    }
    return resolve(all, {});
  }
  return resolve(config.local, {&path_.local.address, 1});
}

Selectors Sa::remote_selectors(const ChildConfig& config) const {
  if (!client_ && config.remote.dynamic && !assigned_.empty()) return resolve(config.remote, assigned_);
  return resolve(config.remote, {&path_.remote.address, 1});
}

esp::Encapsulation Sa::encapsulation(const ChildSa& child) const {
  esp::Encapsulation how;
  // Where the peer did not take transport mode, it is tunnel mode.
  const esp::Mode wanted = child.config->mode;
  how.mode = child.transport ? esp::Mode::kTransport : wanted == esp::Mode::kTransport ? esp::Mode::kTunnel : wanted;
  const Way way = way_of_children();
  how.local = way.path.local.address;
  how.remote = way.path.remote.address;
  how.ecn = child.config->copy_ecn ? ip::EcnMode::kNormal : ip::EcnMode::kCompatibility;
  if (!child.config->copy_dscp) how.dscp = 0;
  how.behind_nat = way.local_nat || way.remote_nat;
  if (way.path.marker && (how.behind_nat || connection_->force_encapsulation || way.path.stream)) {
    how.local_port = way.path.local.port;
    how.remote_port = way.path.remote.port;
  }
  return how;
}

// --- Offers and answers

void Sa::write_child_offer(PayloadWriter& out, const ChildConfig& config, std::uint32_t spi, bool single_pair,
                           Bytes nonce, const KeyExchange* key_exchange) const {
  std::uint8_t bytes[4];
  store_u32(bytes, spi);
  const std::uint16_t group =
      key_exchange != nullptr ? static_cast<std::uint16_t>(key_exchange->method()) : id::kNoKeyExchange;
  write_sa(out, offer_of(config, group), bytes);
  if (!nonce.empty()) out.add(PayloadType::kNonce, nonce);
  if (key_exchange != nullptr) write_key_exchange(out, group, key_exchange->public_value());
  ip::SelectorPair offered{local_selectors(config), remote_selectors(config)};
  if (single_pair) offered = first_pair(offered);
  write_selectors(out, PayloadType::kTsInitiator, offered.local);
  write_selectors(out, PayloadType::kTsResponder, offered.remote);
  if (config.mode == esp::Mode::kTransport) write_notify(out, notify::kUseTransportMode);
}

Sa::ChildAnswer Sa::negotiate_child(TimePoint now, const Contents& contents, KeyExchangeRule rule,
                                    const ChildConfigPtr& only) {
  ChildAnswer answer;
  answer.error = notify::kTsUnacceptable;
  if (!contents.ts_i || !contents.ts_r || contents.offers.empty()) {
    answer.error = notify::kInvalidSyntax;
    return answer;
  }
  if (only) {
    try_config(contents, rule, only, answer);
  } else {
    for (const ChildConfigPtr& config : connection_->children) {
      if (try_config(contents, rule, config, answer)) break;
    }
    const auto others = std::ranges::count_if(connection_->children, [&](const ChildConfigPtr& config) {
      return config != answer.config && !common_selectors(contents, *config).local.empty();
    });
    answer.additional = others > 0;
  }
  if (answer.error == 0 && !narrow(now, answer)) return answer;
  if (answer.error == 0) answer.outcome.spi_in = host_.new_child_spi();
  return answer;
}

// What a peer offers of a config's traffic; none at either end: nothing. Section 2.23.1: packets of transport mode come
// by the addresses that NATs have given them, whatever the peer knows.
ip::SelectorPair Sa::common_selectors(const Contents& contents, const ChildConfig& config) const {
  Selectors local = *contents.ts_r, remote = *contents.ts_i;
  const bool transport = takes_transport(contents, config);
  if (transport && local_nat_) set_host(local, path_.local.address);
  if (transport && remote_nat_) set_host(remote, path_.remote.address);
  ip::SelectorPair common{intersect(local_selectors(config), local), intersect(remote_selectors(config), remote)};
  return common.local.empty() || common.remote.empty() ? ip::SelectorPair{} : common;
}

// True when this is the config: also when the peer only has to come again with another group.
bool Sa::try_config(const Contents& contents, KeyExchangeRule rule, const ChildConfigPtr& config, ChildAnswer& answer) {
  ip::SelectorPair selectors = common_selectors(contents, *config);
  if (selectors.local.empty()) return false;
  answer.config = config;
  const auto choice = choose_offer(config->proposals, contents, rule);
  if (!choice || choice->proposal.protocol != Protocol::kEsp || choice->spi.size() != 4 ||
      load_u32(choice->spi.data()) < esp::kFirstSpi) {
    answer.error = notify::kNoProposalChosen;
    return false;
  }
  if (choice->group == id::kNoKeyExchange && has_additional({&choice->proposal, 1})) {
    answer.error = notify::kNoProposalChosen;
    return false;
  }
  if (choice->wrong_group && rule != KeyExchangeRule::kIgnored) {
    answer.error = notify::kInvalidKePayload;
    answer.error_data.resize(2);
    store_u16(answer.error_data.data(), choice->group);
    return true;
  }
  answer.error = 0;
  answer.group = choice->group;
  answer.offer_number = choice->number;
  answer.outcome.proposal = choice->proposal;
  answer.outcome.spi_out = load_u32(choice->spi.data());
  answer.outcome.selectors = std::move(selectors);
  answer.outcome.transport = takes_transport(contents, *config);
  answer.outcome.pads = !contents.has(notify::kEspTfcPaddingNotSupported);
  return true;
}

// The host may take less. False while it thinks about it.
bool Sa::narrow(TimePoint now, ChildAnswer& answer) {
  if (!connection_->ask_narrow) return true;
  if (pending_->given_up) return answer.error = notify::kTemporaryFailure, true;
  ip::SelectorPair& selectors = answer.outcome.selectors;
  if (!pending_->narrowed) {
    pending_->asked = Asked::kNarrow;
    pending_->question = ask(now);
    host_.tell(AskNarrow{pending_->question, id, answer.config, selectors});
    answer.waits = true;
    return false;
  }
  selectors = {intersect(selectors.local, pending_->narrowed->local),
               intersect(selectors.remote, pending_->narrowed->remote)};
  if (selectors.local.empty() || selectors.remote.empty()) answer.error = notify::kTsUnacceptable;
  return true;
}

void Sa::write_child_answer(PayloadWriter& out, const ChildAnswer& answer, Bytes nonce, Bytes public_value) const {
  std::uint8_t spi[4];
  store_u32(spi, answer.outcome.spi_in);
  if (answer.outcome.transport) write_notify(out, notify::kUseTransportMode);
  write_sa(out, {&answer.outcome.proposal, 1}, spi, answer.offer_number);
  if (!nonce.empty()) out.add(PayloadType::kNonce, nonce);
  if (!public_value.empty()) write_key_exchange(out, answer.group, public_value);
  write_selectors(out, PayloadType::kTsInitiator, answer.outcome.selectors.remote);
  write_selectors(out, PayloadType::kTsResponder, answer.outcome.selectors.local);
  if (answer.additional) write_notify(out, notify::kAdditionalTsPossible);
}

Reason Sa::refusal_of(const ChildAnswer& answer, const Contents& contents) const {
  const Cause cause = answer.error == notify::kNoProposalChosen         ? Cause::kNoProposal
                      : answer.error == notify::kInternalAddressFailure ? Cause::kAddress
                      : answer.error == notify::kFailedCpRequired       ? Cause::kAddress
                      : answer.error == notify::kInvalidSyntax          ? Cause::kMisbehaved
                      : answer.error == notify::kTemporaryFailure       ? Cause::kHostTimedOut
                                                                        : Cause::kSelectors;
  Reason why = reason(cause, "", answer.error);
  if (cause != Cause::kNoProposal) return why;
  why.offered = contents.offered();
  if (answer.config) why.accepted = answer.config->proposals;
  return why;
}

std::optional<Reason> Sa::judge_child_answer(const Contents& contents, const ChildConfig& config, std::uint16_t group,
                                             ChildOutcome& outcome) const {
  if (const NotifyView* error = contents.error()) {
    const Cause cause = error->type == notify::kNoProposalChosen         ? Cause::kNoProposal
                        : error->type == notify::kTsUnacceptable         ? Cause::kSelectors
                        : error->type == notify::kInternalAddressFailure ? Cause::kAddress
                        : error->type == notify::kFailedCpRequired       ? Cause::kAddress
                                                                         : Cause::kRefusedByPeer;
    Reason why = reason(cause, "", error->type);
    if (cause == Cause::kNoProposal) why.accepted = config.proposals;
    return why;
  }
  if (contents.offers.size() != 1 || contents.offers[0].spi.size() != 4 || !contents.ts_i || !contents.ts_r) {
    return reason(Cause::kMisbehaved, "no child SA in the answer");
  }
  std::size_t index = 0;
  const ProposalList answered = contents.offered();
  const auto rule = group != id::kNoKeyExchange ? KeyExchangeRule::kOptional : KeyExchangeRule::kIgnored;
  auto chosen = choose(offer_of(config, group), answered, rule, index);
  const std::size_t transforms = answered[0].transforms.size();
  const std::uint32_t spi = load_u32(contents.offers[0].spi.data());
  if (!chosen || chosen->transforms.size() < transforms || spi < esp::kFirstSpi) {
    Reason why = reason(Cause::kNoProposal, "the peer chose what was not offered");
    why.offered = answered;
    why.accepted = config.proposals;
    return why;
  }
  outcome.transport = takes_transport(contents, config);
  outcome.selectors = {*contents.ts_i, *contents.ts_r};
  auto& [local, remote] = outcome.selectors;
  if (outcome.transport && local_nat_) set_host(local, path_.local.address);
  if (outcome.transport && remote_nat_) set_host(remote, path_.remote.address);
  if (local.empty() || remote.empty() || !covers(local_selectors(config), local) ||
      !covers(remote_selectors(config), remote)) {
    return reason(Cause::kSelectors, "the peer chose selectors that were not offered");
  }
  outcome.proposal = *std::move(chosen);
  outcome.spi_out = spi;
  outcome.pads = !contents.has(notify::kEspTfcPaddingNotSupported);
  return std::nullopt;
}

// --- Pairs

ChildSa* Sa::child_by_in(std::uint32_t spi) noexcept {
  for (const auto& child : children_) {
    if (child->spi_in == spi) return child.get();
  }
  return nullptr;
}

ChildSa* Sa::child_by_out(std::uint32_t spi) noexcept {
  for (const auto& child : children_) {
    if (child->spi_out == spi) return child.get();
  }
  return nullptr;
}

// The newest that stays.
ChildSa* Sa::child_by_id(ChildId child_id) noexcept {
  ChildSa* found = nullptr;
  for (const auto& child : children_) {
    if (child->id == child_id && (found == nullptr || child->state == ChildSa::State::kUp)) found = child.get();
  }
  return found;
}

void Sa::give_up_spi(std::uint32_t spi) {
  if (spi != 0) host_.by_child_spi.erase(spi);
}

ChildSa* Sa::install(TimePoint now, ChildId child_id, const ChildConfigPtr& config, const ChildOutcome& outcome,
                     Bytes shared, Bytes nonce_i, Bytes nonce_r, Bytes further) {
  auto keys =
      derive_child_keys(suite_.prf, keys_.d, outcome.proposal, shared, nonce_i, nonce_r, further, config->legacy);
  if (!keys) return give_up_spi(outcome.spi_in), nullptr;
  if (config->short_sha256) {
    for (esp::Algorithms* const algorithms : {&keys->from_initiator, &keys->from_responder}) {
      if (algorithms->integrity == esp::Integrity::kHmacSha2_256_128) {
        algorithms->integrity = esp::Integrity::kHmacSha2_256_96;
      }
    }
  }
  auto pair = std::make_unique<ChildSa>();
  pair->id = child_id != ChildId{} ? child_id : host_.new_child_id();
  pair->initiator = outcome.initiator;
  pair->spi_in = outcome.spi_in;
  pair->spi_out = outcome.spi_out;
  pair->config = config;
  pair->transport = outcome.transport;
  if (const Transform* const group = outcome.proposal.find(TransformType::kKeyExchange)) pair->group = group->id;
  pair->rekey_at = config->rekey_time <= Duration::zero()
                       ? kNever
                       : now + config->rekey_time - jitter(std::min(config->rand_time, config->rekey_time / 2));
  pair->expire_at = config->life_time <= Duration::zero() ? kNever : now + config->life_time;
  if (const ChildSa* const before = child_by_id(child_id)) {
    pair->idle_at = before->idle_at;
  } else if (config->inactivity > Duration::zero() && host_.options.last_traffic) {
    pair->idle_at = now + config->inactivity;
  }

  esp::SaConfig inbound{.spi = outcome.spi_in,
                        .esn = keys->esn,
                        .replay_window = config->replay_window,
                        .lifetime = {.soft_packets = config->rekey_packets,
                                     .hard_packets = config->life_packets,
                                     .soft_bytes = config->rekey_bytes,
                                     .hard_bytes = config->life_bytes,
                                     .hard_at = pair->expire_at}};
  esp::SaConfig outbound = inbound;
  outbound.spi = outcome.spi_out;
  outbound.pad_payload_to = outcome.pads ? config->pad_payload_to : std::uint16_t{0};
  inbound.algorithms = std::move(outcome.initiator ? keys->from_responder : keys->from_initiator);
  outbound.algorithms = std::move(outcome.initiator ? keys->from_initiator : keys->from_responder);

  host_.by_child_spi[pair->spi_in] = {this, pair->id};
  host_.by_child[pair->id] = this;
  ChildSa& added = *children_.emplace_back(std::move(pair));
  if (child_id == ChildId{}) {
    added.sends = true;
    host_.tell(ChildUp{id, added.id, config, std::move(inbound), std::move(outbound), outcome.selectors,
                       encapsulation(added), way_of_children().path});
    return &added;
  }
  host_.tell(ChildInbound{added.id, std::move(inbound)});
  added.waiting_outbound = std::make_unique<esp::SaConfig>(std::move(outbound));
  return &added;
}

void Sa::send_by(ChildSa& child) {
  if (!child.waiting_outbound) return;
  for (const auto& other : children_) {
    if (other->id == child.id) other->sends = other.get() == &child;
  }
  host_.tell(ChildOutbound{child.id, std::move(*child.waiting_outbound)});
  child.waiting_outbound.reset();
}

void Sa::remove_child(TimePoint now, ChildSa& child, const Reason& why) {
  const auto entry = std::ranges::find(children_, &child, &std::unique_ptr<ChildSa>::get);
  const std::unique_ptr<ChildSa> removed = std::move(*entry);
  children_.erase(entry);
  std::erase_if(tasks_, [&](const Task& task) { return task.spi == removed->spi_in; });
  ChildSa* const other = child_by_id(removed->id);
  if (other == nullptr) {
    host_.by_child_spi.erase(removed->spi_in);
    host_.by_child.erase(removed->id);
    host_.tell(ChildDown{id, removed->id, why});
    return;
  }
  // What stays has waited for this.
  if (removed->sends) send_by(*other);
  leaving_.emplace_back(now + host_.options.inbound_grace, std::pair(removed->id, removed->spi_in));
}

// A peer that deletes the new pair, and not the old one, has had no use for the answer to its rekey.
void Sa::restore_replaced(TimePoint now, ChildId child_id) {
  ChildSa* const newest = child_by_id(child_id);
  if (newest == nullptr || newest->state == ChildSa::State::kUp) return;
  for (const auto& child : children_) {
    if (child->id != child_id || !child->sends || child->state != ChildSa::State::kRekeyed) continue;
    child->state = ChildSa::State::kUp;
    // It is for the peer to try again: for us, once it has had its time.
    if (child->expire_at != kNever) child->rekey_at = now + (child->expire_at - now) / 2;
  }
}

}  // namespace winze::ike
