// Streams in memory: what every layer is tested over, and a way to join two pieces within one process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "winze/io/stream.h"

namespace winze {

struct MemoryPairOptions {
  // No read delivers more than this many bytes, so a codec sees its input in such segments.
  std::size_t segment = 65536;
  // Bytes one direction holds before write() waits for the reader.
  std::size_t window = 262144;
};

// Two streams, each the other's peer.
std::pair<StreamPtr, StreamPtr> memory_pair(Environment& environment, const MemoryPairOptions& options = {});

// A stream that fails at its operation number `fail_at` (reads, writes and shutdowns counted together from 0) with
// `error`, and from then on; a write that fails has written half of its bytes. `operations`, if given, receives the
// number of operations started so far, so that a test can fault each in turn.
StreamPtr faulty_stream(StreamPtr below, std::uint64_t fail_at, std::error_code error,
                        std::uint64_t* operations = nullptr);

}  // namespace winze
