#include "winze/layer/sing_conduit.h"

#include <utility>

#include "winze/io/framed_conduit.h"
#include "winze/proto/mux/sing.h"

namespace winze::mux::sing {
namespace {

class Framing final : public DatagramFraming {
 public:
  explicit Framing(bool addressed) : addressed_(addressed) {}

  Overhead overhead() const override { return {.front = addressed_ ? kMaxDatagramHeader : 2, .back = 0}; }
  std::size_t largest() const override { return kSafeDatagramSize; }
  bool encode(Datagram& datagram) override {
    if (!addressed_) return encode_datagram(datagram.payload, nullptr);
    return datagram.peer.port != 0 && encode_datagram(datagram.payload, &datagram.peer);
  }
  std::optional<std::span<const std::uint8_t>> decode(std::span<const std::uint8_t>& bytes, Destination& peer,
                                                      std::error_code& error) override {
    for (;;) {
      const auto datagram = decode_datagram(bytes, addressed_ ? &peer : nullptr, error);
      // Port 0 is nobody's.
      if (!datagram || !addressed_ || peer.port != 0) return datagram;
    }
  }

 private:
  bool addressed_;
};

}  // namespace

ConduitPtr stream_conduit(Environment& environment, StreamPtr stream, const Destination& destination) {
  return framed_conduit(environment, std::move(stream), std::make_unique<Framing>(is_everyone(destination)),
                        {.peer = destination});
}

}  // namespace winze::mux::sing
