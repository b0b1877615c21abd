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

ClientCodec::ClientCodec(std::shared_ptr<const Keys> keys, const Destination& destination,
                         const Surroundings& surroundings)
    : keys_(std::move(keys)), destination_(destination), around_(surroundings) {}
ClientCodec::~ClientCodec() = default;

Overhead ClientCodec::overhead() const {
  Overhead room = ChunkSealer::kOverhead;
  if (sealer_) return room;
  room.front += key_size(keys_->method) + socks::kMaxAddressSize;
  if (is_2022(keys_->method)) {
    room.front += keys_->identity.size() * kIdentitySize + kFixedRequestSize + kTagSize + 2 + kMaxPadding;
  }
  return room;
}

StreamCodec::Handshake ClientCodec::handshake(Buffer&, Buffer&, std::error_code& error) {
  if (!socks::is_encodable(destination_)) error = Errc::kBadName;
  return Handshake::kDone;
}

// --- sealing ---

std::error_code ClientCodec::seal(Buffer& data) {
  if (sealer_) {
    sealer_->seal(data);
    return {};
  }
  if (!socks::is_encodable(destination_)) return Errc::kBadName;
  seal_request(data);
  return {};
}

void ClientCodec::seal_request(Buffer& data) {
  const std::size_t size = key_size(keys_->method);
  around_.random.fill({salt_.data(), size});
  sealer_ = std::make_unique<ChunkSealer>(keys_->method, keys_->user.span(), salt(), around_.pool);
  is_2022(keys_->method) ? put_request_2022(data) : put_request_2017(data);
  std::memcpy(data.prepend(size), salt_.data(), size);
}

void ClientCodec::put_request_2017(Buffer& data) {
  socks::prepend_address(destination_, data);
  sealer_->seal(data, key_size(keys_->method));
}

// Everything in front of the payload is written from the back to the front; what the header cannot take of a first
// write of more than 64 KiB follows in chunks, and is copied for that.
void ClientCodec::put_request_2022(Buffer& data) {
  const std::size_t limit = 0xffff - socks::kMaxAddressSize - 2;
  Buffer rest;
  if (data.size() > limit) {
    rest = Buffer::copy_of(std::as_const(data).span().subspan(limit), ChunkSealer::kOverhead);
    data.trim_back(data.size() - limit);
  }
  const std::size_t padding = padding_for(data.size(), around_.random);
  std::memset(data.prepend(padding), 0, padding);
  store_u16(data.prepend(2), static_cast<std::uint16_t>(padding));
  socks::prepend_address(destination_, data);
  const std::size_t variable = data.size();
  data.append(kTagSize);

  std::uint8_t* fixed = data.prepend(kFixedRequestSize + kTagSize);
  fixed[0] = kRequestType;
  store_u64(fixed + 1, static_cast<std::uint64_t>(around_.clock.unix_now()));
  store_u16(fixed + 9, static_cast<std::uint16_t>(variable));
  sealer_->seal_unit(fixed, kFixedRequestSize);
  sealer_->seal_unit(fixed + kFixedRequestSize + kTagSize, variable);
  if (const std::size_t n = keys_->identity.size() * kIdentitySize; n != 0) put_identities(data.prepend(n));

  sealer_->seal(rest);
  data.append(std::as_const(rest).span());
}

void ClientCodec::put_identities(std::uint8_t* out) const {
  for (std::size_t i = 0; i < keys_->identity.size(); ++i) {
    const bool is_last = i + 1 == keys_->identity.size();
    const KeyName name = name_of_key(is_last ? keys_->user.span() : keys_->identity[i + 1].span());
    identity_cipher(keys_->method, keys_->identity[i].span(), salt()).encrypt(name.data(), out + i * kIdentitySize);
  }
}

StreamCodec::End ClientCodec::seal_end(Buffer& out) {
  // A client that has nothing to say still asks.
  if (!sealer_ && socks::is_encodable(destination_)) {
    Buffer request;
    seal_request(request);
    out.append(std::as_const(request).span());
  }
  return End::kShutdownBelow;
}

// --- opening ---

std::size_t ClientCodec::fixed_answer_size() const {
  return is_2022(keys_->method) ? kFixedAnswerSize + key_size(keys_->method) + kTagSize : 0;
}

std::error_code ClientCodec::open(Buffer& data, Buffer&) {
  if (opener_) return opener_->open(data);
  const std::size_t wanted = key_size(keys_->method) + fixed_answer_size();
  const std::size_t n = std::min(wanted - header_.size(), data.size());
  header_.append(std::as_const(data).span().first(n));
  data.trim_front(n);
  if (header_.size() < wanted) return {};
  if (std::error_code error = open_answer(header_.span())) {
    data.clear();
    return error;
  }
  header_.release();
  return opener_->open(data);
}

std::error_code ClientCodec::open_answer(std::span<std::uint8_t> header) {
  const std::size_t size = key_size(keys_->method);
  opener_ = std::make_unique<ChunkOpener>(keys_->method, keys_->user.span(), header.first(size), around_.pool);
  if (!is_2022(keys_->method)) return {};
  if (!opener_->open_unit(header.subspan(size))) return Errc::kBadChunk;
  Reader reader(std::span<const std::uint8_t>(header).subspan(size));
  if (reader.u8() != kAnswerType) return Errc::kWrongType;
  if (!is_timely(reader.u64(), around_.clock.unix_now())) return Errc::kBadTime;
  // Before anything has been asked there is no salt that it could answer.
  if (!sealer_ || !constant_time_equal(reader.bytes(size), salt())) return Errc::kWrongAnswer;
  opener_->expect(reader.u16());
  return {};
}

// Servers that could not reach the destination, and those that do not know us, end without an answer.
std::error_code ClientCodec::open_end() {
  const bool is_whole = opener_ ? !opener_->is_partial() : header_.empty();
  return is_whole ? winze::Errc::kEof : winze::Errc::kTruncated;
}

}  // namespace winze::shadowsocks
