// The forward engines: whatever comes in, what goes out is well-formed, ends where it says, and does not depend on how
// the bytes were cut. The first byte chooses direction and options, the second is the size of the segments, less one.
#include <cstdint>

#include "support/require.h"
#include "support/segments.h"
#include "winze/base/bytes.h"
#include "winze/proto/http/forward_request.h"
#include "winze/proto/http/forward_response.h"

namespace winze::http {
namespace {

using test::require;

// Reads messages as the next hop would, and appends their heads, and their bodies without framing, to `out`.
struct NextHop {
  std::string wire;

  std::string body(const Body& declared, bool complete) {
    if (declared.framing != Body::Framing::kChunked) return std::exchange(wire, {});
    Buffer in = Buffer::copy_of(std::exchange(wire, {}));
    Buffer out;
    ChunkReader reader;
    require(!reader.read(in, out));
    require(in.empty() && reader.done() == complete);
    return std::string(out.text());
  }
};

std::string requests(std::string_view wire, std::size_t segment, bool transparent) {
  ForwardRequests engine(ForwardOptions{.transparent = transparent});
  std::string out;
  NextHop origin;
  RequestHead seen;
  const auto consume = [&](Buffer in) {
    for (;;) {
      Buffer bytes;
      switch (engine.feed(in, bytes)) {
        case ForwardRequests::Event::kMore:
          require(in.empty() && bytes.empty());
          return true;
        case ForwardRequests::Event::kHead:
          require(!parse_request(bytes.text(), seen));
          require(seen.body == engine.request().head.body && seen.fields.count("Host") == 1);
          out += bytes.text();
          break;
        case ForwardRequests::Event::kBody:
          origin.wire += bytes.text();
          break;
        case ForwardRequests::Event::kEnd:
          origin.wire += bytes.text();
          if (seen.body.framing == Body::Framing::kLength) require(origin.wire.size() == seen.body.length);
          if (seen.body.framing == Body::Framing::kNone) require(origin.wire.empty());
          out += origin.body(seen.body, true);
          break;
        case ForwardRequests::Event::kConnect:
          out += " CONNECT";
          return false;
        case ForwardRequests::Event::kRejected:
          // The part of a body before the error may differ in size with the segments.
          origin.wire.clear();
          out += " rejected " + engine.error().message();
          return false;
      }
    }
  };
  test::feed(wire, segment, consume);
  return out;
}

std::string response(std::string_view wire, std::size_t segment, unsigned options) {
  ForwardedRequest request;
  request.head.method = (options & 1) != 0 ? "HEAD" : "GET";
  request.client_version = (options & 2) != 0 ? Version::k10 : Version::k11;
  request.keep_alive = (options & 4) == 0;
  ForwardResponse engine(request, 60);
  engine.request_ended();
  std::string sent;
  bool over = false;
  const auto settle = [&](ForwardResponse::Event event, Buffer& out) {
    sent += out.text();
    over = event != ForwardResponse::Event::kBytes && event != ForwardResponse::Event::kMore;
    return event == ForwardResponse::Event::kBytes;
  };
  test::feed(wire, segment, [&](Buffer in) {
    for (;;) {
      Buffer out;
      const auto event = engine.feed(in, out);
      if (settle(event, out)) continue;
      if (event == ForwardResponse::Event::kMore) require(in.empty());
      return !over;
    }
  });
  Buffer out;
  if (!over) settle(engine.end(true, out), out);
  require(over);

  // The client reads interim heads, then the final one, then its body.
  Buffer in = Buffer::copy_of(sent);
  std::string read;
  ResponseHead head;
  HeadCollector collector;
  std::error_code error;
  do {
    require(collector.collect(in, error));
    require(!parse_response(collector.text(), head));
    read += collector.text();
    collector.clear();
  } while (head.status < 200);
  NextHop client{std::string(in.text())};
  if (engine.error()) return read + " failed " + engine.error().message();
  const Body body = body_of(head, request.head.method);
  if (body.framing == Body::Framing::kNone) require(in.empty());
  if (body.framing == Body::Framing::kLength) require(in.size() == body.length);
  require(!engine.keeps_client() || body.framing != Body::Framing::kUntilClose);
  return read + client.body(body, true);
}

}  // namespace
}  // namespace winze::http

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace winze;
  if (size < 2) return 0;
  const std::size_t segment = data[1] + std::size_t{1};
  const std::string_view wire = as_text({data + 2, size - 2});
  const unsigned options = data[0] >> 1;
  if ((data[0] & 1) != 0) {
    const bool transparent = (options & 1) != 0;
    test::require(http::requests(wire, size, transparent) == http::requests(wire, segment, transparent));
  } else {
    test::require(http::response(wire, size, options) == http::response(wire, segment, options));
  }
  return 0;
}
