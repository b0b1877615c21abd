// The load for tests/bench/proxy.py: an origin, and clients of it that connect to a port which a proxy chain forwards
// there. Plain sockets and threads, and no copies in user space, so that the proxies are what is measured.
//
//   proxy_load origin                        prints its port, serves until standard input ends
//   proxy_load bulk PORT down|up STREAMS BYTES [tls]   seconds for STREAMS transfers of BYTES each, at once; with "tls"
//                                            they begin with what looks like a handshake of TLS 1.3 and a record each
//                                            way
//   proxy_load connections PORT WORKERS SECONDS  new connections per second, each with one small request
//   proxy_load requests PORT COUNT               p50 and p99 in microseconds of small requests on one connection
//   proxy_load packets PORT WINDOW SECONDS       datagrams of 1200 bytes per second that the origin sent back, with so
//                                                many on their way (64 at most)
//   proxy_load idle PORT COUNT                   opens COUNT connections, prints "open", holds them until input ends
//
// By UDP the origin sends everything back, at the port that it has for TCP. Its requests: 'D' size -> size bytes; 'U'
// size bytes -> 1 byte; 'S' -> kReplySize bytes, then the next request.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "support/inner_tls.h"

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t kReplySize = 1024;
constexpr std::size_t kSourceSize = 64 << 20;

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

struct Request {
  char kind;
  char pad[7];
  std::uint64_t size;
};

int source_file() {
  static const int fd = [] {
    const int file = ::memfd_create("source", 0);
    std::vector<std::uint8_t> block(1 << 20);
    for (std::size_t i = 0; i < block.size(); ++i) block[i] = static_cast<std::uint8_t>(i * 31 + (i >> 8));
    for (std::size_t done = 0; done < kSourceSize; done += block.size()) {
      if (::write(file, block.data(), block.size()) < 0) die("memfd");
    }
    return file;
  }();
  return fd;
}

bool send_bytes(int fd, std::uint64_t size) {
  while (size > 0) {
    off_t at = 0;
    const ssize_t n = ::sendfile(fd, source_file(), &at, std::min<std::uint64_t>(size, kSourceSize));
    if (n <= 0) return false;
    size -= static_cast<std::uint64_t>(n);
  }
  return true;
}

// MSG_TRUNC: the kernel drops the bytes without copying them.
bool drop_bytes(int fd, std::uint64_t size) {
  while (size > 0) {
    const ssize_t n = ::recv(fd, nullptr, std::min<std::uint64_t>(size, 1 << 20), MSG_TRUNC);
    if (n <= 0) return false;
    size -= static_cast<std::uint64_t>(n);
  }
  return true;
}

bool send_request(int fd, char kind, std::uint64_t size) {
  const Request request{kind, {}, size};
  return ::send(fd, &request, sizeof request, MSG_NOSIGNAL) == sizeof request;
}

