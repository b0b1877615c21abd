#include "winze/proto/mux/error.h"

#include "winze/base/error.h"

namespace winze::mux {
namespace {

constexpr TableCategory::Row kRows[] = {
    {static_cast<int>(Errc::kBadFrame), "malformed frame"},
    {static_cast<int>(Errc::kBadAddress), "malformed destination in a frame"},
    {static_cast<int>(Errc::kBadPreface), "the connection does not begin as a carrier of ours does"},
    {static_cast<int>(Errc::kUnpadded), "the carrier is not padded"},
    {static_cast<int>(Errc::kWindowExceeded), "the peer has sent more than the window lets through"},
    {static_cast<int>(Errc::kFlood), "the peer asks for more answers than it reads"},
    {static_cast<int>(Errc::kReset), "the peer has broken the stream off"},
    {static_cast<int>(Errc::kCarrierEnded), "the connection that carried the stream has ended"},
    {static_cast<int>(Errc::kRefused), "the server refused the stream"},
    {static_cast<int>(Errc::kDatagramsOnly), "streams of a user with a flow are not multiplexed"},
    {static_cast<int>(Errc::kNestedMux), "multiplexing within a multiplexed connection"},
    {static_cast<int>(Errc::kBadName), "the destination's host name cannot be sent"},
};
const TableCategory kCategory("mux", kRows);

}  // namespace

const std::error_category& mux_category() noexcept { return kCategory; }

}  // namespace winze::mux
