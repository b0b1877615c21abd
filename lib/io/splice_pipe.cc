#include "splice_pipe.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <utility>

namespace winze {
namespace {

constexpr int kPipeSize = 1 << 20;

// splice() into a socket whose peer has gone raises SIGPIPE, and has no flag against it. The process's disposition of
// the signal is not a library's to change, so it is blocked for this thread meanwhile, and taken off if it came.
class SigpipeBlocked {
 public:
  SigpipeBlocked() {
    sigemptyset(&sigpipe_);
    sigaddset(&sigpipe_, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &sigpipe_, &before_);
  }
  ~SigpipeBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  void take() {
    const timespec at_once{};
    ::sigtimedwait(&sigpipe_, nullptr, &at_once);
  }

 private:
  sigset_t sigpipe_;
  sigset_t before_;
};

}  // namespace

SplicePipe::SplicePipe(SplicePipe&& other) noexcept
    : read_end_(std::exchange(other.read_end_, -1)),
      write_end_(std::exchange(other.write_end_, -1)),
      held_(std::exchange(other.held_, 0)),
      capacity_(std::exchange(other.capacity_, 0)) {}

SplicePipe& SplicePipe::operator=(SplicePipe&& other) noexcept {
  if (this != &other) {
    close();
    read_end_ = std::exchange(other.read_end_, -1);
    write_end_ = std::exchange(other.write_end_, -1);
    held_ = std::exchange(other.held_, 0);
    capacity_ = std::exchange(other.capacity_, 0);
  }
  return *this;
}

bool SplicePipe::open() {
  if (read_end_ >= 0) return true;
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return false;
  read_end_ = ends[0];
  write_end_ = ends[1];
  // The system may allow less (pipe-user-pages-soft); what it gave is what fill() asks for.
  (void)::fcntl(write_end_, F_SETPIPE_SZ, kPipeSize);
  const int size = ::fcntl(write_end_, F_GETPIPE_SZ);
  capacity_ = size > 0 ? static_cast<std::size_t>(size) : 65536;
  return true;
}

SplicePipe::Result SplicePipe::fill(int socket, std::size_t most) {
  ssize_t n;
  do {
    n = ::splice(socket, nullptr, write_end_, nullptr, std::min(capacity_, most), SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  } while (n < 0 && errno == EINTR);
  if (n < 0) {
    if (errno == EAGAIN) return {};
    return {.error = {errno, std::system_category()}};
  }
  held_ += static_cast<std::size_t>(n);
  return {.bytes = static_cast<std::size_t>(n), .ended = n == 0, .error = {}};
}

SplicePipe::Result SplicePipe::drain(int socket, std::size_t most) {
  SigpipeBlocked signal;
  std::size_t moved = 0;
  while (held_ > 0 && moved < most) {
    const ssize_t n =
        ::splice(read_end_, nullptr, socket, nullptr, std::min(held_, most - moved), SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (n > 0) {
      held_ -= static_cast<std::size_t>(n);
      moved += static_cast<std::size_t>(n);
    } else if (n == 0 || errno == EAGAIN) {
      break;
    } else if (errno != EINTR) {
      const std::error_code error(errno, std::system_category());
      if (error == std::errc::broken_pipe) signal.take();
      return {.bytes = moved, .error = error};
    }
  }
  return {.bytes = moved, .error = {}};
}

void SplicePipe::close() {
  if (read_end_ < 0) return;
  ::close(std::exchange(read_end_, -1));
  ::close(std::exchange(write_end_, -1));
  held_ = 0;
}

}  // namespace winze
