#include "choice.h"

#include <algorithm>

#include "transforms.h"

namespace winze::ike {
namespace {

// The offers with no group but that of the KE payload: a choice among them spares a round trip.
ProposalList with_sent_group(ProposalList offered, std::uint16_t method) {
  for (Proposal& proposal : offered) {
    const Transform sent{TransformType::kKeyExchange, method, 0};
    if (!proposal.has(sent)) {
      proposal.transforms.clear();  // meets nothing
      continue;
    }
    std::erase_if(proposal.transforms, [&](const Transform& t) { return t.type == sent.type && t != sent; });
  }
  return offered;
}

}  // namespace

std::optional<Choice> choose_offer(std::span<const Proposal> ours, const Contents& contents, KeyExchangeRule rule) {
  std::size_t index = 0;
  const ProposalList offered = contents.offered();
  const std::uint16_t sent = contents.key_exchange ? contents.key_exchange->method : id::kNoKeyExchange;
  std::optional<Proposal> chosen;
  if (contents.key_exchange && rule != KeyExchangeRule::kIgnored) {
    chosen = choose(ours, with_sent_group(offered, sent), rule, index);
  }
  if (!chosen) chosen = choose(ours, offered, rule, index);
  if (!chosen) return std::nullopt;
  Choice choice{*std::move(chosen), contents.offers[index].number, contents.offers[index].spi};
  if (const Transform* group = choice.proposal.find(TransformType::kKeyExchange)) choice.group = group->id;
  choice.wrong_group = choice.group != id::kNoKeyExchange && choice.group != sent;
  return choice;
}

}  // namespace winze::ike
