#include "winze/proto/trojan/codec.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

#include "winze/base/error.h"
#include "winze/proto/host_name.h"
#include "winze/proto/socks/address.h"

namespace winze::trojan {
namespace {

enum Command : std::uint8_t { kConnect = 1, kUdpAssociate = 3 };

constexpr std::string_view kLineEnd = "\r\n";

bool is_key_digit(std::uint8_t c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

// Whether `bytes` can be the beginning of a request, as far as its first line shows.
bool begins_request(std::span<const std::uint8_t> bytes) {
  const auto key = bytes.first(std::min(bytes.size(), kKeySize));
  if (!std::ranges::all_of(key, is_key_digit)) return false;
  return kLineEnd.starts_with(as_text(bytes.subspan(key.size())).substr(0, kLineEnd.size()));
}

}  // namespace

// --- client ---

ClientCodec::ClientCodec(const Key& key, const Destination& destination) {
  if (destination.is_name() && !is_host_name(*destination.name())) return;
  Writer writer(request_);
  writer.bytes(key);
  writer.text(kLineEnd);
  writer.u8(destination.network == Network::kUdp ? kUdpAssociate : kConnect);
  socks::encode_address(destination, writer);
  writer.text(kLineEnd);
}

StreamCodec::Handshake ClientCodec::handshake(Buffer&, Buffer&, std::error_code& error) {
  if (request_.empty()) error = Errc::kBadName;
  return Handshake::kDone;
}

std::error_code ClientCodec::seal(Buffer& data) {
  if (request_.empty()) return {};
  const std::size_t size = request_.size();
  std::memcpy(data.prepend(size), request_.data(), size);
  request_.release();
  return {};
}

StreamCodec::End ClientCodec::seal_end(Buffer& out) {
  out.append(std::as_const(request_).span());
  request_.release();
  return End::kShutdownBelow;
}

std::error_code ClientCodec::open(Buffer&, Buffer&) { return {}; }
std::error_code ClientCodec::open_end() { return winze::Errc::kEof; }

// --- server ---

StreamCodec::Handshake ServerCodec::handshake(Buffer& in, Buffer&, std::error_code& error) {
  if (in.empty()) return Handshake::kMore;
  if (!received_.empty()) {
    // Only an opening that came in pieces is copied.
    received_.append(in.span());
    in = std::move(received_);
  }
  std::size_t size = 0;
  error = parse(std::as_const(in).span(), size);
  if (error) {
    // A user's bytes, the key among them, are nothing for a fallback.
    if (!is_stranger(error)) in.clear();
    return Handshake::kMore;
  }
  if (size == 0) {
    received_ = Buffer::copy_of(std::as_const(in).span());
    in.clear();
    return Handshake::kMore;
  }
  in.trim_front(size);
  return Handshake::kDone;
}

std::error_code ServerCodec::parse(std::span<const std::uint8_t> bytes, std::size_t& size) {
  // Strangers are told apart as early as possible: their bytes wait for a fallback.
  if (!begins_request(bytes)) return Errc::kNotTrojan;
  Reader reader(bytes);
  const auto key = reader.bytes(kKeySize);
  reader.skip(kLineEnd.size());
  if (!reader.ok()) return {};
  const ProxyAccount* account = users_->find(key.first<kKeySize>());
  if (account == nullptr) return Errc::kUnknownUser;
  known_ = true;
  request_.user = account->name;
  request_.level = account->level;
  return parse_request(reader, size);
}

std::error_code ServerCodec::parse_request(Reader& reader, std::size_t& size) {
  const std::uint8_t command = reader.u8();
  if (!reader.ok()) return {};
  if (command != kConnect && command != kUdpAssociate) return Errc::kUnsupportedCommand;
  Destination destination;
  switch (socks::decode_address(reader, destination)) {
    case socks::AddressResult::kUnknownType:
    case socks::AddressResult::kBadName:
      // What the request for datagrams names is not used, but it has to be whole.
      return Errc::kBadAddress;
    case socks::AddressResult::kMore:
      return {};
    case socks::AddressResult::kDone:
      break;
  }
  const std::string_view end = reader.text(kLineEnd.size());
  if (!reader.ok()) return {};
  if (end != kLineEnd) return Errc::kBadAddress;
  if (command == kUdpAssociate) destination = Destination(IpAddress(), 0, Network::kUdp);
  request_.destination = std::move(destination);
  size = reader.consumed();
  return {};
}

bool ServerCodec::is_stranger(const std::error_code& error) const {
  return error == Errc::kNotTrojan || error == Errc::kUnknownUser;
}

std::optional<Buffer> ServerCodec::take_received() {
  if (known_) return std::nullopt;
  return std::move(received_);
}

std::error_code ServerCodec::seal(Buffer&) { return {}; }
std::error_code ServerCodec::open(Buffer&, Buffer&) { return {}; }

}  // namespace winze::trojan
