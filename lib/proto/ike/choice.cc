#include "choice.h"

#include <algorithm>

#include "transforms.h"

namespace winze::ike {
namespace {

// The same choice with the group of the KE payload, which spares a round trip where our list allows it.
std::optional<Proposal> with_sent_group(std::span<const Proposal> ours, const Proposal& offered, std::uint16_t method,
                                        KeyExchangeRule rule) {
  const Transform sent{TransformType::kKeyExchange, method, 0};
  if (!offered.has(sent)) return std::nullopt;
  ProposalList narrowed{offered};
  std::erase_if(narrowed[0].transforms, [&](const Transform& t) { return t.type == sent.type && t != sent; });
  std::size_t index = 0;
  return choose(ours, narrowed, rule, index);
}

}  // namespace

std::optional<Choice> choose_offer(std::span<const Proposal> ours, const Contents& contents, KeyExchangeRule rule) {
  std::size_t index = 0;
  const ProposalList offered = contents.offered();
  auto chosen = choose(ours, offered, rule, index);
  if (!chosen) return std::nullopt;
  const std::uint16_t sent = contents.key_exchange ? contents.key_exchange->method : id::kNoKeyExchange;
  if (contents.key_exchange && rule != KeyExchangeRule::kIgnored) {
    if (auto better = with_sent_group(ours, offered[index], sent, rule)) chosen = std::move(better);
  }
  Choice choice{*std::move(chosen), contents.offers[index].number, contents.offers[index].spi};
  if (const Transform* group = choice.proposal.find(TransformType::kKeyExchange)) choice.group = group->id;
  choice.wrong_group = choice.group != id::kNoKeyExchange && choice.group != sent;
  return choice;
}

}  // namespace winze::ike
