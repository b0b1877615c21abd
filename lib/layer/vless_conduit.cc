#include "winze/layer/vless_conduit.h"

#include "winze/io/framed_conduit.h"
#include "winze/proto/vless/datagram.h"

namespace winze::vless {
namespace {

class Framing final : public DatagramFraming {
 public:
  Overhead overhead() const override { return {.front = 2, .back = 0}; }
  std::size_t largest() const override { return kSafeDatagramSize; }
  bool encode(Datagram& datagram) override { return encode_datagram(datagram.payload); }
  std::optional<std::span<const std::uint8_t>> decode(std::span<const std::uint8_t>& bytes, Destination&,
                                                      std::error_code&) override {
    return decode_datagram(bytes);
  }
};

}  // namespace

ConduitPtr stream_conduit(Environment& environment, StreamPtr stream) {
  return framed_conduit(environment, std::move(stream), std::make_unique<Framing>());
}

}  // namespace winze::vless
