#include "winze/proto/http/answer.h"

#include <string>

#include "winze/proto/http/error.h"
#include "winze/proto/http/head.h"

namespace winze::http {
namespace {

std::string challenge(std::string_view realm) {
  std::string out = "Basic realm=\"";
  for (const char c : realm) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

}  // namespace

unsigned status_of(Refusal reason) noexcept {
  switch (reason) {
    case Refusal::kNotAllowed:
      return 403;
    case Refusal::kTimedOut:
      return 504;
    case Refusal::kUnsupportedCommand:
    case Refusal::kUnsupportedAddress:
      return 501;
    case Refusal::kGeneral:
    case Refusal::kNetworkUnreachable:
    case Refusal::kHostUnreachable:
    case Refusal::kConnectionRefused:
      break;
  }
  return 503;
}

void append_answer(unsigned status, std::string_view realm, Buffer& out) {
  ResponseHead head;
  head.status = status;
  head.reason = reason_of(status);
  if (status == 407) head.fields.add("Proxy-Authenticate", challenge(realm));
  head.fields.add("Connection", "close");
  head.fields.add("Proxy-Connection", "close");
  head.fields.add("Content-Length", "0");
  encode(head, out);
}

}  // namespace winze::http
