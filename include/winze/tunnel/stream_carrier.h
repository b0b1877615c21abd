// Streams as carriers of a data plane (RFC 9329): the originator dials, and dials again when its stream has ended; the
// responder takes streams in. Over which layers is the dialer's and the listener's: TCP, TLS, any proxy chain.
#pragma once

#include <absl/functional/any_invocable.h>

#include <cstdint>
#include <memory>
#include <system_error>

#include "winze/base/time.h"
#include "winze/io/dialer.h"
#include "winze/io/listener.h"
#include "winze/layer/esp_stream.h"
#include "winze/tunnel/data_plane.h"

namespace winze::tunnel {

struct StreamOriginatorOptions {
  // From the end of a stream, or a dial that failed, to the next dial: doubled each time, until a stream has lasted for
  // the longest of these.
  Duration first_pause{std::chrono::milliseconds(500)};
  Duration longest_pause{std::chrono::seconds(30)};
  esp::EspStreamOptions stream = {};
};

// The data plane must outlive it; destruction ends its stream.
class StreamOriginator {
 public:
  struct Handlers {
    // A new carrier, for the paths of the children that go this way.
    absl::AnyInvocable<void(std::uint32_t carrier)> on_up;
    // Why the stream ended, or could not be dialled. May be null.
    absl::AnyInvocable<void(std::error_code)> on_down;
  };

  StreamOriginator(Environment& environment, DataPlane& plane, DialerPtr dialer, const Destination& responder,
                   Handlers handlers, const StreamOriginatorOptions& options = {});
  ~StreamOriginator();
  StreamOriginator(const StreamOriginator&) = delete;
  StreamOriginator& operator=(const StreamOriginator&) = delete;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

struct StreamResponderOptions {
  std::size_t most = 256;  // streams at once; more are closed as they come
  // A stream by which no authentic packet has come for so long is closed: strangers cost no more than that.
  Duration unproved{std::chrono::seconds(10)};
  esp::EspStreamOptions stream = {};
};

// Children follow their newest authentic packet to the stream it came by. The data plane must outlive it; destruction
// ends its streams.
class StreamResponder {
 public:
  StreamResponder(Environment& environment, DataPlane& plane, ListenerPtr listener,
                  const StreamResponderOptions& options = {});
  ~StreamResponder();
  StreamResponder(const StreamResponder&) = delete;
  StreamResponder& operator=(const StreamResponder&) = delete;

  Endpoint local() const;
  std::size_t streams() const;
  std::uint64_t refused() const;  // beyond the most, or unproved

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace winze::tunnel
