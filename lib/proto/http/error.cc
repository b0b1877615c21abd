#include "winze/proto/http/error.h"

namespace winze::http {
namespace {

constexpr TableCategory::Row kRows[] = {
    {static_cast<int>(Errc::kBadStartLine), "malformed first line of an HTTP message"},
    {static_cast<int>(Errc::kBadVersion), "not a version of HTTP/1"},
    {static_cast<int>(Errc::kBadField), "malformed HTTP header field"},
    {static_cast<int>(Errc::kBadLineEnd), "HTTP line does not end in CR LF"},
    {static_cast<int>(Errc::kHeadTooLarge), "HTTP head is larger than 64 KiB"},
    {static_cast<int>(Errc::kTooManyFields), "HTTP head has too many fields"},
    {static_cast<int>(Errc::kBadFraming), "contradictory Content-Length, Transfer-Encoding or Host"},
    {static_cast<int>(Errc::kUnsupportedCoding), "transfer coding other than chunked"},
    {static_cast<int>(Errc::kBadChunk), "malformed chunk in an HTTP body"},
    {static_cast<int>(Errc::kBadTarget), "malformed or unsuitable HTTP request target"},
    {static_cast<int>(Errc::kBadCredentials), "missing or wrong HTTP proxy credentials"},
    {static_cast<int>(Errc::kUnexpectedData), "bytes after the end of the last HTTP message"},
    {static_cast<int>(Errc::kSwitched), "HTTP peer switched protocols unasked (1xx)"},
    {static_cast<int>(Errc::kRedirected), "HTTP peer redirects (3xx)"},
    {static_cast<int>(Errc::kClientError), "HTTP peer refused the request (4xx)"},
    {static_cast<int>(Errc::kServerError), "HTTP peer failed (5xx)"},
    {static_cast<int>(Errc::kProxyAuthenticationRequired), "HTTP proxy wants other credentials (407)"},
    {static_cast<int>(Errc::kForbidden), "HTTP peer forbids the request (403)"},
    {static_cast<int>(Errc::kNotFound), "HTTP peer does not know the target (404)"},
    {static_cast<int>(Errc::kBadGateway), "HTTP proxy could not reach the target (502)"},
    {static_cast<int>(Errc::kUnavailable), "HTTP peer is unavailable (503)"},
    {static_cast<int>(Errc::kGatewayTimeout), "HTTP proxy timed out on the target (504)"},
    {static_cast<int>(Errc::kBadHead), "a name or value that no HTTP head can carry"},
    {static_cast<int>(Errc::kNotAnswered), "payload for an HTTP client whose CONNECT was not granted"},
};
const TableCategory kCategory("http", kRows);

}  // namespace

const std::error_category& category() noexcept { return kCategory; }

Errc refusal_of(unsigned status) noexcept {
  switch (status) {
    case 403:
      return Errc::kForbidden;
    case 404:
      return Errc::kNotFound;
    case 407:
      return Errc::kProxyAuthenticationRequired;
    case 502:
      return Errc::kBadGateway;
    case 503:
      return Errc::kUnavailable;
    case 504:
      return Errc::kGatewayTimeout;
    default:
      break;
  }
  if (status < 300) return Errc::kSwitched;
  if (status < 400) return Errc::kRedirected;
  return status < 500 ? Errc::kClientError : Errc::kServerError;
}

unsigned status_of(const std::error_code& error) noexcept {
  if (error == Errc::kBadCredentials) return 407;
  if (error == Errc::kHeadTooLarge || error == Errc::kTooManyFields) return 431;
  if (error == Errc::kUnsupportedCoding) return 501;
  if (error == Errc::kBadVersion) return 505;
  return 400;
}

const char* reason_of(unsigned status) noexcept {
  switch (status) {
    case 101:
      return "Switching Protocols";
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 407:
      return "Proxy Authentication Required";
    case 426:
      return "Upgrade Required";
    case 431:
      return "Request Header Fields Too Large";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Unknown";
  }
}

}  // namespace winze::http
