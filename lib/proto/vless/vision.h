// VLESS's flow xtls-rprx-vision, in both directions of one connection: what shows the lengths of an inner TLS handshake
// is padded, and once an inner TLS 1.3 carries its data, these records go around the layer below, which would only seal
// them a second time.
//
//   block   [ id (16), of a direction's first block alone ] | u8 command | u16 n | u16 m | content (n) | padding (m)
//
// Commands: 0 another block follows; 1 bytes without blocks follow; 2 the same, and they go around the layer below.
// A direction that does not begin with the id has no blocks at all.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <system_error>

#include "winze/base/buffer.h"
#include "winze/base/random.h"
#include "winze/base/uuid.h"

namespace winze::vless {

// Looks for an inner TLS handshake in what passes, for at most eight pieces of both directions together.
class TlsSight {
 public:
  void look(std::span<const std::uint8_t> piece);

  bool undecided() const { return pieces_left_ > 0; }
  bool is_tls() const { return tls_; }
  bool is_tls13() const { return tls13_; }  // with a cipher that may go around
  // There is no handshake of TLS, as far as all pieces but one show.
  bool is_other() const { return !answered_ && pieces_left_ <= 1; }

 private:
  void look_at_server_hello(std::span<const std::uint8_t> piece);

  int pieces_left_ = 8;
  bool tls_ = false;
  bool answered_ = false;  // by a ServerHello
  bool tls13_ = false;
  std::uint16_t cipher_ = 0;
  std::size_t hello_left_ = 0;  // of the ServerHello
};

// Follows the records of a TLS stream.
class RecordWalk {
 public:
  bool between_records() const { return header_size_ == 0 && body_left_ == 0; }
  // Where in `bytes` the last record ends that ends there; 0: none does.
  std::size_t walk(std::span<const std::uint8_t> bytes);

 private:
  std::uint8_t header_[5];
  std::size_t header_size_ = 0;
  std::size_t body_left_ = 0;
};

// Said when there is no such layer.
inline constexpr std::string_view kVisionNeeds = "the flow xtls-rprx-vision needs TLS 1.3 right below VLESS";

class Vision {
 public:
  Vision(const Uuid& id, Random& random) : id_(id), random_(random) {}

  // An empty `data` becomes an empty block when it is the first. Up to a record's last bytes may be held back when the
  // rest goes around the layer below: they follow with the next, or at the end.
  void seal(Buffer& data);
  void seal_end(Buffer& out);
  bool seals_verbatim() const { return sealing_ != Sealing::kBlocks && held_.empty(); }
  bool sealing_left_below() const { return sealing_ == Sealing::kAround; }

  // Errc::kBadPadding for an unknown command.
  std::error_code open(Buffer& data);
  std::error_code open_end() const;
  bool opens_verbatim() const { return opening_ == Opening::kPlain || opening_ == Opening::kAround; }
  bool opening_left_below() const { return opening_ == Opening::kAround; }

 private:
  enum class Sealing : std::uint8_t { kBlocks, kPlain, kAround };
  enum class Opening : std::uint8_t { kId, kHeader, kContent, kPadding, kPlain, kAround };

  void put_blocks(std::span<const std::uint8_t> content, std::uint8_t last_command, bool long_padding, Buffer& out);
  void put_block(std::span<const std::uint8_t> content, std::uint8_t command, bool long_padding, Buffer& out);
  bool open_id(Buffer& data);
  std::error_code open_blocks(Buffer& data);
  void end_block();

  Uuid id_;
  Random& random_;
  TlsSight sight_;
  Sealing sealing_ = Sealing::kBlocks;
  bool first_ = true;
  RecordWalk walk_;
  Buffer held_;
  Opening opening_ = Opening::kId;
  std::size_t id_matched_ = 0;
  std::uint8_t header_[5];
  std::size_t header_size_ = 0;
  std::size_t content_left_ = 0;
  std::size_t padding_left_ = 0;
};

}  // namespace winze::vless
