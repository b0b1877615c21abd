// Seals and opens IP packets for the tests against other makers' IPsec. Each line of the input is a request of
// name=value pairs, each line of the output its answer: the packet in hex, or `drop REASON`, or `error WHAT`.
//
//   op=seal|open  proto=esp|ah  packet=HEX
//   encryption, integrity: numbers of esp::Encryption and esp::Integrity   ekey, ikey: HEX   icv=16  iiv=0
//   spi=0x1234  esn=0  first=1  pad=0  mode=tunnel|transport|beet  local, remote, inner_local, inner_remote  udp=PORT
#include <iostream>
#include <map>
#include <sstream>
#include <string>

#include "support/hex.h"
#include "winze/base/random.h"
#include "winze/base/status.h"
#include "winze/proto/ah/sa.h"
#include "winze/proto/esp/mode.h"

namespace {

using namespace winze;
using Request = std::map<std::string, std::string>;

Request read_request(const std::string& line) {
  Request request;
  std::istringstream words(line);
  for (std::string word; words >> word;) {
    const std::size_t equals = word.find('=');
    request[word.substr(0, equals)] = word.substr(equals + 1);
  }
  return request;
}

std::uint64_t number(Request& r, const char* name, std::uint64_t otherwise) {
  return r.contains(name) ? std::stoull(r[name]) : otherwise;
}
IpAddress address(Request& r, const char* name) { return IpAddress::parse(r[name]).value_or(IpAddress()); }

esp::SaConfig sa_of(Request& r) {
  esp::SaConfig config{.spi = static_cast<std::uint32_t>(number(r, "spi", 0x1234)), .esn = number(r, "esn", 0) != 0};
  config.first_sequence = number(r, "first", 1);
  config.pad_payload_to = static_cast<std::uint16_t>(number(r, "pad", 0));
  config.algorithms = {.encryption = static_cast<esp::Encryption>(number(r, "encryption", 0)),
                       .integrity = static_cast<esp::Integrity>(number(r, "integrity", 0)),
                       .icv_size = number(r, "icv", 16),
                       .implicit_iv = number(r, "iiv", 0) != 0,
                       .legacy = true,
                       .encryption_key = Secret(test::unhex(r["ekey"])),
                       .integrity_key = Secret(test::unhex(r["ikey"]))};
  return config;
}

esp::Encapsulation how_of(Request& r) {
  const auto port = static_cast<std::uint16_t>(number(r, "udp", 0));
  return {.mode = r["mode"] == "transport" ? esp::Mode::kTransport
                  : r["mode"] == "beet"    ? esp::Mode::kBeet
                                           : esp::Mode::kTunnel,
          .local = address(r, "local"),
          .remote = address(r, "remote"),
          .inner_local = address(r, "inner_local"),
          .inner_remote = address(r, "inner_remote"),
          .local_port = port,
          .remote_port = port};
}

std::string result(esp::Drop drop, const Buffer& packet) {
  return drop == esp::Drop::kNone ? test::hex(packet.span()) : "drop " + std::string(to_string(drop));
}

std::string error(const absl::Status& status) { return "error " + std::string(message_of(status)); }

std::string answer(Request r) {
  SeededRandom random(1);
  Buffer packet = Buffer::copy_of(test::unhex(r["packet"]), {.front = 128, .back = 128});
  const esp::Encapsulation how = how_of(r);
  const bool ah = r["proto"] == "ah";
  if (r["op"] == "seal") {
    const auto header = ip::parse(packet.span());
    if (!header) return "error no IP packet";
    if (ah) {
      auto sa = ah::OutboundSa::create(sa_of(r));
      if (!sa.ok()) return error(sa.status());
      return result(sa->seal(how, packet, *header), packet);
    }
    auto sa = esp::OutboundSa::create(sa_of(r), random);
    if (!sa.ok()) return error(sa.status());
    return result(esp::seal_packet(*sa, how, packet, *header), packet);
  }
  esp::Opened opened;
  ip::Header inner;
  if (ah) {
    auto sa = ah::InboundSa::create(sa_of(r));
    if (!sa.ok()) return error(sa.status());
    return result(sa->open(how, packet, opened, inner), packet);
  }
  auto sa = esp::InboundSa::create(sa_of(r));
  if (!sa.ok()) return error(sa.status());
  return result(esp::open_packet(*sa, how, packet, opened, inner), packet);
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) std::cout << answer(read_request(line)) << std::endl;
}
