// VLESS requests, answers, datagrams, and the fallback's choice, whole and in segments.
#include <cstdint>
#include <cstdlib>

#include "support/codec_pair.h"
#include "winze/base/bytes.h"
#include "winze/proto/fallback.h"
#include "winze/proto/vless/codec.h"
#include "winze/proto/vless/datagram.h"

using namespace winze;

namespace {

// The bytes 01 to 10, so that a fuzzer finds it in its seeds.
Uuid user_id() {
  Uuid id;
  for (std::size_t i = 0; i < id.bytes.size(); ++i) id.bytes[i] = static_cast<std::uint8_t>(i + 1);
  return id;
}

void run_server(std::string_view wire, std::size_t segment) {
  static const auto users = [] {
    auto table = std::make_shared<vless::UserTable>();
    table->add(user_id(), {.name = "a", .level = 0});
    return table;
  }();
  vless::ServerCodec whole(users);
  test::CodecEnd at_once(whole);
  at_once.step(Buffer::copy_of(wire));
  vless::ServerCodec pieces(users);
  test::CodecEnd step_by_step(pieces);
  std::size_t fed = 0;
  test::feed(wire, segment, [&](Buffer in) {
    fed += in.size();
    step_by_step.step(std::move(in));
    return !step_by_step.error;
  });
  if (at_once.error != step_by_step.error || at_once.opened != step_by_step.opened) std::abort();
  if (whole.is_stranger(at_once.error) && at_once.unread != wire) std::abort();
  if (pieces.is_stranger(at_once.error) && step_by_step.unread != wire.substr(0, fed)) std::abort();
  if (!at_once.opened) return;
  if (at_once.received != step_by_step.received) std::abort();
  const Destination& destination = whole.request().destination;
  if (destination != pieces.request().destination) std::abort();
  // What one accepts the other can ask for, in the same words.
  vless::ClientCodec client(user_id(), destination);
  test::CodecEnd asking(client);
  asking.step({});
  if (!asking.opened || asking.write(at_once.received)) std::abort();
  vless::ServerCodec again(users);
  test::CodecEnd answering(again);
  answering.step(Buffer::copy_of(asking.wire));
  if (!answering.opened || again.request().destination != destination) std::abort();
  if (answering.received != at_once.received) std::abort();
}

void run_client(std::string_view wire, std::size_t segment) {
  vless::ClientCodec codec(user_id(), Destination("a", 1));
  test::CodecEnd end(codec);
  end.step({});
  test::feed(wire, segment, [&](Buffer in) {
    end.step(std::move(in));
    return !end.error;
  });
  (void)codec.open_end();
}

void run_fallback(std::string_view first) {
  static const auto table =
      FallbackTable::create({{.name = "", .alpn = "", .path = "", .destination = Destination("127.0.0.1", 1)},
                             {.name = "", .alpn = "", .path = "/a", .destination = Destination("127.0.0.1", 2)},
                             {.name = "b", .alpn = "h2", .path = "", .destination = Destination("127.0.0.1", 3)}});
  if (table->select(as_bytes(first), first, first) == nullptr) std::abort();
  (void)parse_fallback_destination(first);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::size_t segment = data[1] + std::size_t{1};
  const std::string_view wire(reinterpret_cast<const char*>(data) + 2, size - 2);
  switch (data[0] % 4) {
    case 0:
      run_server(wire, segment);
      break;
    case 1:
      run_client(wire, segment);
      break;
    case 2:
      run_fallback(wire);
      break;
    default:
      for (auto rest = as_bytes(wire); vless::decode_datagram(rest);) {
      }
      break;
  }
  return 0;
}
