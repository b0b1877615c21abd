// Bytes that look like an inner TLS connection to those who watch its records (VLESS's flow xtls-rprx-vision).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace winze::test {

inline std::string tls_record(std::uint8_t type, std::string_view body) {
  std::string out{static_cast<char>(type), 3, 3, static_cast<char>(body.size() >> 8), static_cast<char>(body.size())};
  return out.append(body);
}

inline std::string client_hello() {
  std::string record = tls_record(0x16, std::string("\x01", 1) + std::string(510, 'h'));
  record[2] = 1;
  return record;
}

// Of TLS 1.3 with AES-128-GCM; without `tls13` the extension that says so is missing.
inline std::string server_hello(bool tls13 = true, std::string_view cipher = {"\x13\x01", 2}) {
  std::string body("\x02\0\0\x76\x03\x03", 6);
  body += std::string(32, 'r') + '\x20' + std::string(32, 's');
  body.append(cipher).append(1, '\0');
  body += std::string("\0\x2e", 2) + std::string(40, 'k');
  body += tls13 ? std::string("\0\x2b\0\x02\x03\x04", 6) : std::string(6, 'e');
  return tls_record(0x16, body);
}

inline std::string application_data(std::size_t size, char fill = 'd') {
  return tls_record(0x17, std::string(size, fill));
}

}  // namespace winze::test
