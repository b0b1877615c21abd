// SOCKS, both sides, the mixed port, and datagrams: the outcome does not depend on how the bytes were cut. The first
// byte chooses the subject, the second is the size of the segments, less one.
#include <cstdint>
#include <memory>

#include "support/require.h"
#include "support/segments.h"
#include "winze/base/bytes.h"
#include "winze/proto/mixed_server.h"
#include "winze/proto/socks/address.h"
#include "winze/proto/socks/client.h"
#include "winze/proto/socks/server.h"

namespace winze {
namespace {

using test::require;

struct Outcome {
  bool done = false;
  std::error_code error;
  std::string sent;
  std::string rest;
  std::string about;

  friend bool operator==(const Outcome&, const Outcome&) = default;
};

Outcome run(StreamCodec& codec, std::string_view wire, std::size_t segment) {
  Outcome outcome;
  const auto step = [&](Buffer in) {
    if (!outcome.done) {
      Buffer out;
      outcome.done = codec.handshake(in, out, outcome.error) == StreamCodec::Handshake::kDone;
      outcome.sent += out.text();
      if (outcome.error) return false;
      require(outcome.done || in.empty());
    }
    outcome.rest += in.text();
    return true;
  };
  if (step({})) test::feed(wire, segment, step);
  return outcome;
}

void conclude(ProxyServerCodec& codec, Outcome& outcome) {
  if (!outcome.done) return;
  const Destination& destination = codec.request().destination;
  outcome.about = destination.to_string() + " " + codec.request().user;
  require(!destination.is_name() || socks::is_encodable(destination));
  codec.grant(Endpoint{});
  Buffer answer;
  require(!codec.seal(answer));
}

socks::ServerOptions server_options(unsigned subject) {
  socks::ServerOptions options{.udp = subject == 1};
  if (subject == 2) {
    auto list = std::make_shared<PasswordList>();
    list->add("u", "p");
    options.credentials = list;
  }
  return options;
}

Outcome serve(unsigned subject, std::string_view wire, std::size_t segment) {
  if (subject == 3) {
    MixedServerCodec codec({}, {});
    Outcome outcome = run(codec, wire, segment);
    conclude(codec, outcome);
    return outcome;
  }
  socks::ServerCodec codec(server_options(subject));
  Outcome outcome = run(codec, wire, segment);
  conclude(codec, outcome);
  return outcome;
}

Outcome ask(unsigned subject, std::string_view wire, std::size_t segment) {
  using Version = socks::ClientOptions::Version;
  auto options = std::make_shared<socks::ClientOptions>();
  options->version = subject == 4 ? Version::k4a : Version::k5;
  if (subject == 5) options->user = "u";
  socks::ClientCodec codec(std::move(options), Destination("example.org", 80));
  Outcome outcome = run(codec, wire, segment);
  if (outcome.done) outcome.about = codec.bound().to_string();
  return outcome;
}

void datagram(std::string_view wire) {
  Buffer buffer = Buffer::copy_of(wire);
  Destination peer;
  if (socks::open_datagram(buffer, peer) != socks::Drop::kNone) return;
  const std::string payload(buffer.text());
  require(socks::seal_datagram(buffer, peer));
  Destination again;
  require(socks::open_datagram(buffer, again) == socks::Drop::kNone);
  require(again == peer && buffer.text() == payload);
}

}  // namespace
}  // namespace winze

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace winze;
  if (size < 2) return 0;
  const unsigned subject = data[0] % 8;
  const std::size_t segment = data[1] + std::size_t{1};
  const std::string_view wire = as_text({data + 2, size - 2});
  if (subject == 7) {
    datagram(wire);
  } else {
    const auto play = subject < 4 ? serve : ask;
    test::require(play(subject, wire, size) == play(subject, wire, segment));
  }
  return 0;
}
