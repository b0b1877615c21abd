#include "winze/proto/shadowsocks/error.h"

#include "winze/base/error.h"

namespace winze::shadowsocks {
namespace {

constexpr TableCategory::Row kRows[] = {
    {static_cast<int>(Errc::kBadChunk), "the peer's bytes do not authenticate: another password or method, or damage"},
    {static_cast<int>(Errc::kReplayed), "the client's salt was used before"},
    {static_cast<int>(Errc::kUnknownUser), "the client's identity header names no user"},
    {static_cast<int>(Errc::kWrongType), "a header of the wrong type"},
    {static_cast<int>(Errc::kBadTime), "the peer's clock differs from ours by more than 30 seconds"},
    {static_cast<int>(Errc::kBadPadding), "malformed padding"},
    {static_cast<int>(Errc::kWrongAnswer), "the server answers another request"},
    {static_cast<int>(Errc::kBadAddress), "malformed destination"},
    {static_cast<int>(Errc::kBadName), "the destination's host name cannot be sent"},
};
const TableCategory kCategory("shadowsocks", kRows);

}  // namespace

const std::error_category& shadowsocks_category() noexcept { return kCategory; }

}  // namespace winze::shadowsocks
