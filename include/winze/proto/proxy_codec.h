// What the servers of all proxy protocols (SOCKS, HTTP CONNECT, VLESS, ...) have in common: a client's request, which
// the host grants or refuses once it knows whether the destination can be reached.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "winze/base/address.h"
#include "winze/base/stream_codec.h"

namespace winze {

struct ProxyRequest {
  Destination destination;
  // Who asked, as the host named the account (an e-mail, a SOCKS user name); empty where the protocol knows no users.
  std::string user;
  // V2Ray's policy level of that account.
  std::uint32_t level = 0;
  // Of a carrier (multiplexing): it may carry datagrams, and no streams.
  bool datagrams_only = false;
};

// Why a request is not served. Protocols map it to their own code.
enum class Refusal {
  kGeneral,
  kNotAllowed,
  kNetworkUnreachable,
  kHostUnreachable,
  kConnectionRefused,
  kTimedOut,
  kUnsupportedCommand,
  kUnsupportedAddress,
};

// The server's side of one proxied stream. When handshake() says kDone, request() is what the client wants, and
// open() yields its payload at once (clients may send it along). Before the first seal() the host calls grant() or
// refuse(): what the protocol answers is then put in front of the next sealed bytes.
class ProxyServerCodec : public StreamCodec {
 public:
  virtual const ProxyRequest& request() const = 0;

  // The destination is connected; `bound` is our side's address of that connection, where the protocol reports it.
  virtual void grant(const Endpoint& bound) = 0;
  // seal() of an empty buffer yields the refusal, maybe nothing; then the host closes the stream.
  virtual void refuse(Refusal reason) = 0;

  // Whether the client waits for the answer before it sends payload (SOCKS, CONNECT): the host then seals an empty
  // buffer right after grant(). Otherwise (VLESS) the answer travels with the first payload.
  virtual bool answers_at_once() const = 0;

  // The client speaks plain HTTP to the proxy instead of asking for a tunnel: request() says nothing, and every byte
  // from the start of its first request is for the forward engines (winze/proto/http/forward_request.h).
  virtual bool is_forward() const { return false; }

  // Whether a handshake that failed with `error` was a stranger's, who has not shown what a user knows, so that the
  // connection may go to a fallback. Exactly then the codec has left all bytes that were received in `in`.
  virtual bool is_stranger(const std::error_code& error) const {
    (void)error;
    return false;
  }

  // Of an opening that came to nothing because the stream ended or a timer struck (handshake() has not failed): the
  // bytes that it has taken, which are a fallback's. Nothing where they show a user, or the protocol hides from nobody.
  virtual std::optional<Buffer> take_received() { return std::nullopt; }
};

}  // namespace winze
