// Frames from a peer, to a server (even first byte) or a client, whole and in segments: both must yield the same.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "support/segments.h"
#include "winze/base/error.h"
#include "winze/proto/ws/frame.h"

using namespace winze;

namespace {

struct Outcome {
  std::string payload;
  std::error_code error;
  std::error_code end;
  std::uint16_t close_code;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

Outcome run(bool server, ws::Ending ending, std::string_view wire, std::size_t segment) {
  SeededRandom random(1);
  ws::Framing framing(server ? nullptr : &random, ending);
  Outcome outcome{};
  Buffer reply;
  test::feed(wire, segment, [&](Buffer data) {
    outcome.error = framing.open(data, reply);
    outcome.payload += data.text();
    return !outcome.error;
  });
  // One pong and one close frame, each with its header and at most 125 bytes.
  if (reply.size() > 2 * (125 + 6)) std::abort();
  outcome.end = framing.open_end();
  outcome.close_code = framing.close_code();
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const bool server = (data[0] & 1) == 0;
  const ws::Ending ending = (data[0] & 2) == 0 ? ws::Ending::kBoth : ws::Ending::kHalf;
  const std::size_t segment = data[1] + std::size_t{1};
  const std::string_view wire(reinterpret_cast<const char*>(data) + 2, size - 2);
  const Outcome whole = run(server, ending, wire, wire.size() + 1);
  if (run(server, ending, wire, segment) != whole) std::abort();
  // What was opened and is sealed again comes through.
  SeededRandom random(1);
  ws::Framing from(server ? &random : nullptr, ending);
  ws::Framing to(server ? nullptr : &random, ending);
  Buffer again = Buffer::copy_of(whole.payload);
  Buffer reply;
  if (from.seal(again) || to.open(again, reply) || again.text() != whole.payload) std::abort();
  return 0;
}
