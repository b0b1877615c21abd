// What EAP-TLS needs of a TLS library: an interface, because proto has none (winze/layer/eap_tls.h implements it).
#pragma once

#include <absl/functional/any_invocable.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "winze/base/secret.h"

namespace winze::eap {

// One handshake, at either end. With TLS 1.3 it ends with the commitment of RFC 9190 section 2.5: a record of one zero
// byte that the server sends once it will send no more, and without which the client is not done.
class TlsEngine {
 public:
  enum class Progress : std::uint8_t {
    kMore,  // wants more of the other end's bytes
    kWait,  // something under way will call what set_waker() was given; then advance() again, with nothing
    kDone,
    kFailed,  // for the reason in detail(); what is in `out` is an alert, still to be sent
  };

  virtual ~TlsEngine() = default;
  // Takes whole TLS messages, appends what is to be sent.
  virtual Progress advance(std::span<const std::uint8_t> in, std::vector<std::uint8_t>& out) = 0;
  virtual void set_waker(absl::AnyInvocable<void()> waker) = 0;

  // Once done: the MSK (RFC 5216 section 2.3, RFC 9190 section 2.3), 64 bytes.
  virtual Secret master_session_key() const = 0;
  // Once done: who the other end is, by its certificate: `claimed`, where that is one of its names, else the first
  // alternative name, else the subject. Empty for one that has shown none.
  virtual std::string peer_name(std::string_view claimed) const = 0;
  virtual std::string detail() const = 0;
  // Whether all has come but the commitment.
  virtual bool lacks_commitment() const { return false; }
};

// Makes one for each conversation.
using TlsEngineFactory = std::function<std::unique_ptr<TlsEngine>()>;

}  // namespace winze::eap
