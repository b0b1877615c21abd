#include "winze/proto/vmess/error.h"

#include "winze/base/error.h"

namespace winze::vmess {
namespace {

constexpr TableCategory::Row kRows[] = {
    {static_cast<int>(Errc::kUnknownUser), "the opening is no user's"},
    {static_cast<int>(Errc::kBadTime), "the client's clock and ours differ by more than two minutes"},
    {static_cast<int>(Errc::kReplayed), "the opening is a replay of an earlier one"},
    {static_cast<int>(Errc::kBadHeader), "the header does not authenticate"},
    {static_cast<int>(Errc::kBadRequest), "malformed request"},
    {static_cast<int>(Errc::kUnsupportedCommand), "the client's command is not supported"},
    {static_cast<int>(Errc::kUnsupportedSecurity), "the client's cipher is not served here"},
    {static_cast<int>(Errc::kBadOptions), "the client's options contradict each other"},
    {static_cast<int>(Errc::kBadAddress), "malformed destination"},
    {static_cast<int>(Errc::kBadChunk), "a chunk does not authenticate"},
    {static_cast<int>(Errc::kBadAnswer), "the server's answer is not one to our request"},
    {static_cast<int>(Errc::kBadName), "the destination's host name cannot be sent"},
    {static_cast<int>(Errc::kBadConfiguration), "options that contradict each other"},
};
const TableCategory kCategory("vmess", kRows);

}  // namespace

const std::error_category& vmess_category() noexcept { return kCategory; }

}  // namespace winze::vmess
