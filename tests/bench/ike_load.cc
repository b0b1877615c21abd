// The load for tests/bench/ike.py: clients of one gateway, made of the engine, over one UDP socket. Each brings up an
// IKE SA without a child (RFC 6023), so that nothing but IKE is measured, and deletes it: three exchanges.
//
//   ike_load LOCAL REMOTE psk|ecdsa COUNT AT_ONCE [FOLDER]   prints seconds for COUNT handshakes, so many at once; in
//                                                            FOLDER: x509ca/ca.pem, x509/a.pem, private/a.pem
//
// LOCAL and REMOTE are IPv4 addresses; the ports are 4600 and 4500. Names: a.test, b.test.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>

#include "winze/base/bytes.h"
#include "winze/crypto/system_random.h"
#include "winze/proto/ike/engine.h"

namespace {

using namespace winze;
using namespace winze::ike;

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "ike_load: %s\n", what.c_str());
  std::exit(1);
}

struct Clock final : WallClock {
  UnixTime unix_now() const override {
    return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
        .count();
  }
};

TimePoint now() { return std::chrono::time_point_cast<Duration>(std::chrono::steady_clock::now()); }

std::string file(const std::string& name) {
  std::ifstream in(name, std::ios::binary);
  if (!in) die(name + " cannot be read");
  return {std::istreambuf_iterator<char>(in), {}};
}

Connection connection(bool ecdsa, const std::string& folder) {
  Connection c;
  c.name = "bench";
  c.proposals = *parse_proposals(Protocol::kIke, "aes128gcm16-prfsha256-x25519");
  c.local.id = Identity::parse("a.test");
  c.remote.id = IdentityPattern("b.test");
  c.unique = Unique::kNever;
  c.mobike = false;
  if (!ecdsa) {
    c.local.psk = c.remote.psk = Secret(std::string_view("of this benchmark only"));
    return c;
  }
  const auto certificates = [&](const char* name) {
    const std::string text = file(folder + "/" + name);
    auto read = parse_certificates(as_bytes(text));
    if (!read.ok()) die(std::string(read.status().message()));
    return *std::move(read);
  };
  const std::string text = file(folder + "/private/a.pem");
  auto key = parse_private_key(as_bytes(text));
  if (!key.ok()) die(std::string(key.status().message()));
  auto identity = CertificateIdentity::create(certificates("x509/a.pem"), *key);
  if (!identity.ok()) die(std::string(identity.status().message()));
  c.local.method = c.remote.method = AuthMethod::kPublicKey;
  c.local.certificate = std::make_shared<const CertificateIdentity>(*std::move(identity));
  c.remote.verifier = std::make_shared<const CertificateVerifier>(certificates("x509ca/ca.pem"));
  return c;
}

class Load {
 public:
  Load(const char* local, const char* remote, ConnectionPtr connection)
      : connection_(std::move(connection)), engine_(options(), random_) {
    const auto from = IpAddress::parse(local), to = IpAddress::parse(remote);
    if (!from || !to) die("LOCAL and REMOTE are addresses");
    path_ = {{*from, 4600}, {*to, 4500}, 1, true};
    socket_ = ::socket(AF_INET, SOCK_DGRAM, 0);
    const int size = 4 << 20;
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    const sockaddr_in here = address(path_.local), there = address(path_.remote);
    if (::bind(socket_, reinterpret_cast<const sockaddr*>(&here), sizeof here) != 0 ||
        ::connect(socket_, reinterpret_cast<const sockaddr*>(&there), sizeof there) != 0) {
      die("no socket");
    }
  }

  double run(std::size_t count, std::size_t at_once) {
    const auto begun = std::chrono::steady_clock::now();
    std::size_t started = 0;
    while (done_ < count) {
      for (; started < count && started - done_ < at_once; ++started) {
        (void)engine_.initiate(now(), connection_, {path_, std::nullopt});
      }
      work();
      // Those that are done make room for others, before anything is waited for.
      if (done_ == count || (started < count && started - done_ < at_once)) continue;
      receive();
      if (engine_.deadline() <= now()) engine_.on_deadline(now());
    }
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  }

 private:
  EngineOptions options() {
    EngineOptions made;
    made.wall_clock = &clock_;
    return made;
  }

  static sockaddr_in address(const Endpoint& endpoint) {
    sockaddr_in out{};
    out.sin_family = AF_INET;
    out.sin_port = htons(endpoint.port);
    std::ranges::copy(endpoint.address.bytes(), reinterpret_cast<std::uint8_t*>(&out.sin_addr));
    return out;
  }

  void work() {
    for (bool busy = true; busy;) {
      busy = false;
      while (auto out = engine_.next_transmit()) {
        busy = true;
        (void)!::send(socket_, out->datagram.data(), out->datagram.size(), 0);
      }
      while (auto event = engine_.next_event()) {
        busy = true;
        if (const Up* const up = std::get_if<Up>(&*event)) (void)engine_.close(now(), up->sa);
        if (const Closed* const closed = std::get_if<Closed>(&*event)) {
          if (closed->reason.cause != Cause::kClosedByHost) die(closed->reason.to_string());
          ++done_;
        }
      }
    }
  }

  void receive() {
    pollfd wait{socket_, POLLIN, 0};
    if (::poll(&wait, 1, 100) != 1) return;
    for (;;) {
      Buffer datagram(4096, 0);
      std::uint8_t* const room = datagram.append(4096);
      const ssize_t size = ::recv(socket_, room, 4096, MSG_DONTWAIT);
      if (size <= 0) return;
      datagram.trim_back(4096 - static_cast<std::size_t>(size));
      engine_.receive(now(), path_, std::move(datagram));
    }
  }

  SystemRandom random_;
  Clock clock_;
  ConnectionPtr connection_;
  Engine engine_;
  Path path_;
  int socket_ = -1;
  std::size_t done_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 6) die("LOCAL REMOTE psk|ecdsa COUNT AT_ONCE [FOLDER]");
  const bool ecdsa = std::string_view(argv[3]) == "ecdsa";
  Load load(argv[1], argv[2], std::make_shared<const Connection>(connection(ecdsa, argc > 6 ? argv[6] : ".")));
  std::printf("%.4f\n", load.run(std::strtoul(argv[4], nullptr, 10), std::strtoul(argv[5], nullptr, 10)));
}
