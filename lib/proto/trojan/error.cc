#include "winze/proto/trojan/error.h"

#include "winze/base/error.h"

namespace winze::trojan {
namespace {

constexpr TableCategory::Row kRows[] = {
    {static_cast<int>(Errc::kNotTrojan), "the peer does not speak Trojan"},
    {static_cast<int>(Errc::kUnknownUser), "no user has the password that the client sent"},
    {static_cast<int>(Errc::kUnsupportedCommand), "the client's command is not supported"},
    {static_cast<int>(Errc::kBadAddress), "malformed destination"},
    {static_cast<int>(Errc::kBadDatagram), "malformed frame of a datagram"},
    {static_cast<int>(Errc::kBadName), "the destination's host name cannot be sent"},
};
const TableCategory kCategory("trojan", kRows);

}  // namespace

const std::error_category& trojan_category() noexcept { return kCategory; }

}  // namespace winze::trojan
