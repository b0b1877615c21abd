#include "winze/proto/vless/error.h"

#include "winze/base/error.h"

namespace winze::vless {
namespace {

constexpr TableCategory::Row kRows[] = {
    {static_cast<int>(Errc::kWrongVersion), "the peer does not speak VLESS version 0"},
    {static_cast<int>(Errc::kUnknownUser), "no user has the id that the client sent"},
    {static_cast<int>(Errc::kBadAddons), "malformed addons"},
    {static_cast<int>(Errc::kUnsupportedFlow), "the client asks for a flow that its user does not have"},
    {static_cast<int>(Errc::kMissingFlow), "the client does not ask for the flow of its user"},
    {static_cast<int>(Errc::kBadPadding), "malformed block of padding"},
    {static_cast<int>(Errc::kUnsupportedCommand), "the client's command is not supported"},
    {static_cast<int>(Errc::kBadAddress), "malformed destination"},
    {static_cast<int>(Errc::kBadName), "the destination's host name cannot be sent"},
};
const TableCategory kCategory("vless", kRows);

}  // namespace

const std::error_category& vless_category() noexcept { return kCategory; }

}  // namespace winze::vless
