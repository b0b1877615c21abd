// Datagrams in a byte stream, each in a frame of its protocol: a conduit over any Stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>

#include "winze/io/conduit.h"
#include "winze/io/environment.h"
#include "winze/io/stream.h"

namespace winze {

// What a protocol does to the datagrams of one stream, in both directions, with no I/O.
class DatagramFraming {
 public:
  virtual ~DatagramFraming() = default;

  // Sent once, before the first frame.
  virtual std::string_view preamble() const { return {}; }
  // Of a frame, around its datagram.
  virtual Overhead overhead() const = 0;
  // Bytes of the largest datagram to send.
  virtual std::size_t largest() const = 0;
  // Frames the payload, of at most largest() bytes, in place; frames that name their peers take it from `datagram`.
  // False, and nothing done, when there is no frame for it.
  virtual bool encode(Datagram& datagram) = 0;
  // Whether this payload, not framed yet, is taken also where there is no room for others. The order stays.
  virtual bool is_urgent(const Buffer& /*payload*/) const { return false; }
  // The datagram that `bytes` begin with; `bytes` then begin behind it. Frames that name their peers set `peer`, which
  // is otherwise right already. Nothing while it is incomplete, or with `error` set, after which nothing more is asked
  // for.
  virtual std::optional<std::span<const std::uint8_t>> decode(std::span<const std::uint8_t>& bytes, Destination& peer,
                                                              std::error_code& error) = 0;
};

struct FramedConduitOptions {
  // Bytes that may wait while a write is under way; twice that with urgent ones. What comes beyond is dropped, as a
  // network drops what does not fit. The system holds kUnsentLimit more, beside what is on its way.
  std::size_t backlog = 128 << 10;
  Destination peer = {};  // whom datagrams come from, where frames do not say
};

// The stream's end is the conduit's: Errc::kEof, or Errc::kTruncated within a frame. Unless frames name their peers it
// has one peer, whatever peer a datagram names.
ConduitPtr framed_conduit(Environment& environment, StreamPtr stream, std::unique_ptr<DatagramFraming> framing,
                          const FramedConduitOptions& options = {});

}  // namespace winze
