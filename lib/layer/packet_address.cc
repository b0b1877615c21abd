#include "winze/layer/packet_address.h"

#include <memory>
#include <utility>

#include "winze/io/conduit_layer.h"
#include "winze/proto/packet_address.h"

namespace winze {
namespace {

class Addresses final : public DatagramLayer {
 public:
  Overhead overhead() const override { return {.front = kMaxPacketAddressSize, .back = 0}; }
  Verdict outgoing(Datagram& datagram) override {
    return encode_packet_address(datagram.peer, datagram.payload) ? Verdict::kPass : Verdict::kDrop;
  }
  bool incoming(Datagram& datagram) override { return decode_packet_address(datagram.payload, datagram.peer); }
};

}  // namespace

ConduitPtr packet_address_conduit(ConduitPtr stream) {
  return layered_conduit(std::move(stream), std::make_shared<Addresses>());
}

}  // namespace winze
