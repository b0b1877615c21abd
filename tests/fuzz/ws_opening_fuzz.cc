// The openings of WebSocket and HTTPUpgrade: requests to servers, responses to clients, and what follows them.
#include <cstdint>
#include <cstdlib>

#include "proto/ws/accept.h"
#include "support/codec_pair.h"
#include "winze/proto/httpupgrade/codec.h"
#include "winze/proto/ws/codec.h"

using namespace winze;

namespace {

// '@' in `wire` stands for the accept key that the client expects.
void drive(StreamCodec& codec, std::string wire, std::size_t segment, bool write_first) {
  test::CodecEnd end(codec);
  end.step({});
  if (write_first && !end.error) (void)end.write("early data, and what follows it");
  constexpr std::string_view kKey = "Sec-WebSocket-Key: ";
  const std::size_t key = end.wire.find(kKey);
  const std::size_t mark = wire.find('@');
  if (key != std::string::npos && mark != std::string::npos) {
    wire.replace(mark, 1, ws::accept_for(end.wire.substr(key + kKey.size(), 24)));
  }
  test::feed(wire, segment, [&](Buffer in) {
    end.step(std::move(in));
    return !end.error;
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto ws_server = std::make_shared<const ws::ServerOptions>(ws::ServerOptions{.path = "/r"});
  static const auto ws_path_server =
      std::make_shared<const ws::ServerOptions>(ws::ServerOptions{.path = "/r", .host = "a", .early_data_field = ""});
  static const auto ws_client = std::make_shared<const ws::ClientOptions>(ws::ClientOptions{.host = "a"});
  static const auto ws_early_client =
      std::make_shared<const ws::ClientOptions>(ws::ClientOptions{.host = "a", .early_data = {.max = 5}});
  static const auto up_server = std::make_shared<const httpupgrade::ServerOptions>(
      httpupgrade::ServerOptions{.path = "/r", .host = "", .early_data_field = "E"});
  static const auto up_client = std::make_shared<const httpupgrade::ClientOptions>(
      httpupgrade::ClientOptions{.host = "a", .path = "/", .fields = {}});
  if (size < 2) return 0;
  const std::size_t segment = data[1] + std::size_t{1};
  const std::string wire(reinterpret_cast<const char*>(data) + 2, size - 2);
  SeededRandom random(1);
  switch (data[0] % 6) {
    case 0: {
      ws::ServerCodec codec(ws_server);
      drive(codec, wire, segment, false);
      break;
    }
    case 1: {
      ws::ServerCodec codec(ws_path_server);
      drive(codec, wire, segment, false);
      break;
    }
    case 2: {
      ws::ClientCodec codec(ws_client, random);
      drive(codec, wire, segment, false);
      break;
    }
    case 3: {
      ws::ClientCodec codec(ws_early_client, random);
      drive(codec, wire, segment, true);
      break;
    }
    case 4: {
      httpupgrade::ServerCodec codec(up_server);
      drive(codec, wire, segment, false);
      break;
    }
    default: {
      httpupgrade::ClientCodec codec(up_client);
      drive(codec, wire, segment, false);
      break;
    }
  }
  return 0;
}
