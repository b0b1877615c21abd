// Conduits that decode what comes: the datagrams in a VLESS stream do not depend on how it was cut, and of a SOCKS5
// association nobody but its client is heard; the address in front of a datagram (packetaddr) is what is written again.
// The first byte chooses the subject; of a stream the second is the size of the segments, less one; of an association
// each datagram is a byte for the source, one for the length, and its bytes.
#include <asio/io_context.hpp>
#include <cstdint>
#include <string>

#include "support/fake_dialer.h"
#include "support/require.h"
#include "winze/base/bytes.h"
#include "winze/io/memory.h"
#include "winze/io/system.h"
#include "winze/layer/socks_association.h"
#include "winze/layer/vless_conduit.h"
#include "winze/proto/packet_address.h"

namespace winze {
namespace {

using test::require;

struct Loop {
  void run() {
    context.restart();
    context.poll();
  }
  asio::io_context context{1};
  SystemEnvironment system{context.get_executor()};
  Environment& environment = system.environment();
};

std::pair<std::vector<std::string>, std::error_code> stream(std::string_view wire, std::size_t segment) {
  Loop loop;
  auto [near, far] = memory_pair(loop.environment, {.segment = segment});
  const ConduitPtr conduit = vless::stream_conduit(loop.environment, std::move(near));
  const test::Receiver here(*conduit);
  far->write(Buffer::copy_of(wire), [](std::error_code) {});
  far->shutdown_write([](std::error_code) {});
  loop.run();
  require(here.error() == Errc::kEof || here.error() == Errc::kTruncated);
  std::size_t size = 0;
  for (const std::string& text : here.texts()) size += 2 + text.size();
  require(size <= wire.size());
  return {here.texts(), here.error()};
}

void association(std::string_view wire) {
  Loop loop;
  auto [control, client] = memory_pair(loop.environment);
  auto [near, far] = test::conduit_pair(loop.environment);
  const ConduitPtr conduit =
      socks::server_association(std::move(control), std::move(near), IpAddress::v4(std::array<std::uint8_t, 4>{}));
  const test::Receiver here(*conduit), there(*far);
  Reader reader(as_bytes(wire));
  while (reader.remaining() >= 2) {
    const std::uint8_t from = reader.u8();
    const auto bytes = reader.bytes(std::min<std::size_t>(reader.u8(), reader.remaining() - 1));
    // The client is 0.0.0.0, with two ports.
    const IpAddress address = IpAddress::v4(std::array<std::uint8_t, 4>{0, 0, 0, static_cast<std::uint8_t>(from >> 1)});
    test::send(*far, as_text(bytes), Destination(address, static_cast<std::uint16_t>(from & 1), Network::kUdp));
    loop.run();
  }
  const std::size_t heard = here.texts().size();
  for (std::size_t i = 0; i < heard; ++i) {
    require(here.peers()[i].port != 0 && !here.texts()[i].empty());
    require(test::send(*conduit, here.texts()[i], here.peers()[i]));
    loop.run();
    require(there.peers()[i] == there.peers()[0]);
  }
  require(there.texts().size() == heard && (heard > 0 || !test::send(*conduit, "x")));
}

void packet_address(std::string_view wire) {
  Buffer datagram = Buffer::copy_of(wire);
  Destination peer;
  if (decode_packet_address(datagram, peer)) {
    require(!peer.is_name() && peer.network == Network::kUdp && datagram.size() < wire.size());
    require(encode_packet_address(peer, datagram));
  }
  require(datagram.text() == wire);
}

}  // namespace
}  // namespace winze

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace winze;
  if (size < 2 || size > 4096) return 0;
  const std::string_view wire = as_text({data + 2, size - 2});
  switch (data[0] % 3) {
    case 0:
      test::require(stream(wire, 65536) == stream(wire, data[1] + std::size_t{1}));
      break;
    case 1:
      association(wire);
      break;
    default:
      packet_address(wire);
      break;
  }
  return 0;
}
