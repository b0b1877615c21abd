// PROXY protocol headers: what is decoded is the same in segments, and is encoded back to the same meaning.
#include <cstdint>
#include <cstdlib>

#include "support/codec_pair.h"
#include "winze/base/bytes.h"
#include "winze/proto/proxy_protocol/header.h"

using namespace winze;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const std::string_view wire(reinterpret_cast<const char*>(data) + 1, size - 1);
  proxy_protocol::Decoded decoded;
  const std::error_code error = proxy_protocol::decode(as_bytes(wire), decoded);
  if (!error && decoded.size > wire.size()) std::abort();
  if (!error && decoded.size == 0 && wire.size() >= proxy_protocol::kMaxHeaderSize) std::abort();

  proxy_protocol::ServerCodec codec;
  test::CodecEnd end(codec);
  std::size_t fed = 0;
  test::feed(wire, data[0] + std::size_t{1}, [&](Buffer in) {
    fed += in.size();
    end.step(std::move(in));
    return !end.error;
  });
  if (end.error != error || end.opened != (decoded.size != 0 && !error)) std::abort();
  if (error && end.unread != wire.substr(0, fed)) std::abort();
  if (!end.opened) return 0;
  if (end.received != wire.substr(decoded.size) || codec.addresses() != decoded.addresses) std::abort();

  for (int version : {1, 2}) {
    Buffer again;
    proxy_protocol::encode(version, decoded.addresses, again);
    proxy_protocol::Decoded back;
    if (proxy_protocol::decode(again.span(), back) || back.size != again.size()) std::abort();
    if (back.addresses != decoded.addresses) std::abort();
  }
  return 0;
}
