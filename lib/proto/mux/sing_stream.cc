#include <cstring>
#include <string_view>
#include <utility>

#include "winze/base/bytes.h"
#include "winze/base/error.h"
#include "winze/proto/mux/error.h"
#include "winze/proto/mux/sing.h"
#include "winze/proto/socks/address.h"

namespace winze::mux::sing {
namespace {

enum Flag : std::uint16_t { kUdp = 1, kAddressed = 2 };
enum Status : std::uint8_t { kOk = 0, kFailed = 1 };
constexpr std::size_t kLargestDatagram = 65535;

// Port 0 is nobody's, and for datagrams everybody's.
bool is_for_everyone(const Destination& destination) {
  return destination.network == Network::kUdp && destination.port == 0;
}

// Shorter than 128 bytes, as their length takes one.
std::string_view words_for(Refusal reason) {
  switch (reason) {
    case Refusal::kNotAllowed:
      return "not allowed";
    case Refusal::kNetworkUnreachable:
      return "network unreachable";
    case Refusal::kHostUnreachable:
      return "host unreachable";
    case Refusal::kConnectionRefused:
      return "connection refused";
    case Refusal::kTimedOut:
      return "timed out";
    case Refusal::kUnsupportedCommand:
    case Refusal::kUnsupportedAddress:
      return "not supported";
    case Refusal::kGeneral:
      break;
  }
  return "failed";
}

// Who asked for an address that is nobody's, or none that can be read, gets nothing.
std::error_code read_address(Reader& reader, Destination& out) {
  switch (socks::decode_address(reader, out)) {
    case socks::AddressResult::kMore:
      reader.skip(reader.remaining() + 1);
      return {};
    case socks::AddressResult::kDone:
      return {};
    case socks::AddressResult::kUnknownType:
    case socks::AddressResult::kBadName:
      break;
  }
  return Errc::kBadAddress;
}

}  // namespace

// --- the client's side ---

Overhead StreamClientCodec::overhead() const { return {.front = 2 + socks::kMaxAddressSize, .back = 0}; }

StreamCodec::Handshake StreamClientCodec::handshake(Buffer&, Buffer&, std::error_code& error) {
  if (socks::is_encodable(destination_)) return Handshake::kDone;
  error = Errc::kBadName;
  return Handshake::kMore;
}

std::error_code StreamClientCodec::seal(Buffer& data) {
  if (!std::exchange(request_due_, false)) return {};
  const bool addressed = is_for_everyone(destination_);
  const bool udp = destination_.network == Network::kUdp;
  Destination to = destination_;
  if (addressed) {
    // sing-box's servers look the name up and choose the outbound by it, so it is that of the first datagram.
    Reader first(std::as_const(data).span());
    if (socks::decode_address(first, to) != socks::AddressResult::kDone) to = destination_;
  }
  socks::prepend_address(to, data);
  store_u16(data.prepend(2), static_cast<std::uint16_t>((udp ? kUdp : 0) | (addressed ? kAddressed : 0)));
  return {};
}

std::error_code StreamClientCodec::open(Buffer& data, Buffer&) {
  if (!answer_due_ || data.empty()) return {};
  answer_due_ = false;
  const bool ok = data.data()[0] == kOk;
  data.trim_front(ok ? 1 : data.size());
  return ok ? std::error_code() : Errc::kRefused;
}

std::error_code StreamClientCodec::open_end() { return answer_due_ ? winze::Errc::kTruncated : winze::Errc::kEof; }

StreamCodec::End StreamClientCodec::seal_end(Buffer& out) {
  if (request_due_) (void)seal(out);
  return End::kShutdownBelow;
}

// --- the server's ---

StreamServerCodec::StreamServerCodec(std::string user, std::uint32_t level) {
  request_.user = std::move(user);
  request_.level = level;
}

StreamCodec::Handshake StreamServerCodec::handshake(Buffer& in, Buffer&, std::error_code& error) {
  received_.append(std::as_const(in).span());
  in.clear();
  Reader reader(std::as_const(received_).span());
  const std::uint16_t flags = reader.u16();
  Destination destination;
  destination.network = (flags & kUdp) != 0 ? Network::kUdp : Network::kTcp;
  if (reader.ok()) error = read_address(reader, destination);
  if (error || !reader.ok()) return Handshake::kMore;
  if ((flags & kUdp) != 0 && (flags & kAddressed) != 0) {
    destination = Destination(IpAddress(), 0, Network::kUdp);
  } else if (is_for_everyone(destination)) {
    error = Errc::kBadAddress;
    return Handshake::kMore;
  }
  request_.destination = std::move(destination);
  in.append(reader.rest());
  received_.release();
  return Handshake::kDone;
}

std::error_code StreamServerCodec::seal(Buffer& data) {
  if (!std::exchange(answer_due_, false)) return {};
  if (refusal_) {
    const std::string_view words = words_for(*refusal_);
    Writer writer(data);
    writer.u8(kFailed);
    writer.u8(static_cast<std::uint8_t>(words.size()));
    writer.text(words);
  } else {
    *data.prepend(1) = kOk;
  }
  return {};
}

StreamCodec::End StreamServerCodec::seal_end(Buffer& out) {
  if (answer_due_) (void)seal(out);
  return End::kShutdownBelow;
}

// --- datagrams ---

bool encode_datagram(Buffer& datagram, const Destination* peer) {
  const std::size_t size = datagram.size();
  if (size == 0 || size > kLargestDatagram || (peer != nullptr && !socks::is_encodable(*peer))) return false;
  store_u16(datagram.prepend(2), static_cast<std::uint16_t>(size));
  if (peer != nullptr) socks::prepend_address(*peer, datagram);
  return true;
}

std::optional<std::span<const std::uint8_t>> decode_datagram(std::span<const std::uint8_t>& bytes, Destination* peer,
                                                             std::error_code& error) {
  for (;;) {
    Reader reader(bytes);
    Destination from;
    from.network = Network::kUdp;
    if (peer != nullptr) error = read_address(reader, from);
    if (error) return std::nullopt;
    const std::size_t size = reader.u16();
    const auto datagram = reader.bytes(size);
    if (!reader.ok()) return std::nullopt;
    bytes = bytes.subspan(reader.consumed());
    if (size == 0) continue;
    if (peer != nullptr) *peer = std::move(from);
    return datagram;
  }
}

}  // namespace winze::mux::sing
