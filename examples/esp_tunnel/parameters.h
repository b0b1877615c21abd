// What the command line says.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace esp_tunnel {

struct Parameters {
  // The way out.
  std::string local = "[::]:4500", peer, chain;
  bool raw = false, tcp = false;
  std::uint32_t mark = 0;
  std::size_t mtu = 1500;
  unsigned keepalive = 20;
  // The security associations: of the first thread; the next ones have the next SPIs, and keys of their own.
  std::string suite = "aes-gcm", mode = "tunnel";
  std::size_t icv = 16;
  std::uint32_t out_spi = 0, in_spi = 0, replay_window = 1024;
  std::vector<std::string> out_keys, in_keys, out_auths, in_auths;
  std::vector<std::string> here, there;
  bool esn = false, legacy = false;
  // The interface.
  std::string interface;
  std::vector<std::string> addresses, routes;
  bool no_offload = false;
  unsigned threads = 1, statistics = 1;
};

}  // namespace esp_tunnel
