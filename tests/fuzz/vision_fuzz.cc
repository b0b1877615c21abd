// VLESS's flow xtls-rprx-vision. The first byte chooses: blocks from the wire, which open to the same however they were
// cut; or a conversation, a list of writes (a byte for who writes what, a byte for the length) that has to arrive as it
// was written, whatever of it went around the layer below. The second byte is the size of the segments, less one.
#include <cstdint>
#include <string>
#include <string_view>

#include "proto/vless/vision.h"
#include "support/inner_tls.h"
#include "support/require.h"
#include "support/segments.h"
#include "winze/base/bytes.h"
#include "winze/base/error.h"

namespace winze {
namespace {

using test::require;

Uuid user_id() { return *Uuid::parse("b831381d-6324-4d53-ad4f-8cda48b30811"); }

struct End {
  explicit End(std::uint64_t seed) : random(seed), vision(user_id(), random) {}

  bool read(std::string_view wire, std::size_t segment) {
    test::feed(wire, segment, [&](Buffer in) {
      const std::size_t size = in.size() + 16;  // of which the id may have been kept
      error = vision.open(in);
      require(in.size() <= size);
      received += in.text();
      return !error;
    });
    return !error;
  }

  SeededRandom random;
  vless::Vision vision;
  std::error_code error;
  std::string received;
  std::string written;
};

void run_blocks(std::string_view wire, std::size_t segment) {
  std::string bytes(wire);
  // '%' stands for the id.
  if (bytes.starts_with('%')) bytes.replace(0, 1, as_text(user_id().bytes));
  End whole(1), pieces(1);
  whole.read(bytes, 1 << 20);
  pieces.read(bytes, segment);
  require(whole.error == pieces.error && whole.received == pieces.received);
  require(whole.vision.opens_verbatim() == pieces.vision.opens_verbatim());
  require(whole.vision.opening_left_below() == pieces.vision.opening_left_below());
  require(whole.error || whole.vision.open_end() == pieces.vision.open_end());
}

std::string piece(std::uint8_t kind, std::size_t size) {
  switch (kind % 7) {
    case 0:
      return test::client_hello();
    case 1:
      return test::server_hello();
    case 2:
      return test::server_hello(false);
    case 3:
      return test::application_data(size);
    case 4:
      return test::application_data(size) + test::application_data(size).substr(0, size / 2);
    case 5:
      return std::string(size * 64, 'x');
    default:
      return "";
  }
}

void run_conversation(std::string_view moves, std::size_t segment) {
  End ends[2] = {End(1), End(2)};
  for (Reader reader(as_bytes(moves)); reader.remaining() >= 2;) {
    const std::uint8_t what = reader.u8();
    const std::size_t size = reader.u8();
    End& from = ends[what & 1];
    End& to = ends[1 - (what & 1)];
    const std::string text = piece(static_cast<std::uint8_t>(what >> 1), size);
    Buffer data = Buffer::copy_of(text);
    from.vision.seal(data);
    from.written += text;
    require(to.read(data.text(), segment));
    require(from.written.starts_with(to.received));
    require(from.vision.sealing_left_below() == to.vision.opening_left_below() || to.received.empty());
    if (!from.vision.sealing_left_below()) require(to.received == from.written);
  }
  for (int i = 0; i < 2; ++i) {
    Buffer rest;
    ends[i].vision.seal_end(rest);
    require(ends[1 - i].read(rest.text(), segment));
    require(ends[1 - i].received == ends[i].written);
    require(ends[1 - i].vision.open_end() == Errc::kEof);
  }
}

}  // namespace
}  // namespace winze

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2 || size > 4096) return 0;
  const std::size_t segment = data[1] + std::size_t{1};
  const std::string_view rest(reinterpret_cast<const char*>(data) + 2, size - 2);
  data[0] % 2 == 0 ? winze::run_blocks(rest, segment) : winze::run_conversation(rest, segment);
  return 0;
}
