#include "proto/vless/vision.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

#include "winze/base/bytes.h"
#include "winze/base/error.h"
#include "winze/proto/vless/error.h"

namespace winze::vless {
namespace {

enum Command : std::uint8_t { kContinue = 0, kEnd = 1, kDirect = 2 };

constexpr std::size_t kBlockHeader = 5;
constexpr std::size_t kFirstBlockHeader = 16 + kBlockHeader;
// Peers read and write blocks in buffers of this size.
constexpr std::size_t kPeerBuffer = 8192;
constexpr std::size_t kLargestContent = kPeerBuffer - kFirstBlockHeader;
constexpr std::size_t kUsualCut = 4096;
// Content shorter than this is filled up to about as much, where its length would tell of a handshake.
constexpr std::size_t kLongContent = 900;
constexpr std::size_t kLongSpread = 500;
constexpr std::size_t kShortSpread = 256;

constexpr std::string_view kApplicationData("\x17\x03\x03", 3);
constexpr std::string_view kSupportsTls13("\x00\x2b\x00\x02\x03\x04", 6);  // of a ServerHello's extensions
enum HandshakeType : std::uint8_t { kClientHello = 1, kServerHello = 2 };

// Not AES_128_CCM_8, whose short tags the peers do not let go around either.
bool goes_around(std::uint16_t cipher) { return cipher >= 0x1301 && cipher <= 0x1304; }

}  // namespace

// --- what passes ---

void TlsSight::look(std::span<const std::uint8_t> piece) {
  if (!undecided() || piece.empty()) return;
  --pieces_left_;
  const std::string_view text = as_text(piece);
  if (piece.size() >= 6 && text.starts_with("\x16\x03")) {
    if (piece[2] == 3 && piece[5] == kServerHello) {
      tls_ = answered_ = true;
      hello_left_ = load_u16(piece.data() + 3) + std::size_t{5};
      // version (2) and random (32) stand before the session id, 11 bytes from the start.
      if (piece.size() >= 79 && hello_left_ >= 79) {
        const std::size_t at = 43 + std::size_t{1} + piece[43];
        if (at + 2 <= piece.size()) cipher_ = load_u16(piece.data() + at);
      }
    } else if (piece[5] == kClientHello) {
      tls_ = true;
    }
  }
  if (hello_left_ > 0) look_at_server_hello(piece);
}

void TlsSight::look_at_server_hello(std::span<const std::uint8_t> piece) {
  const std::size_t size = std::min(hello_left_, piece.size());
  hello_left_ -= size;
  if (as_text(piece.first(size)).find(kSupportsTls13) != std::string_view::npos) {
    tls13_ = goes_around(cipher_);
    pieces_left_ = 0;
  } else if (hello_left_ == 0) {
    pieces_left_ = 0;
  }
}

std::size_t RecordWalk::walk(std::span<const std::uint8_t> bytes) {
  std::size_t at = 0;
  std::size_t end = 0;
  while (at < bytes.size()) {
    if (body_left_ == 0 && header_size_ < sizeof header_) {
      header_[header_size_++] = bytes[at++];
      if (header_size_ < sizeof header_) continue;
      body_left_ = load_u16(header_ + 3);
    } else {
      const std::size_t n = std::min(body_left_, bytes.size() - at);
      at += n;
      body_left_ -= n;
    }
    if (body_left_ == 0) {
      header_size_ = 0;
      end = at;
    }
  }
  return end;
}

// --- sealing ---

void Vision::seal(Buffer& data) {
  if (sealing_ != Sealing::kBlocks) {
    if (!held_.empty()) {
      std::memcpy(data.prepend(held_.size()), held_.data(), held_.size());
      held_.release();
    }
    return;
  }
  if (data.empty() && !first_) return;
  const auto content = std::as_const(data).span();
  sight_.look(content);
  // Blocks are written into a second buffer: they stand between pieces of the content. This ends with the handshake.
  Buffer out(data.headroom() + content.size() + kPeerBuffer, data.headroom());
  const bool begins_record = walk_.between_records();
  const std::size_t whole = walk_.walk(content);
  if (sight_.is_tls() && begins_record && as_text(content).starts_with(kApplicationData)) {
    if (!sight_.is_tls13()) {
      put_blocks(content, kEnd, true, out);
      sealing_ = Sealing::kPlain;
    } else if (whole > 0) {
      // From the next record on, so that who watches the line sees records alone.
      put_blocks(content.first(whole), kDirect, true, out);
      held_ = Buffer::copy_of(content.subspan(whole));
      sealing_ = Sealing::kAround;
    } else {
      put_blocks(content, kContinue, true, out);
    }
  } else if (!content.empty() && sight_.is_other()) {
    const std::size_t n = std::min(content.size(), kLargestContent);
    put_block(content.first(n), kEnd, false, out);
    out.append(content.subspan(n));
    sealing_ = Sealing::kPlain;
  } else {
    put_blocks(content, kContinue, sight_.is_tls() || content.empty(), out);
  }
  data = std::move(out);
}

void Vision::seal_end(Buffer& out) {
  out.append(std::as_const(held_).span());
  held_.release();
}

// Cuts where the peers cut: before a record of application data, or in the middle.
void Vision::put_blocks(std::span<const std::uint8_t> content, std::uint8_t last_command, bool long_padding,
                        Buffer& out) {
  while (content.size() > kLargestContent) {
    const auto window = content.first(std::min(content.size(), kPeerBuffer));
    std::size_t cut = as_text(window).rfind(kApplicationData);
    if (cut == std::string_view::npos || cut < kFirstBlockHeader || cut > kLargestContent) cut = kUsualCut;
    put_block(content.first(cut), kContinue, long_padding, out);
    content = content.subspan(cut);
  }
  put_block(content, last_command, long_padding, out);
}

void Vision::put_block(std::span<const std::uint8_t> content, std::uint8_t command, bool long_padding, Buffer& out) {
  std::size_t padding = long_padding && content.size() < kLongContent
                            ? kLongContent - content.size() + static_cast<std::size_t>(random_.below(kLongSpread))
                            : static_cast<std::size_t>(random_.below(kShortSpread));
  padding = std::min(padding, kLargestContent - content.size());
  Writer writer(out);
  if (std::exchange(first_, false)) writer.bytes(id_.bytes);
  writer.u8(command);
  writer.u16(static_cast<std::uint16_t>(content.size()));
  writer.u16(static_cast<std::uint16_t>(padding));
  writer.bytes(content);
  writer.zeros(padding);
}

// --- opening ---

std::error_code Vision::open(Buffer& data) {
  if (opens_verbatim() || data.empty()) return {};
  if (opening_ == Opening::kId && !open_id(data)) return {};
  std::error_code error;
  if (!opens_verbatim()) error = open_blocks(data);
  sight_.look(std::as_const(data).span());
  return error;
}

// False while the id is incomplete. Bytes that turn out to be another's stay.
bool Vision::open_id(Buffer& data) {
  const std::size_t before = id_matched_;
  const std::size_t n = std::min(id_.bytes.size() - before, data.size());
  if (std::memcmp(data.data(), id_.bytes.data() + before, n) != 0) {
    std::memcpy(data.prepend(before), id_.bytes.data(), before);
    opening_ = Opening::kPlain;
    return true;
  }
  data.trim_front(n);
  id_matched_ += n;
  if (id_matched_ < id_.bytes.size()) return false;
  opening_ = Opening::kHeader;
  return true;
}

// In place: the contents move together, to where the first of them stands.
std::error_code Vision::open_blocks(Buffer& data) {
  std::uint8_t* to = data.data();
  const std::uint8_t* from = data.data();
  const std::uint8_t* const end = from + data.size();
  std::error_code error;
  const auto take = [&](std::size_t n) {
    std::memmove(to, from, n);
    to += n;
    from += n;
  };
  while (from != end && !error) {
    const auto left = static_cast<std::size_t>(end - from);
    if (opening_ == Opening::kHeader) {
      header_[header_size_++] = *from++;
      if (header_size_ < kBlockHeader) continue;
      header_size_ = 0;
      if (header_[0] > kDirect) error = Errc::kBadPadding;
      content_left_ = load_u16(header_ + 1);
      padding_left_ = load_u16(header_ + 3);
      opening_ = Opening::kContent;
    } else if (opening_ == Opening::kContent) {
      const std::size_t n = std::min(content_left_, left);
      take(n);
      content_left_ -= n;
    } else if (opening_ == Opening::kPadding) {
      const std::size_t n = std::min(padding_left_, left);
      from += n;
      padding_left_ -= n;
    } else {
      take(left);
    }
    if (opening_ == Opening::kContent && content_left_ == 0) opening_ = Opening::kPadding;
    if (opening_ == Opening::kPadding && padding_left_ == 0) end_block();
  }
  data.trim_back(static_cast<std::size_t>(end - to));
  return error;
}

void Vision::end_block() {
  opening_ = header_[0] == kContinue ? Opening::kHeader : header_[0] == kEnd ? Opening::kPlain : Opening::kAround;
}

std::error_code Vision::open_end() const {
  const bool within = opening_ == Opening::kContent || opening_ == Opening::kPadding || header_size_ != 0 ||
                      (opening_ == Opening::kId && id_matched_ != 0);
  return within ? winze::Errc::kTruncated : winze::Errc::kEof;
}

}  // namespace winze::vless
