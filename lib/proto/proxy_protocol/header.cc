#include "winze/proto/proxy_protocol/header.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <utility>

#include "winze/base/bytes.h"
#include "winze/base/error.h"

namespace winze::proxy_protocol {
namespace {

constexpr std::string_view kSignature1 = "PROXY ";
constexpr std::string_view kSignature2("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::size_t kMaxLine = 107;  // of version 1, with CRLF
constexpr std::size_t kFixedSize2 = 16;

enum Command : std::uint8_t { kLocal = 0x20, kProxied = 0x21 };
enum Family : std::uint8_t { kTcp4 = 0x11, kUdp4 = 0x12, kTcp6 = 0x21, kUdp6 = 0x22 };

constexpr TableCategory::Row kRows[] = {
    {static_cast<int>(Errc::kNoHeader), "the connection does not begin with a PROXY protocol header"},
    {static_cast<int>(Errc::kMalformed), "malformed PROXY protocol header"},
    {static_cast<int>(Errc::kTooLong), "PROXY protocol header is too long"},
};
const TableCategory kCategory("proxy_protocol", kRows);

// --- version 1 ---

void encode1(const std::optional<Addresses>& addresses, Buffer& out) {
  if (!addresses) return out.append(std::string_view("PROXY UNKNOWN\r\n"));
  std::string line = addresses->source.address.is_v4() ? "PROXY TCP4 " : "PROXY TCP6 ";
  line += addresses->source.address.to_string() + ' ' + addresses->destination.address.to_string() + ' ';
  line += std::to_string(addresses->source.port) + ' ' + std::to_string(addresses->destination.port) + "\r\n";
  out.append(line);
}

// Takes a word and the one space behind it, or the last word, off the front.
std::string_view next_word(std::string_view& line) {
  const std::size_t space = std::min(line.find(' '), line.size());
  const std::string_view word = line.substr(0, space);
  line.remove_prefix(std::min(space + 1, line.size()));
  return word;
}

bool parse_address(std::string_view text, bool v6, IpAddress& out) {
  // IpAddress also reads brackets, which have no place here.
  const auto address = text.starts_with('[') ? std::nullopt : IpAddress::parse(text);
  if (!address || address->is_v6() != v6) return false;
  out = *address;
  return true;
}

bool parse_port(std::string_view text, std::uint16_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

std::error_code decode_line(std::string_view line, std::optional<Addresses>& out) {
  const std::string_view family = next_word(line);
  // What follows UNKNOWN is to be ignored (section 2.1).
  if (family == "UNKNOWN") return {};
  if (family != "TCP4" && family != "TCP6") return Errc::kMalformed;
  // A space behind the last word would leave nothing to see in `line`.
  if (line.ends_with(' ')) return Errc::kMalformed;
  const bool v6 = family == "TCP6";
  Addresses found;
  const bool good = parse_address(next_word(line), v6, found.source.address) &&
                    parse_address(next_word(line), v6, found.destination.address) &&
                    parse_port(next_word(line), found.source.port) &&
                    parse_port(next_word(line), found.destination.port) && line.empty();
  if (!good) return Errc::kMalformed;
  out = found;
  return {};
}

std::error_code decode1(std::string_view bytes, Decoded& out) {
  const std::string_view searched = bytes.substr(0, kMaxLine);
  const std::size_t end = searched.find("\r\n");
  if (end == searched.npos) return bytes.size() < kMaxLine ? std::error_code() : Errc::kTooLong;
  out.size = end + 2;
  return decode_line(bytes.substr(kSignature1.size(), end - kSignature1.size()), out.addresses);
}

// --- version 2 ---

void encode2(const std::optional<Addresses>& addresses, Buffer& out) {
  Writer writer(out);
  writer.text(kSignature2);
  if (!addresses) {
    writer.u8(kLocal);
    writer.u8(0);
    return writer.u16(0);
  }
  const bool v4 = addresses->source.address.is_v4();
  writer.u8(kProxied);
  writer.u8(v4 ? kTcp4 : kTcp6);
  writer.u16(v4 ? 12 : 36);
  writer.bytes(addresses->source.address.bytes());
  writer.bytes(addresses->destination.address.bytes());
  writer.u16(addresses->source.port);
  writer.u16(addresses->destination.port);
}

IpAddress read_address(Reader& in, bool v6) {
  const auto bytes = in.bytes(v6 ? 16 : 4);
  if (!in.ok()) return {};
  return v6 ? IpAddress::v6(bytes.first<16>()) : IpAddress::v4(bytes.first<4>());
}

std::error_code decode_block(std::uint8_t family, std::span<const std::uint8_t> block, std::optional<Addresses>& out) {
  const bool v4 = family == kTcp4 || family == kUdp4;
  const bool v6 = family == kTcp6 || family == kUdp6;
  // Other families (Unix sockets, unspecified) are to be accepted, without addresses (section 2.2).
  if (!v4 && !v6) return {};
  Reader in(block);
  Addresses found;
  found.source.address = read_address(in, v6);
  found.destination.address = read_address(in, v6);
  found.source.port = in.u16();
  found.destination.port = in.u16();
  if (!in.ok()) return Errc::kMalformed;
  out = found;
  return {};
}

std::error_code decode2(std::span<const std::uint8_t> bytes, Decoded& out) {
  Reader in(bytes);
  in.skip(kSignature2.size());
  const std::uint8_t command = in.u8();
  if (in.ok() && command != kLocal && command != kProxied) return Errc::kMalformed;
  const std::uint8_t family = in.u8();
  const std::size_t length = in.u16();
  if (!in.ok()) return {};
  if (kFixedSize2 + length > kMaxHeaderSize) return Errc::kTooLong;
  const auto block = in.bytes(length);
  if (!in.ok()) return {};
  out.size = in.consumed();
  return command == kLocal ? std::error_code() : decode_block(family, block, out.addresses);
}

bool begins_like(std::string_view bytes, std::string_view signature) {
  const std::size_t n = std::min(bytes.size(), signature.size());
  return bytes.substr(0, n) == signature.substr(0, n);
}

}  // namespace

const std::error_category& proxy_protocol_category() noexcept { return kCategory; }

void encode(int version, const std::optional<Addresses>& addresses, Buffer& out) {
  const bool alike = addresses && addresses->source.address.is_v4() == addresses->destination.address.is_v4();
  const std::optional<Addresses> known = alike ? addresses : std::nullopt;
  if (version == 1) return encode1(known, out);
  encode2(known, out);
}

std::error_code decode(std::span<const std::uint8_t> bytes, Decoded& out) {
  out = {};
  const std::string_view text = as_text(bytes);
  if (begins_like(text, kSignature1)) return text.size() < kSignature1.size() ? std::error_code() : decode1(text, out);
  if (!begins_like(text, kSignature2)) return Errc::kNoHeader;
  return text.size() < kSignature2.size() ? std::error_code() : decode2(bytes, out);
}

StreamCodec::Handshake ServerCodec::handshake(Buffer& in, Buffer&, std::error_code& error) {
  if (!received_.empty()) {
    received_.append(in.span());
    in = std::move(received_);
  }
  Decoded decoded;
  error = decode(in.span(), decoded);
  if (error) return Handshake::kMore;
  if (decoded.size == 0) {
    received_ = Buffer::copy_of(in.span());
    in.clear();
    return Handshake::kMore;
  }
  addresses_ = decoded.addresses;
  in.trim_front(decoded.size);
  return Handshake::kDone;
}

std::error_code ServerCodec::seal(Buffer&) { return {}; }
std::error_code ServerCodec::open(Buffer&, Buffer&) { return {}; }

}  // namespace winze::proxy_protocol
