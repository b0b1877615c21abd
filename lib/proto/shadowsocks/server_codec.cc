#include <algorithm>
#include <cstring>
#include <utility>

#include "proto/shadowsocks/chunks.h"
#include "proto/shadowsocks/wire.h"
#include "winze/base/bytes.h"
#include "winze/base/error.h"
#include "winze/proto/shadowsocks/codec.h"
#include "winze/proto/socks/address.h"

namespace winze::shadowsocks {

ServerCodec::ServerCodec(std::shared_ptr<const ServerOptions> options, const Surroundings& surroundings)
    : options_(std::move(options)), around_(surroundings) {
  request_.user = options_->account.name;
  request_.level = options_->account.level;
}
ServerCodec::~ServerCodec() = default;

// --- the opening ---

StreamCodec::Handshake ServerCodec::handshake(Buffer& in, Buffer&, std::error_code&) {
  while (stage_ < Stage::kOpen && !in.empty()) {
    if (std::error_code error = take(in)) {
      detail_ = error.message();
      stage_ = Stage::kDraining;
      received_.release();
      opener_.reset();
    }
  }
  if (stage_ == Stage::kOpen) return Handshake::kDone;
  in.clear();
  return Handshake::kMore;
}

std::error_code ServerCodec::take(Buffer& in) {
  switch (stage_) {
    case Stage::kHeader:
      return take_header(in);
    case Stage::kVariable:
      return take_variable(in);
    default:
      return take_chunks(in);
  }
}

// Copies, because the parts of an opening may come in any pieces: once a connection, and but for 2022's first payload a
// few dozen bytes.
bool ServerCodec::collect(Buffer& in, std::size_t size) {
  const std::size_t n = std::min(size - received_.size(), in.size());
  received_.append(std::as_const(in).span().first(n));
  in.trim_front(n);
  return received_.size() == size;
}

// The salt, and in 2022 what has a fixed size behind it.
std::error_code ServerCodec::take_header(Buffer& in) {
  const std::size_t size = key_size(options_->method);
  const bool timed = is_2022(options_->method);
  const std::size_t identity = options_->users ? kIdentitySize : 0;
  if (!collect(in, size + (timed ? identity + kFixedRequestSize + kTagSize : 0))) return {};
  std::copy_n(received_.data(), size, salt_.data());
  key_ = options_->key;
  if (timed && options_->users) {
    if (std::error_code error = find_key(received_.span().subspan(size, identity))) return error;
  }
  opener_ = std::make_unique<ChunkOpener>(options_->method, key_.span(), salt(), around_.pool);
  if (timed) {
    if (std::error_code error = check_fixed(received_.span().subspan(size + identity))) return error;
  }
  received_.clear();
  stage_ = timed ? Stage::kVariable : Stage::kChunks;
  return {};
}

std::error_code ServerCodec::find_key(std::span<const std::uint8_t> identity) {
  KeyName name;
  identity_cipher(options_->method, options_->key.span(), salt()).decrypt(identity.data(), name.data());
  const User* user = options_->users->find(name);
  if (user == nullptr) return Errc::kUnknownUser;
  key_ = user->key;
  request_.user = user->account.name;
  request_.level = user->account.level;
  return {};
}

std::error_code ServerCodec::check_fixed(std::span<std::uint8_t> unit) {
  if (!opener_->open_unit(unit)) return Errc::kBadChunk;
  Reader reader(unit);
  if (reader.u8() != kRequestType) return Errc::kWrongType;
  const UnixTime now = around_.clock.unix_now();
  if (!is_timely(reader.u64(), now)) return Errc::kBadTime;
  if (options_->salts && !options_->salts->add(salt(), now)) return Errc::kReplayed;
  variable_size_ = reader.u16();
  return {};
}

std::error_code ServerCodec::take_variable(Buffer& in) {
  if (!collect(in, variable_size_ + kTagSize)) return {};
  if (!opener_->open_unit(received_.span())) return Errc::kBadChunk;
  received_.trim_back(kTagSize);
  std::size_t size = 0;
  if (std::error_code error = take_address(size)) return error;
  if (size == 0) return Errc::kBadAddress;
  received_.trim_front(size);
  Reader reader(received_.span());
  const std::size_t padding = reader.u16();
  reader.skip(padding);
  if (!reader.ok() || received_.size() == 2) return Errc::kBadPadding;
  received_.trim_front(reader.consumed());
  stage_ = Stage::kOpen;
  return {};
}

// 2017: the address begins the payload, and may be spread over chunks.
std::error_code ServerCodec::take_chunks(Buffer& in) {
  if (std::error_code error = opener_->open(in)) return error;
  // Only now is it clear that it comes from one who has the key.
  if (opener_->is_begun() && !std::exchange(admitted_, true)) {
    if (options_->salts && !options_->salts->add(salt(), around_.clock.unix_now())) return Errc::kReplayed;
  }
  received_.append(std::as_const(in).span());
  in.clear();
  std::size_t size = 0;
  if (std::error_code error = take_address(size)) return error;
  if (size == 0) return {};
  received_.trim_front(size);
  stage_ = Stage::kOpen;
  return {};
}

// At the front of `received_`; `size` is its length, 0 while it is incomplete.
std::error_code ServerCodec::take_address(std::size_t& size) {
  Reader reader(received_.span());
  switch (socks::decode_address(reader, request_.destination)) {
    case socks::AddressResult::kDone:
      size = reader.consumed();
      return {};
    case socks::AddressResult::kMore:
      return {};
    default:
      return Errc::kBadAddress;
  }
}

// --- what follows ---

std::error_code ServerCodec::open(Buffer& data, Buffer&) {
  const std::error_code error = opener_->open(data);
  if (received_.empty()) return error;
  // The payload of the opening comes first.
  received_.append(std::as_const(data).span());
  data = std::move(received_);
  return error;
}

std::error_code ServerCodec::open_end() {
  return opener_ && !opener_->is_partial() ? winze::Errc::kEof : winze::Errc::kTruncated;
}

Overhead ServerCodec::overhead() const {
  Overhead room = ChunkSealer::kOverhead;
  if (sealer_) return room;
  room.front += key_size(options_->method);
  if (is_2022(options_->method)) room.front += kFixedAnswerSize + key_size(options_->method) + kTagSize;
  return room;
}

std::error_code ServerCodec::seal(Buffer& data) {
  if (refused_) data.clear();
  if (data.empty()) return {};
  if (sealer_) {
    sealer_->seal(data);
  } else {
    seal_answer(data);
  }
  return {};
}

void ServerCodec::seal_answer(Buffer& data) {
  const std::size_t size = key_size(options_->method);
  Salt own;
  around_.random.fill({own.data(), size});
  sealer_ = std::make_unique<ChunkSealer>(options_->method, key_.span(), std::span(own).first(size), around_.pool);
  if (is_2022(options_->method)) {
    // What one payload cannot hold follows in chunks, and is copied for that: once a connection.
    Buffer rest;
    if (data.size() > 0xffff) {
      rest = Buffer::copy_of(std::as_const(data).span().subspan(0xffff), ChunkSealer::kOverhead);
      data.trim_back(data.size() - 0xffff);
    }
    const std::size_t payload = data.size();
    data.append(kTagSize);
    const std::size_t fixed_size = kFixedAnswerSize + size;
    std::uint8_t* fixed = data.prepend(fixed_size + kTagSize);
    fixed[0] = kAnswerType;
    store_u64(fixed + 1, static_cast<std::uint64_t>(around_.clock.unix_now()));
    std::copy_n(salt_.data(), size, fixed + 9);
    store_u16(fixed + 9 + size, static_cast<std::uint16_t>(payload));
    sealer_->seal_unit(fixed, fixed_size);
    sealer_->seal_unit(fixed + fixed_size + kTagSize, payload);
    sealer_->seal(rest);
    data.append(std::as_const(rest).span());
  } else {
    sealer_->seal(data, size);
  }
  std::memcpy(data.prepend(size), own.data(), size);
}

}  // namespace winze::shadowsocks
