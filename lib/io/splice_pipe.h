// A kernel pipe that carries bytes from one socket to another without passing through this process (splice(2)).
#pragma once

#include <cstddef>
#include <system_error>

namespace winze {

class SplicePipe {
 public:
  struct Result {
    std::size_t bytes = 0;  // moved; 0 without `ended`: would block
    bool ended = false;
    std::error_code error;
  };

  SplicePipe() = default;
  SplicePipe(SplicePipe&& other) noexcept;
  SplicePipe& operator=(SplicePipe&& other) noexcept;
  ~SplicePipe() { close(); }

  // Makes the pipe, unless it is open. False when the system has none to give.
  bool open();
  // Moves what the socket has into the pipe.
  Result fill(int socket, std::size_t most);
  // Moves what the pipe holds into the socket, as much as it takes.
  Result drain(int socket, std::size_t most);
  // Bytes in the pipe.
  std::size_t held() const { return held_; }
  void close();

 private:
  int read_end_ = -1;
  int write_end_ = -1;
  std::size_t held_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace winze
