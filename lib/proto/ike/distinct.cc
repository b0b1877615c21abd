#include "distinct.h"

#include <algorithm>
#include <map>
#include <set>

#include "transforms.h"

namespace winze::ike {
namespace {

using Methods = std::set<std::uint16_t>;

std::uint16_t method_of(const std::optional<Transform>& option) noexcept {
  return option ? option->id : id::kNoKeyExchange;
}

// Gives each list a method of its own, one list after another; who comes later may send others on to what else they
// have.
class Assignment {
 public:
  Assignment(std::span<const ExchangeOptions> lists, const Methods& taken) : lists_(lists), taken_(taken) {}

  bool is_possible() {
    for (std::size_t i = 0; i < lists_.size(); ++i) {
      Methods tried = taken_;
      if (!assign(i, tried)) return false;
    }
    return true;
  }

 private:
  bool assign(std::size_t list, Methods& tried) {
    for (const auto& option : lists_[list]) {
      const std::uint16_t method = method_of(option);
      if (method == id::kNoKeyExchange) return true;
      if (!tried.insert(method).second) continue;
      const auto holder = holders_.find(method);
      if (holder == holders_.end() || assign(holder->second, tried)) {
        holders_[method] = list;
        return true;
      }
    }
    return false;
  }

  std::span<const ExchangeOptions> lists_;
  const Methods& taken_;
  std::map<std::uint16_t, std::size_t> holders_;
};

}  // namespace

std::optional<ExchangeOptions> pick_distinct(std::span<const ExchangeOptions> lists) {
  ExchangeOptions picked;
  Methods taken;
  for (std::size_t i = 0; i < lists.size(); ++i) {
    const auto leaves_enough = [&](const std::optional<Transform>& option) {
      const std::uint16_t method = method_of(option);
      if (method == id::kNoKeyExchange) return Assignment(lists.subspan(i + 1), taken).is_possible();
      if (!taken.insert(method).second) return false;
      const bool enough = Assignment(lists.subspan(i + 1), taken).is_possible();
      if (!enough) taken.erase(method);
      return enough;
    };
    const auto option = std::ranges::find_if(lists[i], leaves_enough);
    if (option == lists[i].end()) return std::nullopt;
    picked.push_back(*option);
  }
  return picked;
}

}  // namespace winze::ike
