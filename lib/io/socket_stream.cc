#include "socket_stream.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <asio/post.hpp>
#include <cerrno>
#include <cstring>
#include <utility>

#include "winze/base/error.h"
#include "winze/io/tcp.h"

namespace winze {
namespace {

// The read buffer follows the flow: small for a trickle, large for bulk, and largest where few flows are bulk (with
// many, so much of each would not stay in the processor's cache).
constexpr std::size_t kSmallestRead = 16 << 10;
constexpr std::size_t kLargestRead = 512 << 10;
constexpr std::size_t kLargestReadOfMany = 256 << 10;
constexpr std::size_t kLentToMany = 2 << 20;  // bytes of buffers in use
// Pool blocks have a small header; asking for a little less than a power of two takes the block of that class.
constexpr std::size_t kBlockMargin = 256;

// Shared by the stream and its pending operations.
struct State final : RawSocket, std::enable_shared_from_this<State> {
  // Reading and writing are ours; Asio only waits.
  State(Environment& env, Socket&& connected, bool accepted)
      : environment(env), socket(std::move(connected)), expects_data(accepted) {}

  // --- reading ---

  void start_read() {
    if (expects_data) {
      if (std::optional<std::error_code> done = try_read()) {
        return asio::post(environment.executor, [self = shared_from_this(), error = *done] {
          if (!self->closed) self->finish_read(error);
        });
      }
    }
    wait_read();
  }

  void wait_read() {
    socket.async_wait(Socket::wait_read, [self = shared_from_this()](std::error_code error) {
      if (self->closed) return;
      if (error) return self->finish_read(error);
      if (std::optional<std::error_code> done = self->try_read()) return self->finish_read(*done);
      self->wait_read();
    });
  }

  // Reads once into read_data; nothing when the socket has nothing.
  std::optional<std::error_code> try_read() {
    read_size = std::min(read_size, largest_read());
    Buffer buffer = environment.pool.acquire(read_size - kBlockMargin, room.front);
    const std::size_t space = std::max<std::size_t>(buffer.tailroom(), room.back + 1) - room.back;
    buffer.ensure_room({room.front, room.back + space});
    ssize_t n;
    do {
      n = ::recv(socket.native_handle(), buffer.data(), space, 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
      expects_data = false;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return std::nullopt;
      return last_system_error();
    }
    if (n == 0) return std::error_code(Errc::kEof);
    adapt(static_cast<std::size_t>(n), space);
    buffer.append(static_cast<std::size_t>(n));
    read_data = std::move(buffer);
    return std::error_code();
  }

  void adapt(std::size_t n, std::size_t space) {
    expects_data = n == space;
    if (expects_data) {
      read_size = std::min(read_size * 4, largest_read());
    } else if (n < read_size / 16) {
      read_size = std::max(read_size / 4, kSmallestRead);
    }
  }

  std::size_t largest_read() const {
    return environment.pool.lent_bytes() < kLentToMany ? kLargestRead : kLargestReadOfMany;
  }

  void finish_read(std::error_code error) {
    auto handler = std::exchange(read_handler, nullptr);
    handler(error, error ? Buffer() : std::move(read_data));
  }

  // --- writing ---

  // Writes what the socket takes; nothing when it takes no more for now.
  std::optional<std::error_code> try_write() {
    while (!write_data.empty()) {
      const ssize_t n = ::send(socket.native_handle(), write_data.data(), write_data.size(), MSG_NOSIGNAL);
      if (n >= 0) {
        write_data.trim_front(static_cast<std::size_t>(n));
      } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return std::nullopt;
      } else if (errno != EINTR) {
        return last_system_error();
      }
    }
    return std::error_code();
  }

  void start_write() {
    if (std::optional<std::error_code> done = try_write()) return post_written(*done);
    wait_write();
  }

  void wait_write() {
    socket.async_wait(Socket::wait_write, [self = shared_from_this()](std::error_code error) {
      if (self->closed) return;
      if (error) return self->finish_write(error);
      if (std::optional<std::error_code> done = self->try_write()) return self->finish_write(*done);
      self->wait_write();
    });
  }

  void post_written(std::error_code error) {
    asio::post(environment.executor, [self = shared_from_this(), error] {
      if (!self->closed) self->finish_write(error);
    });
  }

  void finish_write(std::error_code error) {
    write_data.release();
    auto handler = std::exchange(write_handler, nullptr);
    handler(error);
  }

  // --- RawSocket ---

  int native_handle() const override { return const_cast<Socket&>(socket).native_handle(); }

  void wait(Wait what, absl::AnyInvocable<void(std::error_code)> handler) override {
    socket.async_wait(what == Wait::kRead ? Socket::wait_read : Socket::wait_write,
                      [self = shared_from_this(), handler = std::move(handler)](std::error_code error) mutable {
                        handler(self->closed ? std::error_code(Errc::kAborted) : error);
                      });
  }

