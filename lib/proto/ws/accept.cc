#include "proto/ws/accept.h"

#include "winze/base/base64.h"
#include "winze/base/bytes.h"
#include "winze/crypto/digest.h"

namespace winze::ws {

std::string accept_for(std::string_view key) {
  std::string text(key);
  text += "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  return base64_encode(sha1(as_bytes(text)));
}

}  // namespace winze::ws
