// VMess: a server's opening, a client's answer, and chunks, whole and in segments. The opening is sealed anew around
// the fuzzer's header, which could not get through the AEAD otherwise.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "proto/vmess/header.h"
#include "support/vmess_peers.h"
#include "winze/base/bytes.h"

using namespace winze;

namespace {

// Runs `codec` over `wire`: what it opened, and its error.
test::CodecEnd run(StreamCodec& codec, std::string_view wire, std::size_t segment) {
  test::CodecEnd end(codec);
  end.step({});
  test::feed(wire, segment, [&](Buffer in) {
    end.step(std::move(in));
    return !end.error;
  });
  return end;
}

void run_server(std::string_view wire, std::size_t segment) {
  test::VmessPeers peers, others;
  const auto whole = peers.make_server();
  const auto pieces = others.make_server();
  const test::CodecEnd at_once = run(*whole, wire, wire.size() + 1), step_by_step = run(*pieces, wire, segment);
  if (at_once.opened != step_by_step.opened || at_once.error != step_by_step.error) std::abort();
  if (at_once.received != step_by_step.received || !at_once.wire.empty()) std::abort();
  if (!at_once.opened) return;
  // What one accepts the other can ask for.
  const Destination& destination = whole->request().destination;
  const auto client = peers.make_client(destination);
  const auto again = peers.make_server();
  test::CodecPair pair(*client, *again, segment);
  if (pair.client.write("")) std::abort();
  pair.pump();
  if (!pair.server.opened || again->request().destination != destination) std::abort();
}

void run_sealed_header(std::string_view header, std::size_t segment) {
  test::VmessPeers peers;
  std::string plain(header.substr(0, vmess::kLargestHeader - 4));
  std::uint32_t checksum = 0x811c9dc5;
  for (const char c : plain) checksum = (checksum ^ static_cast<std::uint8_t>(c)) * 0x01000193;
  std::uint8_t last[4];
  store_u32(last, checksum);
  plain += as_text(last);
  Buffer wire;
  vmess::seal_header(vmess::UserKeys(test::VmessPeers::id()), as_bytes(plain), peers.clock.now, peers.random, wire);
  run_server(wire.text(), segment);
}

void run_client(std::string_view wire, std::size_t segment) {
  test::VmessPeers peers;
  const auto client = peers.make_client(Destination("a", 1));
  (void)run(*client, wire, segment);
  (void)client->open_end();
}

// Bytes that a peer with the keys may send: sealed ones say what was sealed, others are refused or held.
void run_chunks(std::uint8_t kind, std::string_view text, std::size_t segment) {
  const vmess::BodyFormat format{.security = kind % 3 == 0   ? vmess::Security::kNone
                                             : kind % 3 == 1 ? vmess::Security::kAes128Gcm
                                                             : vmess::Security::kChaCha20Poly1305,
                                 .options = static_cast<std::uint8_t>((kind >> 2 & 1) | (kind >> 3 & 7) << 2),
                                 .datagrams = (kind & 0x80) != 0};
  if (!vmess::is_valid(format)) return;
  BufferPool pool;
  SeededRandom random(1);
  const vmess::BodyKeys keys;
  const auto open = [&](std::string_view wire, std::size_t size, std::string& out) {
    vmess::ChunkOpener opener(format, keys, keys, pool);
    std::error_code error;
    test::feed(wire, size, [&](Buffer in) {
      error = opener.open(in);
      out += in.text();
      return !error;
    });
    return error;
  };
  std::string at_once, in_pieces;
  const std::error_code whole = open(text, text.size() + 1, at_once), cut = open(text, segment, in_pieces);
  if (whole != cut || at_once != in_pieces) std::abort();

  vmess::ChunkSealer sealer(format, keys, keys, pool, random);
  Buffer data = Buffer::copy_of(text, sealer.overhead());
  sealer.seal(data, 0);
  std::string opened;
  if (open(data.text(), segment, opened)) std::abort();
  if (!format.datagrams && opened != text) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3) return 0;
  const std::size_t segment = data[1] + std::size_t{1};
  const std::string_view rest(reinterpret_cast<const char*>(data) + 3, size - 3);
  switch (data[0] % 4) {
    case 0:
      run_server(rest, segment);
      break;
    case 1:
      run_client(rest, segment);
      break;
    case 2:
      run_sealed_header(rest, segment);
      break;
    default:
      run_chunks(data[2], rest, segment);
      break;
  }
  return 0;
}
