// Trojan's server and its datagrams: what they make of bytes does not depend on how these were cut, strangers keep all
// of theirs, and what was understood is encoded again as it came. The first byte chooses the subject, the second is the
// size of the segments, less one. A '%' at the beginning of a server's bytes stands for a user's key.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "support/codec_pair.h"
#include "support/require.h"
#include "support/segments.h"
#include "winze/base/bytes.h"
#include "winze/proto/trojan/codec.h"
#include "winze/proto/trojan/datagram.h"

namespace winze {
namespace {

using test::require;

void run_server(std::string_view wire, std::size_t segment) {
  static const auto users = [] {
    auto table = std::make_shared<trojan::UserTable>();
    table->add("a", {.name = "a"});
    return table;
  }();
  std::string bytes(wire);
  if (bytes.starts_with('%')) {
    const trojan::Key key = trojan::key_of("a");
    bytes.replace(0, 1, std::string(key.begin(), key.end()));
  }
  trojan::ServerCodec whole(users);
  test::CodecEnd at_once(whole);
  at_once.step(Buffer::copy_of(bytes));
  trojan::ServerCodec pieces(users);
  test::CodecEnd step_by_step(pieces);
  std::size_t fed = 0;
  test::feed(bytes, segment, [&](Buffer in) {
    fed += in.size();
    step_by_step.step(std::move(in));
    return !step_by_step.error;
  });
  require(at_once.error == step_by_step.error && at_once.opened == step_by_step.opened);
  if (at_once.error) {
    const bool stranger = whole.is_stranger(at_once.error);
    require(at_once.unread == (stranger ? bytes : ""));
    require(step_by_step.unread == (stranger ? bytes.substr(0, fed) : ""));
    return;
  }
  if (!at_once.opened) {
    const auto taken = pieces.take_received();
    require(!taken || taken->text() == bytes);
    return;
  }
  require(at_once.received == step_by_step.received);
  const Destination& destination = whole.request().destination;
  require(destination == pieces.request().destination && whole.request().user == "a");
  trojan::ClientCodec client(trojan::key_of("a"), destination);
  test::CodecEnd again(client);
  again.step({});
  require(again.opened && !again.write(at_once.received));
  // An address may have been sent as a name; a request for datagrams names somebody.
  require(again.wire.size() <= bytes.size() || destination.port == 0 || destination.is_name() == false);
}

using Datagrams = std::vector<std::pair<std::string, Destination>>;

std::pair<Datagrams, std::error_code> decode(std::string_view wire, std::size_t segment) {
  Datagrams out;
  std::error_code error;
  std::string kept;
  test::feed(wire, segment, [&](Buffer in) {
    kept += in.text();
    auto rest = as_bytes(kept);
    Destination peer;
    while (const auto datagram = trojan::decode_datagram(rest, peer, error)) out.emplace_back(as_text(*datagram), peer);
    kept = std::string(as_text(rest));
    require(kept.size() < trojan::kMaxDatagramHeader + trojan::kMaxDatagramSize);
    return !error;
  });
  return {out, error};
}

void run_datagrams(std::string_view wire, std::size_t segment) {
  const auto [datagrams, error] = decode(wire, 65536);
  require(decode(wire, segment) == std::pair(datagrams, error));
  std::string again;
  for (const auto& [payload, peer] : datagrams) {
    Buffer frame = Buffer::copy_of(payload);
    require(trojan::encode_datagram(frame, peer));
    again += frame.text();
  }
  require(decode(again, 65536) == std::pair(datagrams, std::error_code()));
}

}  // namespace
}  // namespace winze

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::size_t segment = data[1] + std::size_t{1};
  const std::string_view wire(reinterpret_cast<const char*>(data) + 2, size - 2);
  data[0] % 2 == 0 ? winze::run_server(wire, segment) : winze::run_datagrams(wire, segment);
  return 0;
}
