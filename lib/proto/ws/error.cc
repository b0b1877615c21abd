#include "winze/proto/ws/error.h"

#include "winze/base/error.h"

namespace winze::ws {
namespace {

constexpr TableCategory::Row kRows[] = {
    {static_cast<int>(Errc::kReservedBits), "frame with reserved bits set"},
    {static_cast<int>(Errc::kBadOpcode), "frame with a reserved opcode"},
    {static_cast<int>(Errc::kBadMask), "frame masked by a server or not masked by a client"},
    {static_cast<int>(Errc::kBadLength), "frame with an invalid length"},
    {static_cast<int>(Errc::kBadFragment), "fragment out of place"},
    {static_cast<int>(Errc::kBadClose), "malformed close frame"},
    {static_cast<int>(Errc::kNotUpgrade), "not an upgrade to WebSocket"},
    {static_cast<int>(Errc::kBadVersion), "WebSocket version is not 13"},
    {static_cast<int>(Errc::kBadKey), "malformed Sec-WebSocket-Key"},
    {static_cast<int>(Errc::kBadAccept), "Sec-WebSocket-Accept does not answer our key"},
    {static_cast<int>(Errc::kNotOffered), "the server chose a protocol or extension that was not offered"},
    {static_cast<int>(Errc::kWrongPath), "request for another path"},
    {static_cast<int>(Errc::kWrongHost), "request for another host"},
    {static_cast<int>(Errc::kClosedWithError), "the peer closed the WebSocket with an error code"},
    {static_cast<int>(Errc::kClosed), "the peer has closed the WebSocket"},
};
const TableCategory kCategory("websocket", kRows);

}  // namespace

const std::error_category& ws_category() noexcept { return kCategory; }

}  // namespace winze::ws
