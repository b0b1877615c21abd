// The one driver of all stream protocols: a StreamCodec over a Stream is a Stream.
#pragma once

#include <absl/functional/any_invocable.h>

#include <memory>
#include <string_view>

#include "winze/base/stream_codec.h"
#include "winze/base/time.h"
#include "winze/io/dialer.h"
#include "winze/io/environment.h"
#include "winze/io/pending.h"
#include "winze/io/stream.h"

namespace winze {

// The outcome of an opening.
struct Opened {
  std::error_code error;
  // On success: the stream, and its codec (which the stream owns).
  StreamPtr stream;
  StreamCodec* codec = nullptr;
  // On failure: the stream below, still open, the bytes of it that the codec left unread (a server hands both to a
  // fallback), and the codec, which may have more to say about the error. Dropping `below` closes it. It is null where
  // an operation on it could not be taken back: after Errc::kAborted, and when the time was up during a write.
  StreamPtr below;
  Buffer unread;
  std::unique_ptr<StreamCodec> failed_codec;
};

// What the codec of a failed opening says of its error; maybe nothing.
std::string_view detail_of(const Opened& opened);

using OpenHandler = absl::AnyInvocable<void(Opened)>;

// Runs the opening of `codec` over `below`; fails with Errc::kTimedOut at `timeout` after now (zero: no limit).
Pending open_codec(Environment& environment, StreamPtr below, std::unique_ptr<StreamCodec> codec, Duration timeout,
                   OpenHandler handler);

// A dialer that dials through `below`, always to the same destination as it is asked itself (a transport such as TLS or
// WebSocket), or with `to` set to that destination only (a proxy protocol, whose server is `to` and whose codec asks
// the server for the destination). `make` is called once per dial.
using CodecFactory = absl::AnyInvocable<std::unique_ptr<StreamCodec>(const Destination& destination)>;
DialerPtr codec_dialer(Environment& environment, DialerPtr below, CodecFactory make, Duration handshake_timeout);

}  // namespace winze
