// What a server shows to those who do not know its password, or send again what others have sent: nothing, whatever
// they guess.
#include <doctest/doctest.h>

#include <functional>

#include "proto/shadowsocks/chunks.h"
#include "support/codec_pair.h"
#include "support/shadowsocks.h"
#include "winze/base/error.h"

namespace winze::shadowsocks {
namespace {

using namespace test;
using winze::test::CodecEnd;

struct Probe {
  std::string name;
  std::string bytes;
  std::error_code why;  // none: the server waits for more
};

struct Target {
  explicit Target(Method with) : method(with), options(server_of(method, password_for(method))) {}

  // A request of a user's.
  std::string request(std::string_view password) {
    ClientCodec client(keys_of(method, password), Destination("a.test", 80), world.around());
    CodecEnd end(client);
    end.step({});
    CHECK_FALSE(end.write("hello"));
    return end.wire;
  }

  Method method;
  World world;
  std::shared_ptr<ServerOptions> options;
};

// A request of 2022 with the given variable header.
std::string seal_request(Method method, const Secret& key, UnixTime now, std::string_view variable) {
  BufferPool pool;
  const std::vector<std::uint8_t> salt(key_size(method), 9);
  ChunkSealer sealer(method, key.span(), salt, pool);
  Buffer out = Buffer::copy_of(std::span<const std::uint8_t>(salt));
  std::uint8_t* fixed = out.append(11 + kTagSize);
  fixed[0] = 0;
  store_u64(fixed + 1, static_cast<std::uint64_t>(now));
  store_u16(fixed + 9, static_cast<std::uint16_t>(variable.size()));
  sealer.seal_unit(fixed, 11);
  Buffer body = Buffer::copy_of(variable, {0, kTagSize});
  body.append(kTagSize);
  sealer.seal_unit(body.data(), variable.size());
  out.append(std::as_const(body).span());
  return std::string(out.text());
}

// Delivers `bytes` in segments: the server must take all, say nothing, and neither open nor fail.
void expect_silence(Target& target, const Probe& probe, std::size_t segment) {
  ServerCodec server(target.options, target.world.around());
  CodecEnd end(server);
  end.step({});
  winze::test::feed(probe.bytes, segment, [&](Buffer in) {
    end.step(std::move(in));
    return true;
  });
  CHECK_FALSE(end.opened);
  CHECK_FALSE(end.error);
  CHECK(end.wire.empty());
  CHECK(end.unread.empty());
  CHECK(server.detail() == (probe.why ? probe.why.message() : ""));
}

TEST_CASE("shadowsocks server: every guess meets the same silence") {
  for (const Method method : kMethods) {
    CAPTURE(name_of(method));
    Target target(method);
    const std::string good = target.request(password_for(method));
    std::string random(2000, '\0');
    SeededRandom(7).fill({reinterpret_cast<std::uint8_t*>(random.data()), random.size()});
    const auto flipped = [&](std::size_t at) {
      std::string out = good + random;
      out[at] ^= 1;
      return out;
    };
    const std::size_t salt = key_size(method);
    std::vector<Probe> probes = {
        {"nothing", "", {}},
        {"random bytes", random, Errc::kBadChunk},
        {"a header cut short", good.substr(0, salt + 17), {}},
        {"the salt changed", flipped(0), Errc::kBadChunk},
        {"the header changed", flipped(salt + 3), Errc::kBadChunk},
        {"another password", target.request(password_for(method, 9)) + random, Errc::kBadChunk},
    };
    for (const Probe& probe : probes) {
      for (const std::size_t segment : winze::test::kSegmentSizes) {
        CAPTURE(probe.name);
        CAPTURE(segment);
        expect_silence(target, probe, segment);
      }
    }
    // The real one is taken, once.
    ServerCodec first(target.options, target.world.around());
    CodecEnd end(first);
    end.step({});
    end.step(Buffer::copy_of(good));
    CHECK(end.opened);
    for (const std::size_t segment : winze::test::kSegmentSizes) {
      expect_silence(target, {"sent again", good, Errc::kReplayed}, segment);
    }
    if (!is_2022(method)) continue;
    const std::string old = target.request(password_for(method));
    target.world.clock.now += 31;
    expect_silence(target, {"an old one", old, Errc::kBadTime}, 7);
    target.world.clock.now -= 62;
    expect_silence(target, {"one of the future", old, Errc::kBadTime}, 7);
  }
}

TEST_CASE("shadowsocks server: an identity header that names nobody") {
  for (const Method method : {Method::k2022Aes128Gcm, Method::k2022Aes256Gcm}) {
    Target target(method);
    auto users = std::make_shared<UserTable>();
    users->add(keys_of(method, password_for(method, 5))->user, {.name = "ann"});
    target.options->users = users;
    const std::string known = target.request(password_for(method) + ":" + password_for(method, 5));
    const std::string unknown = target.request(password_for(method) + ":" + password_for(method, 6));
    expect_silence(target, {"unknown user", unknown, Errc::kUnknownUser}, 7);
    users->remove("ann");
    expect_silence(target, {"a user who was removed", known, Errc::kUnknownUser}, 7);
  }
}

TEST_CASE("shadowsocks server: requests that authenticate and are malformed") {
  struct Row {
    std::string_view variable;
    std::error_code why;
  };
  // Behind the fixed header of a user's: no padding and no payload, padding past the end, an address cut short, of an
  // unknown type, a name that is none.
  using winze::test::from_hex;
  const Method method = Method::k2022Aes128Gcm;
  for (const Row& row : {Row{"017f0000010050 0000", Errc::kBadPadding}, Row{"017f0000010050 0001", Errc::kBadPadding},
                         Row{"017f0000010050 00", Errc::kBadPadding}, Row{"017f0000", Errc::kBadAddress},
                         Row{"057f0000010050 0000 61", Errc::kBadAddress}, Row{"0301200050 0000 61", Errc::kBadAddress},
                         Row{"", Errc::kBadAddress}}) {
    CAPTURE(row.variable);
    Target target(method);
    const std::string wire =
        seal_request(target.method, target.options->key, target.world.clock.now, from_hex(row.variable));
    expect_silence(target, {"malformed", wire, row.why}, 65536);
  }
}

}  // namespace
}  // namespace winze::shadowsocks
