#include "proto/vmess/header.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "proto/vmess/kdf.h"
#include "support/vectors.h"
#include "support/vmess_peers.h"
#include "winze/base/bytes.h"

namespace winze::vmess {
namespace {

using test::Bytes;
using test::hex;

const test::Vector& vector() {
  static const test::Vector v = test::load_vectors("vmess/aead.txt").front();
  return v;
}

template <std::size_t N>
std::array<std::uint8_t, N> array_of(const Bytes& bytes) {
  std::array<std::uint8_t, N> out;
  REQUIRE(bytes.size() == N);
  std::ranges::copy(bytes, out.begin());
  return out;
}

BodyKeys body_keys(const std::string& key, const std::string& iv) {
  return {.key = array_of<16>(vector().bytes(key)), .iv = array_of<16>(vector().bytes(iv))};
}

TEST_CASE("vmess: key derivation") {
  const test::Vector& v = vector();
  const Bytes secret = v.bytes("command_key"), auth_id = v.bytes("auth_id"), nonce = v.bytes("nonce");
  const Kdf kdf;
  CHECK(hex(UserKeys(test::VmessPeers::id()).command.span()) == v.text("command_key"));
  CHECK(hex(kdf.derive(secret, {})) == v.text("kdf_no_path"));
  CHECK(hex(kdf.derive_key(secret, {as_bytes("AES Auth ID Encryption")})) == v.text("auth_key"));
  CHECK(hex(kdf.derive_key(secret, {as_bytes("VMess Header AEAD Key_Length"), auth_id, nonce})) ==
        v.text("length_key"));
  CHECK(hex(kdf.derive_nonce(secret, {as_bytes("VMess Header AEAD Nonce_Length"), auth_id, nonce})) ==
        v.text("length_nonce"));
  CHECK(hex(kdf.derive_key(secret, {as_bytes("VMess Header AEAD Key"), auth_id, nonce})) == v.text("header_key"));
  CHECK(hex(kdf.derive_nonce(secret, {as_bytes("VMess Header AEAD Nonce"), auth_id, nonce})) == v.text("header_nonce"));
  CHECK(hex(kdf.derive_key(v.bytes("body_key"), {as_bytes("auth_len")})) == v.text("auth_len_key"));
  const BodyKeys response = response_keys(body_keys("body_key", "body_iv"));
  CHECK(hex(response.key) == v.text("response_key"));
  CHECK(hex(response.iv) == v.text("response_iv"));
}

Request vector_request() {
  return {.keys = body_keys("body_key", "body_iv"),
          .answer = 0x2a,
          .options = kChunkStream | kChunkMasking | kGlobalPadding,
          .security = Security::kAes128Gcm,
          .command = Command::kTcp,
          .destination = Destination("example.com", 80)};
}

TEST_CASE("vmess: a request, sealed and opened") {
  test::ScriptedRandom random;
  // No padding; the random part of the authentication id; the nonce.
  random.script = std::string(8, '\0') + test::from_hex("01020304 0001020304050607");
  const UserKeys user(test::VmessPeers::id());
  Buffer wire;
  REQUIRE(seal_request(user, vector_request(), 1'700'000'000, random, wire));
  CHECK(hex(wire.span()) == vector().text("request"));

  const RequestOpener opener(user.command, std::as_const(wire).span().first<kAuthIdSize>());
  REQUIRE(opener.size(wire.span()) == wire.size());
  Request opened;
  CHECK_FALSE(opener.open(wire.span(), opened));
  CHECK(opened.destination == Destination("example.com", 80));
  CHECK(opened.security == Security::kAes128Gcm);
  CHECK(opened.options == 0x0d);
  CHECK(opened.answer == 0x2a);
  CHECK(opened.keys.key == vector_request().keys.key);
  CHECK(opened.keys.iv == vector_request().keys.iv);
}

TEST_CASE("vmess: each bit of a request is authentic") {
  test::ScriptedRandom random;
  const UserKeys user(test::VmessPeers::id());
  Buffer wire;
  REQUIRE(seal_request(user, vector_request(), 1'700'000'000, random, wire));
  for (std::size_t at = kAuthIdSize; at < wire.size(); ++at) {
    CAPTURE(at);
    Buffer bent = Buffer::copy_of(wire.text());
    bent.data()[at] ^= 0x10;
    const RequestOpener opener(user.command, std::as_const(bent).span().first<kAuthIdSize>());
    Request opened;
    CHECK((opener.size(bent.span()) == 0 || opener.open(bent.span(), opened) == Errc::kBadHeader));
  }
}

TEST_CASE("vmess: an answer, sealed and opened") {
  const BodyKeys keys = body_keys("response_key", "response_iv");
  Buffer wire;
  seal_answer(keys, 0x2a, wire);
  CHECK(hex(wire.span()) == vector().text("response"));
  CHECK(wire.size() == kAnswerSize);
  std::error_code error;
  for (std::size_t n = 0; n < wire.size(); ++n) {
    CHECK(open_answer(keys, 0x2a, std::as_const(wire).span().first(n), error) == 0);
    CHECK_FALSE(error);
  }
  CHECK(open_answer(keys, 0x2a, wire.span(), error) == kAnswerSize);
  CHECK_FALSE(error);
  CHECK(open_answer(keys, 0x2b, wire.span(), error) == 0);
  CHECK(error == Errc::kBadAnswer);
  for (std::size_t at = 0; at < wire.size(); ++at) {
    Buffer bent = Buffer::copy_of(wire.text());
    bent.data()[at] ^= 1;
    error = {};
    CHECK(open_answer(keys, 0x2a, bent.span(), error) == 0);
    CHECK(error == Errc::kBadAnswer);
  }
}

TEST_CASE("vmess: body chunks") {
  test::ScriptedRandom random;
  BufferPool pool;
  const BodyKeys keys = body_keys("body_key", "body_iv");
  const BodyFormat format{.security = Security::kAes128Gcm, .options = 0x0d};
  ChunkSealer sealer(format, keys, keys, pool, random);
  Buffer data = Buffer::copy_of("hello", sealer.overhead());
  sealer.seal(data, 0);
  const std::string chunk = vector().text("chunk"), end = vector().text("end");
  CHECK(hex(std::as_const(data).span().first(chunk.size() / 2)) == chunk);
  CHECK(data.size() == chunk.size() / 2 + 8);
  Buffer mark;
  sealer.seal_end(mark);
  CHECK(hex(std::as_const(mark).span().first(end.size() / 2)) == end);
  CHECK(mark.size() == end.size() / 2 + 5);

  // The same with an authenticated length: its value is what a plain one would be, less the tag.
  const BodyFormat authenticated{.security = Security::kAes128Gcm, .options = 0x1d};
  ChunkSealer other(authenticated, keys, keys, pool, random);
  Buffer again = Buffer::copy_of("hello", other.overhead());
  other.seal(again, 0);
  CHECK(hex(std::as_const(again).span().first(18)) == vector().text("auth_len_size"));
}

}  // namespace
}  // namespace winze::vmess
