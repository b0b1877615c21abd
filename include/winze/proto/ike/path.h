// The way datagrams go between two hosts.
#pragma once

#include <cstdint>

#include "winze/base/address.h"

namespace winze::ike {

struct Path {
  Endpoint local, remote;
  // Which of the host's sockets or streams: a number that the engine keeps and gives back.
  std::uint32_t carrier = 0;
  // A port that ESP shares, 4500 or any but 500: IKE messages come and go behind four zeroes (RFC 3948 section 2.2).
  // The engine takes the marker off, and puts it on.
  bool marker = false;
  // A stream (RFC 9329): nothing is lost on it, so nothing is repeated or cut into fragments. Implies `marker`.
  bool stream = false;

  friend bool operator==(const Path&, const Path&) = default;
};

}  // namespace winze::ike
