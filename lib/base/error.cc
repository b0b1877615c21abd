#include "winze/base/error.h"

namespace winze {
namespace {

constexpr TableCategory::Row kRows[] = {
    {static_cast<int>(Errc::kEof), "end of stream"},
    {static_cast<int>(Errc::kAborted), "operation cancelled"},
    {static_cast<int>(Errc::kTimedOut), "timed out"},
    {static_cast<int>(Errc::kTruncated), "connection ended in the middle of a message"},
    {static_cast<int>(Errc::kBusy), "an operation of this kind is already pending"},
    {static_cast<int>(Errc::kClosed), "stream is closed"},
    {static_cast<int>(Errc::kUnresolved), "host name has no address"},
    {static_cast<int>(Errc::kUnsupported), "not supported here"},
    {static_cast<int>(Errc::kRefusedPolicy), "destination refused by policy"},
};
const TableCategory kCategory("winze", kRows);

}  // namespace

const std::error_category& winze_category() noexcept { return kCategory; }

std::string TableCategory::message(int value) const {
  for (std::size_t i = 0; i < count_; ++i) {
    if (rows_[i].value == value) return std::string(rows_[i].text);
  }
  return std::string(name_) + " error " + std::to_string(value);
}

Blame blame_of(const std::error_code& error) noexcept {
  if (dynamic_cast<const TableCategory*>(&error.category()) == nullptr) return Blame::kNone;
  if (error.category() == winze_category()) {
    switch (static_cast<Errc>(error.value())) {
      case Errc::kTruncated:
        return Blame::kPeerMisbehaved;
      case Errc::kBusy:
      case Errc::kClosed:
        return Blame::kLocalMisuse;
      default:
        return Blame::kNone;
    }
  }
  switch (error.value() / 100) {
    case 1:
      return Blame::kPeerMisbehaved;
    case 2:
      return Blame::kPeerRefused;
    case 3:
      return Blame::kLocalMisuse;
    default:
      return Blame::kNone;
  }
}

}  // namespace winze
