#include "mschapv2_packet.h"

#include <algorithm>
#include <charconv>

#include "packet.h"
#include "winze/base/ascii.h"
#include "winze/base/bytes.h"

namespace winze::eap {
namespace {

constexpr std::size_t kChapHeader = 4;

}  // namespace

std::optional<ChapMessage> ChapMessage::parse(std::span<const std::uint8_t> data) {
  Reader in(data);
  ChapMessage out;
  out.op = static_cast<Op>(in.u8());
  if (!in.ok()) return std::nullopt;
  if (in.remaining() == 0) return out;
  out.id = in.u8();
  const std::size_t length = in.u16();
  if (!in.ok() || length < kChapHeader || length > data.size()) return std::nullopt;
  out.body = in.bytes(length - kChapHeader);
  return out;
}

std::vector<std::uint8_t> make_chap(Op op, std::uint8_t id, std::span<const std::uint8_t> body) {
  std::vector<std::uint8_t> out(kChapHeader + body.size());
  out[0] = static_cast<std::uint8_t>(op);
  out[1] = id;
  store_u16(&out[2], static_cast<std::uint16_t>(out.size()));
  std::ranges::copy(body, out.begin() + kChapHeader);
  return out;
}

unsigned failure_code(std::string_view text) {
  const std::size_t at = text.find("E=");
  unsigned code = 0;
  if (at != text.npos) std::from_chars(text.data() + at + 2, text.data() + text.size(), code);
  return code;
}

std::string failure_text(std::string_view text) {
  const std::size_t at = text.find("M=");
  return at == text.npos ? std::string() : printable(text.substr(at + 2));
}

bool success_has(std::string_view text, const mschapv2::AuthenticatorResponse& expected) {
  if (!text.starts_with("S=") || text.size() < 2 + 2 * expected.size()) return false;
  mschapv2::AuthenticatorResponse got{};
  for (std::size_t i = 0; i < got.size(); ++i) {
    const char* digits = text.data() + 2 + 2 * i;
    if (std::from_chars(digits, digits + 2, got[i], 16).ptr != digits + 2) return false;
  }
  return constant_time_equal(got, expected);
}

}  // namespace winze::eap
