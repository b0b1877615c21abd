#include "winze/layer/trojan_conduit.h"

#include <utility>

#include "winze/io/framed_conduit.h"
#include "winze/proto/trojan/datagram.h"

namespace winze::trojan {
namespace {

class Framing final : public DatagramFraming {
 public:
  explicit Framing(const Destination& destination) : destination_(destination) {}

  Overhead overhead() const override { return {.front = kMaxDatagramHeader, .back = 0}; }
  std::size_t largest() const override { return kSafeDatagramSize; }
  bool encode(Datagram& datagram) override {
    const Destination& to = is_everyone(destination_) ? datagram.peer : destination_;
    return to.port != 0 && encode_datagram(datagram.payload, to);
  }
  std::optional<std::span<const std::uint8_t>> decode(std::span<const std::uint8_t>& bytes, Destination& peer,
                                                      std::error_code& error) override {
    for (;;) {
      const auto datagram = decode_datagram(bytes, peer, error);
      if (!datagram || is_wanted(peer)) return datagram;
    }
  }

 private:
  // Port 0 is nobody's. Of a name the server may say which address it stands for.
  bool is_wanted(const Destination& peer) const {
    if (is_everyone(destination_)) return peer.port != 0;
    const bool comparable = peer.is_name() == destination_.is_name();
    return peer.port == destination_.port && (!comparable || peer.host == destination_.host);
  }

  Destination destination_;
};

}  // namespace

ConduitPtr stream_conduit(Environment& environment, StreamPtr stream, const Destination& destination) {
  return framed_conduit(environment, std::move(stream), std::make_unique<Framing>(destination));
}

}  // namespace winze::trojan
