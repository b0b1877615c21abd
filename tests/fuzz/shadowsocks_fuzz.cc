// Shadowsocks' decoders, both editions, whole and in segments. So that more than the tag is looked at, the input is
// what the other side would have sealed, with bytes of it changed: as raw bytes, and as the inside of a valid request.
// With the high bit of the third byte, where the method has identities, the server has users. And files of salts.
#include <cstdint>
#include <cstdlib>

#include "proto/shadowsocks/chunks.h"
#include "proto/shadowsocks/session_key.h"
#include "support/codec_pair.h"
#include "winze/base/bytes.h"
#include "winze/base/random.h"
#include "winze/proto/shadowsocks/codec.h"
#include "winze/proto/shadowsocks/datagram.h"

using namespace winze;
using namespace winze::shadowsocks;

namespace {

constexpr Method kMethods[] = {Method::kAes128Gcm,           Method::kAes256Gcm,     Method::kChaCha20Poly1305,
                               Method::kXChaCha20Poly1305,   Method::k2022Aes128Gcm, Method::k2022Aes256Gcm,
                               Method::k2022ChaCha20Poly1305};

struct Still final : WallClock {
  UnixTime unix_now() const override { return 1'700'000'000; }
};

struct World {
  SeededRandom random{1};
  Still clock;
  BufferPool pool;
  Surroundings around() { return {random, clock, pool}; }
};

// A method, and whether there are users.
struct Edition {
  Method method;
  bool users;
};

Secret key_of(Method method, std::string_view text) { return Secret(text.substr(0, key_size(method))); }
Secret server_key(Method method) { return key_of(method, "0123456789abcdef0123456789abcdef"); }
Secret user_key(const Edition& e) {
  return e.users ? key_of(e.method, "fedcba9876543210fedcba9876543210") : server_key(e.method);
}

std::shared_ptr<const Keys> client_keys(const Edition& e) {
  auto keys = std::make_shared<Keys>();
  keys->method = e.method;
  keys->user = user_key(e);
  if (e.users) keys->identity.push_back(server_key(e.method));
  return keys;
}

std::shared_ptr<const ServerOptions> server_options(const Edition& e) {
  auto options = std::make_shared<ServerOptions>();
  options->method = e.method;
  options->key = server_key(e.method);
  options->account = {.name = "all"};
  options->datagram_salts = std::make_shared<SaltWindow>(16);
  if (e.users) {
    auto users = std::make_shared<UserTable>();
    users->add(user_key(e), {.name = "ann"});
    options->users = std::move(users);
  }
  return options;
}

// Both ways of delivery must come to the same.
void run_server(const Edition& edition, std::string_view wire, std::size_t segment) {
  World world;
  ServerCodec whole(server_options(edition), world.around()), pieces(server_options(edition), world.around());
  test::CodecEnd at_once(whole), step_by_step(pieces);
  at_once.step({});
  step_by_step.step({});
  if (!wire.empty()) at_once.step(Buffer::copy_of(wire));
  test::feed(wire, segment, [&](Buffer in) {
    step_by_step.step(std::move(in));
    return !step_by_step.error;
  });
  if (at_once.opened != step_by_step.opened || at_once.error != step_by_step.error) std::abort();
  if (at_once.received != step_by_step.received) std::abort();
  if (!at_once.opened && (at_once.error || !at_once.wire.empty() || whole.detail() != pieces.detail())) std::abort();
  if (!at_once.opened) return;
  if (whole.request().destination != pieces.request().destination) std::abort();
  if (whole.request().user != (edition.users ? "ann" : "all")) std::abort();
}

void run_client(const Edition& edition, std::string_view wire, std::size_t segment) {
  World world;
  ClientCodec codec(client_keys(edition), Destination("a.test", 80), world.around());
  test::CodecEnd end(codec);
  end.step({});
  if (end.write("hello")) std::abort();
  test::feed(wire, segment, [&](Buffer in) {
    end.step(std::move(in));
    return !end.error;
  });
  (void)codec.open_end();
}

// What a client that knows the key could send: 2022 the variable header, 2017 the first chunk, and a second chunk.
std::string seal(const Edition& edition, std::string_view first, std::string_view second) {
  const Method method = edition.method;
  World world;
  const std::vector<std::uint8_t> salt(key_size(method), 7);
  ChunkSealer sealer(method, user_key(edition).span(), salt, world.pool);
  Buffer out = Buffer::copy_of(std::span<const std::uint8_t>(salt));
  if (edition.users) {
    const KeyName name = name_of_key(user_key(edition).span());
    identity_cipher(method, server_key(method).span(), salt).encrypt(name.data(), out.append(kIdentitySize));
  }
  const auto put = [&](std::string_view text) {
    Buffer chunk = Buffer::copy_of(text);
    sealer.seal(chunk);
    out.append(std::as_const(chunk).span());
  };
  if (!is_2022(method)) {
    put(first);
  } else {
    first = first.substr(0, 0xffff);
    std::uint8_t* fixed = out.append(11 + kTagSize);
    fixed[0] = 0;
    store_u64(fixed + 1, static_cast<std::uint64_t>(world.clock.unix_now()));
    store_u16(fixed + 9, static_cast<std::uint16_t>(first.size()));
    sealer.seal_unit(fixed, 11);
    Buffer body = Buffer::copy_of(first);
    body.append(kTagSize);
    sealer.seal_unit(body.data(), first.size());
    out.append(std::as_const(body).span());
  }
  put(second);
  return std::string(out.text());
}

void run_datagrams(const Edition& edition, std::string_view wire) {
  World world;
  DatagramClient client(client_keys(edition), world.around());
  DatagramServer server(server_options(edition), world.around());
  Destination peer;
  std::uint64_t session = 0;
  Buffer raw = Buffer::copy_of(wire);
  if (server.open(raw, peer, session) == Drop::kNone) std::abort();  // nobody has that key
  raw = Buffer::copy_of(wire);
  if (client.open(raw, peer) == Drop::kNone) std::abort();
  Buffer sealed = Buffer::copy_of(wire.substr(0, 60000));
  const Destination to("a.test", 53, Network::kUdp);
  if (!client.seal(sealed, to)) std::abort();
  Buffer again = Buffer::copy_of(std::as_const(sealed).span());
  if (server.open(sealed, peer, session) != Drop::kNone || peer != to) std::abort();
  if (server.open(again, peer, session) != Drop::kReplayed) std::abort();
  if (server.account(session).name != (edition.users ? "ann" : "all")) std::abort();
  if (sealed.text() != wire.substr(0, 60000)) std::abort();
  if (!server.seal(sealed, peer, session) || client.open(sealed, peer) != Drop::kNone) std::abort();
  if (sealed.text() != wire.substr(0, 60000)) std::abort();
}

// A file of salts, as it is and behind the mark of one: what has been read is written, and read again.
void run_salts(std::string_view bytes) {
  const std::vector<std::uint8_t> empty = SaltPool().dump();
  const std::string mark(as_text(empty).substr(0, empty.size() - 2 * (8 + 4)));
  for (const SaltLimits& limits : {SaltLimits(), kTimedSalts}) {
    for (const std::string& file : {std::string(bytes), mark + std::string(bytes)}) {
      SaltPool pool(limits), again(limits);
      const bool whole = pool.load(as_bytes(file), 1'700'000'000);
      if (16 * pool.size() > file.size() || (whole && !file.starts_with(mark))) std::abort();
      if (!again.load(pool.dump(), 1'700'000'000) || again.size() != pool.size()) std::abort();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3) return 0;
  const Method method = kMethods[data[0] % std::size(kMethods)];
  const Edition edition{method, (data[2] & 0x80) != 0 && has_identities(method)};
  const std::size_t segment = data[1] + std::size_t{1};
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 3, size - 3);
  const std::size_t cut = bytes.size() / 2;
  switch ((data[2] & 0x7f) % 5) {
    case 0:
      run_server(edition, bytes, segment);
      break;
    case 1:
      run_server(edition, seal(edition, bytes.substr(0, cut), bytes.substr(cut)), segment);
      break;
    case 2:
      run_client(edition, bytes, segment);
      break;
    case 3:
      run_datagrams(edition, bytes);
      break;
    default:
      run_salts(bytes);
      break;
  }
  return 0;
}
