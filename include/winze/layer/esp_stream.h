// A conduit of ESP and IKE over a stream (RFC 9329): over TCP, TLS, or any proxy chain.
#pragma once

#include <cstddef>

#include "winze/io/conduit.h"
#include "winze/io/environment.h"
#include "winze/io/stream.h"

namespace winze::esp {

enum class StreamRole { kOriginator, kResponder };

struct EspStreamOptions {
  // Bytes that wait for the stream. Packets beyond are dropped and counted, as a network drops what does not fit.
  std::size_t backlog = 512 * 1024;
};

// Datagrams go to the stream's other end, whatever peer they name, and come with its address (unspecified, behind a
// proxy). An orderly end of the stream is Errc::kEof.
ConduitPtr conduit_over(Environment& environment, StreamPtr stream, StreamRole role,
                        const EspStreamOptions& options = {});

}  // namespace winze::esp
