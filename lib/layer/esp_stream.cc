#include "winze/layer/esp_stream.h"

#include "winze/io/framed_conduit.h"
#include "winze/proto/esp/tcp_encap.h"
#include "winze/proto/esp/udp_encap.h"

namespace winze::esp {
namespace {

class Framing final : public DatagramFraming {
 public:
  explicit Framing(StreamRole role) : role_(role), decoder_(role == StreamRole::kResponder) {}

  std::string_view preamble() const override { return role_ == StreamRole::kOriginator ? kStreamPrefix : ""; }
  Overhead overhead() const override { return {.front = kFrameHeaderSize, .back = 0}; }
  std::size_t largest() const override { return kLargestFramed; }
  bool encode(Datagram& datagram) override { return encode_frame(datagram.payload); }
  // New keys, and signs of life, of a tunnel that is full.
  bool is_urgent(const Buffer& payload) const override { return classify(payload.span()) == Encapsulated::kIke; }
  std::optional<std::span<const std::uint8_t>> decode(std::span<const std::uint8_t>& bytes, Destination&,
                                                      std::error_code& error) override {
    return decoder_.next(bytes, error);
  }

 private:
  StreamRole role_;
  FrameDecoder decoder_;
};

}  // namespace

ConduitPtr conduit_over(Environment& environment, StreamPtr stream, StreamRole role, const EspStreamOptions& options) {
  const FramedConduitOptions framed{.backlog = options.backlog, .peer = Destination(stream->remote(), Network::kUdp)};
  return framed_conduit(environment, std::move(stream), std::make_unique<Framing>(role), framed);
}

}  // namespace winze::esp