  // A reset throws away what is still on its way out, so there must be nothing.
  void abort() {
    int unsent = 0;
    if (!closed && ::ioctl(socket.native_handle(), SIOCOUTQ, &unsent) == 0 && unsent == 0) {
      const linger reset{.l_onoff = 1, .l_linger = 0};
      (void)::setsockopt(socket.native_handle(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
    close();
  }

  // The handlers leave us, so that a loop that never runs again releases what they hold.
  void close() {
    closed = true;
    std::error_code ignored;
    socket.close(ignored);
    read_data.release();
    write_data.release();
    if (read_handler) post_read(std::exchange(read_handler, nullptr), Errc::kAborted);
    if (write_handler) post_write(std::exchange(write_handler, nullptr), Errc::kAborted);
  }

  void post_read(Stream::ReadHandler handler, std::error_code error) {
    asio::post(environment.executor, [handler = std::move(handler), error]() mutable { handler(error, {}); });
  }

  void post_write(Stream::WriteHandler handler, std::error_code error) {
    asio::post(environment.executor, [handler = std::move(handler), error]() mutable { handler(error); });
  }

  Environment& environment;
  Socket socket;
  Overhead room;
  std::size_t read_size = kSmallestRead;
  // The next read likely finds data at once: the last one filled its buffer, or a client has just connected and speaks
  // first. Elsewhere trying would only find EAGAIN.
  bool expects_data;
  bool closed = false;
  bool ended = false;  // our direction is shut down
  Stream::ReadHandler read_handler;
  Buffer read_data;
  Stream::WriteHandler write_handler;
  Buffer write_data;
};

class SocketStream final : public Stream {
 public:
  SocketStream(Environment& environment, Socket&& socket, bool accepted)
      : state_(std::make_shared<State>(environment, std::move(socket), accepted)) {}
  ~SocketStream() override { state_->close(); }

  void read(ReadHandler handler) override {
    if (state_->closed || state_->read_handler) {
      return state_->post_read(std::move(handler), state_->closed ? Errc::kClosed : Errc::kBusy);
    }
    state_->read_handler = std::move(handler);
    state_->start_read();
  }

  void write(Buffer data, WriteHandler handler) override {
    if (std::error_code error = write_error()) return state_->post_write(std::move(handler), error);
    state_->write_handler = std::move(handler);
    state_->write_data = std::move(data);
    state_->start_write();
  }

  void shutdown_write(WriteHandler handler) override {
    if (std::error_code error = write_error()) return state_->post_write(std::move(handler), error);
    state_->ended = true;
    std::error_code error;
    state_->socket.shutdown(Socket::shutdown_send, error);
    state_->post_write(std::move(handler), error);
  }

  void close() override { state_->close(); }
  void abort() override { state_->abort(); }
  Overhead overhead() const override { return {}; }
  void reserve(Overhead room) override { state_->room = room; }
  void limit_unsent(std::size_t bytes) override {
    const int most = static_cast<int>(bytes);
    // A Unix socket has no such thing.
    (void)::setsockopt(state_->native_handle(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &most, sizeof most);
  }
  const Executor& executor() const override { return state_->environment.executor; }
  Endpoint local() const override { return local_endpoint(state_->native_handle()); }
  Endpoint remote() const override { return remote_endpoint(state_->native_handle()); }
  RawSocket* verbatim_source() override { return state_->closed ? nullptr : state_.get(); }
  RawSocket* verbatim_sink() override { return state_->closed ? nullptr : state_.get(); }

 private:
  std::error_code write_error() const {
    if (state_->closed || state_->ended) return Errc::kClosed;
    if (state_->write_handler) return Errc::kBusy;
    return {};
  }

  std::shared_ptr<State> state_;
};

}  // namespace

StreamPtr connected_stream(Environment& environment, Socket socket) {
  return std::make_unique<SocketStream>(environment, std::move(socket), false);
}

StreamPtr accepted_stream(Environment& environment, int fd) {
  return std::make_unique<SocketStream>(
      environment, Socket(environment.executor, asio::generic::stream_protocol(AF_UNSPEC, 0), fd), true);
}

StreamPtr adopt_socket(Environment& environment, int fd) {
  // A read that finds nothing would hold the whole event loop.
  int yes = 1;
  (void)::ioctl(fd, FIONBIO, &yes);
  return accepted_stream(environment, fd);
}

sockaddr_any to_sockaddr(const Endpoint& endpoint) {
  sockaddr_any out{};
  if (endpoint.address.is_v4()) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(endpoint.port);
    std::memcpy(&in.sin_addr, endpoint.address.bytes().data(), 4);
    std::memcpy(out.bytes, &in, out.size = sizeof in);
  } else {
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(endpoint.port);
    std::memcpy(&in.sin6_addr, endpoint.address.bytes().data(), 16);
    std::memcpy(out.bytes, &in, out.size = sizeof in);
  }
  return out;
}

Endpoint from_sockaddr(const sockaddr_any& address) {
  sa_family_t family;
  std::memcpy(&family, address.bytes, sizeof family);
  if (family == AF_INET) {
    sockaddr_in in;
    std::memcpy(&in, address.bytes, sizeof in);
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(&in.sin_addr);
    return {IpAddress::v4(std::span<const std::uint8_t, 4>(bytes, 4)), ntohs(in.sin_port)};
  }
  if (family == AF_INET6) {
    sockaddr_in6 in;
    std::memcpy(&in, address.bytes, sizeof in);
    const std::uint8_t* bytes = in.sin6_addr.s6_addr;
    return {IpAddress::v6(std::span<const std::uint8_t, 16>(bytes, 16)).unmapped(), ntohs(in.sin6_port)};
  }
  return {};
}

namespace {

template <typename GetName>
Endpoint endpoint_of(int fd, GetName get_name) {
  sockaddr_any address{};
  socklen_t size = sizeof address.bytes;
  if (get_name(fd, reinterpret_cast<sockaddr*>(address.bytes), &size) != 0) return {};
  return from_sockaddr(address);
}

}  // namespace

Endpoint local_endpoint(int fd) { return endpoint_of(fd, ::getsockname); }
Endpoint remote_endpoint(int fd) { return endpoint_of(fd, ::getpeername); }

std::error_code last_system_error() { return {errno, std::system_category()}; }

}  // namespace winze