bool send_text(int fd, const std::string& text) {
  return ::send(fd, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

// One each way, after the hellos.
const std::string kDataRecord = winze::test::application_data(100);

void shake_hands(int fd) {
  if (!send_text(fd, winze::test::client_hello()) || !drop_bytes(fd, winze::test::server_hello().size()) ||
      !send_text(fd, kDataRecord) || !drop_bytes(fd, kDataRecord.size())) {
    die("handshake");
  }
}

bool answer_handshake(int fd) {
  return drop_bytes(fd, winze::test::client_hello().size()) && send_text(fd, winze::test::server_hello()) &&
         drop_bytes(fd, kDataRecord.size()) && send_text(fd, kDataRecord);
}

void serve(int fd) {
  std::uint8_t first = 0;
  if (::recv(fd, &first, 1, MSG_PEEK) == 1 && first == 0x16 && !answer_handshake(fd)) return void(::close(fd));
  Request request;
  while (::recv(fd, &request, sizeof request, MSG_WAITALL) == sizeof request) {
    bool good = false;
    if (request.kind == 'D') good = send_bytes(fd, request.size);
    if (request.kind == 'U') good = drop_bytes(fd, request.size) && send_bytes(fd, 1);
    if (request.kind == 'S') good = send_bytes(fd, kReplySize);
    if (!good) break;
  }
  ::close(fd);
}

void no_delay(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

// Threads take connections one after the other; the last free one starts another when it takes one.
void serve_next(int listener) {
  static std::atomic<int> waiting{0};
  while (true) {
    ++waiting;
    const int fd = ::accept(listener, nullptr, nullptr);
    if (--waiting == 0) std::thread(serve_next, listener).detach();
    if (fd < 0) continue;
    no_delay(fd);
    serve(fd);
  }
}

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

int connect_to(std::uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  const sockaddr_in address = loopback(port);
  if (fd < 0 || ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) die("connect");
  no_delay(fd);
  return fd;
}

void wait_for_end_of_input() {
  char c;
  while (::read(STDIN_FILENO, &c, 1) > 0) {
  }
}

int udp_socket(std::uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_DGRAM, 0);
  const int size = 4 << 20;
  ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  const sockaddr_in address = loopback(port);
  if (fd < 0 || ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) die("bind");
  return fd;
}

constexpr std::size_t kBatch = 64;
constexpr std::size_t kDatagram = 1200;

// Datagrams in batches, so that the load takes little of the machine.
struct Batch {
  std::vector<std::uint8_t> bytes = std::vector<std::uint8_t>(kBatch * 2048);
  sockaddr_in peers[kBatch];
  iovec pieces[kBatch];
  mmsghdr messages[kBatch];

  int receive(int fd, int flags) {
    for (std::size_t i = 0; i < kBatch; ++i) {
      pieces[i] = {&bytes[i * 2048], 2048};
      messages[i] = {{&peers[i], sizeof peers[i], &pieces[i], 1, nullptr, 0, 0}, 0};
    }
    return ::recvmmsg(fd, messages, kBatch, flags, nullptr);
  }

  void send(int fd, int count) {
    for (int sent = 0; sent < count;) {
      const int more = ::sendmmsg(fd, messages + sent, static_cast<unsigned>(count - sent), 0);
      sent += more > 0 ? more : 1;
    }
  }
};

void echo(std::uint16_t port) {
  const int fd = udp_socket(port);
  Batch batch;
  while (true) {
    const int n = batch.receive(fd, MSG_WAITFORONE);
    for (int i = 0; i < n; ++i) batch.pieces[i].iov_len = batch.messages[i].msg_len;
    batch.send(fd, n);
  }
}

int origin() {
  source_file();
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = loopback(0);
  socklen_t length = sizeof address;
  if (::bind(listener, reinterpret_cast<sockaddr*>(&address), length) != 0 || ::listen(listener, 4096) != 0 ||
      ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    die("listen");
  }
  std::printf("%u\n", ntohs(address.sin_port));
  std::fflush(stdout);
  std::thread(serve_next, listener).detach();
  std::thread(echo, ntohs(address.sin_port)).detach();
  wait_for_end_of_input();
  std::_Exit(0);
}

double seconds_since(Clock::time_point begun) { return std::chrono::duration<double>(Clock::now() - begun).count(); }

int bulk(std::uint16_t port, bool down, int streams, std::uint64_t bytes, bool tls) {
  std::vector<int> sockets;
  for (int i = 0; i < streams; ++i) {
    sockets.push_back(connect_to(port));
    if (tls) shake_hands(sockets.back());
    // Opens the connection to its end before the clock starts.
    if (!send_request(sockets.back(), 'S', 0) || !drop_bytes(sockets.back(), kReplySize)) die("first request");
  }
  std::atomic<bool> good{true};
  const auto begun = Clock::now();
  std::vector<std::thread> threads;
  for (int fd : sockets) {
    threads.emplace_back([&good, fd, down, bytes] {
      const bool asked = send_request(fd, down ? 'D' : 'U', bytes);
      if (!asked || !(down ? drop_bytes(fd, bytes) : send_bytes(fd, bytes) && drop_bytes(fd, 1))) good = false;
    });
  }
  for (std::thread& thread : threads) thread.join();
  if (!good) die("transfer");
  std::printf("%.6f\n", seconds_since(begun));
  return 0;
}

int connections(std::uint16_t port, int workers, double seconds) {
  std::atomic<std::uint64_t> count{0};
  const auto begun = Clock::now();
  std::vector<std::thread> threads;
  for (int i = 0; i < workers; ++i) {
    threads.emplace_back([&count, port, begun, seconds] {
      while (seconds_since(begun) < seconds) {
        const int fd = connect_to(port);
        if (!send_request(fd, 'S', 0) || !drop_bytes(fd, kReplySize)) die("request");
        // A reset, so that the client's ports do not all end in TIME_WAIT.
        const linger reset{1, 0};
        ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        ::close(fd);
        ++count;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::printf("%.1f\n", static_cast<double>(count) / seconds_since(begun));
  return 0;
}

int requests(std::uint16_t port, std::size_t count) {
  const int fd = connect_to(port);
  std::vector<double> times;
  for (std::size_t i = 0; i < count + count / 10; ++i) {
    const auto begun = Clock::now();
    if (!send_request(fd, 'S', 0) || !drop_bytes(fd, kReplySize)) die("request");
    if (i >= count / 10) times.push_back(seconds_since(begun) * 1e6);
  }
  std::sort(times.begin(), times.end());
  std::printf("%.1f %.1f\n", times[times.size() / 2], times[times.size() * 99 / 100]);
  return 0;
}

// What gets lost is sent again after a while, so that the window stays full.
int packets(std::uint16_t port, int window, double seconds) {
  const int fd = udp_socket(0);
  const sockaddr_in door = loopback(port);
  const timeval patience{0, 20'000};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&door), sizeof door) != 0) die("connect");
  Batch batch, datagrams;
  for (std::size_t i = 0; i < kBatch; ++i) {
    datagrams.pieces[i] = {&datagrams.bytes[i * 2048], kDatagram};
    datagrams.messages[i] = {{nullptr, 0, &datagrams.pieces[i], 1, nullptr, 0, 0}, 0};
  }
  std::uint64_t count = 0;
  int due = window;
  const auto begun = Clock::now();
  while (seconds_since(begun) < seconds) {
    datagrams.send(fd, due);
    const int n = batch.receive(fd, MSG_WAITFORONE);
    if (n > 0) count += static_cast<std::uint64_t>(n);
    due = n > 0 ? n : window;
  }
  if (count == 0) {
    std::fputs("no datagram came back\n", stderr);
    return 1;
  }
  std::printf("%.1f\n", static_cast<double>(count) / seconds_since(begun));
  return 0;
}

int idle(std::uint16_t port, int count) {
  for (int i = 0; i < count; ++i) {
    const int fd = connect_to(port);
    if (!send_request(fd, 'S', 0) || !drop_bytes(fd, kReplySize)) die("request");
  }
  std::printf("open\n");
  std::fflush(stdout);
  wait_for_end_of_input();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  const std::string_view mode = argc > 1 ? argv[1] : "";
  const auto number = [&](int i) { return std::strtoull(argv[i], nullptr, 10); };
  const auto port = [&] { return static_cast<std::uint16_t>(number(2)); };
  if (mode == "origin") return origin();
  const bool tls = argc == 7 && std::string_view(argv[6]) == "tls";
  if (mode == "bulk" && (argc == 6 || tls))
    return bulk(port(), std::string_view(argv[3]) == "down", static_cast<int>(number(4)), number(5), tls);
  if (mode == "connections" && argc == 5)
    return connections(port(), static_cast<int>(number(3)), std::strtod(argv[4], nullptr));
  if (mode == "requests" && argc == 4) return requests(port(), number(3));
  if (mode == "packets" && argc == 5)
    return packets(port(), static_cast<int>(std::min<std::uint64_t>(number(3), kBatch)), std::strtod(argv[4], nullptr));
  if (mode == "idle" && argc == 4) return idle(port(), static_cast<int>(number(3)));
  std::fputs("usage: see the head of proxy_load.cc\n", stderr);
  return 2;
}
