#include "proto/vless/addons.h"

#include "winze/base/bytes.h"

namespace winze::vless {
namespace {

enum WireType : unsigned { kVarint = 0, kFixed64 = 1, kLengthDelimited = 2, kFixed32 = 5 };

constexpr std::uint64_t kFlowField = 1;

// The message is at most 255 bytes long, but its numbers need not be small.
bool read_varint(Reader& in, std::uint64_t& value) {
  value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const std::uint8_t byte = in.u8();
    value |= std::uint64_t{byte & 0x7fu} << shift;
    if ((byte & 0x80) == 0) return in.ok();
  }
  return false;
}

}  // namespace

bool parse_addons(std::span<const std::uint8_t> bytes, std::string_view& flow) {
  flow = {};
  Reader in(bytes);
  while (in.remaining() != 0) {
    std::uint64_t tag = 0;
    std::uint64_t value = 0;
    if (!read_varint(in, tag) || tag >> 3 == 0) return false;
    switch (tag & 7) {
      case kVarint:
        if (!read_varint(in, value)) return false;
        break;
      case kFixed64:
        in.skip(8);
        break;
      case kFixed32:
        in.skip(4);
        break;
      case kLengthDelimited: {
        if (!read_varint(in, value) || value > in.remaining()) return false;
        const std::string_view text = in.text(static_cast<std::size_t>(value));
        if (tag >> 3 == kFlowField) flow = text;
        break;
      }
      default:
        return false;
    }
    if (!in.ok()) return false;
  }
  return true;
}

void append_addons(std::string_view flow, Writer& out) {
  if (flow.empty()) return out.u8(0);
  out.u8(static_cast<std::uint8_t>(2 + flow.size()));
  out.u8(kFlowField << 3 | kLengthDelimited);
  out.u8(static_cast<std::uint8_t>(flow.size()));
  out.text(flow);
}

}  // namespace winze::vless
