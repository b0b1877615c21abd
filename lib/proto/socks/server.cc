#include "winze/proto/socks/server.h"

#include <algorithm>
#include <cstring>

#include "winze/base/bytes.h"
#include "winze/proto/host_name.h"
#include "winze/proto/socks/address.h"

namespace winze::socks {
namespace {

constexpr std::uint8_t kNoAuthentication = 0x00;
constexpr std::uint8_t kUserPassword = 0x02;
constexpr std::uint8_t kNoMethod = 0xff;
constexpr std::uint8_t kConnect = 1;
constexpr std::uint8_t kAssociate = 3;
constexpr std::size_t kMaxUserId = 512;  // SOCKS4 states no limit
constexpr std::size_t kMaxAnswer = 4 + 16 + 2;

constexpr std::size_t kMaxName = 255;

enum class Text { kDone, kMore, kTooLong };

// Takes a text of at most `max` bytes that ends in a zero byte off the front.
Text read_zero_terminated(Reader& in, std::size_t max, std::string_view& out) {
  const std::string_view rest = as_text(in.rest()).substr(0, max + 1);
  const std::size_t end = rest.find('\0');
  if (end == rest.npos) return rest.size() > max ? Text::kTooLong : Text::kMore;
  out = in.text(end);
  in.skip(1);
  return Text::kDone;
}

}  // namespace

Overhead ServerCodec::overhead() const { return {seals_verbatim() ? 0 : kMaxAnswer, 0}; }

StreamCodec::Handshake ServerCodec::handshake(Buffer& in, Buffer& out, std::error_code& error) {
  if (!held_.empty()) {
    held_.append(in.span());
    in = std::move(held_);
  }
  for (;;) {
    switch (step(in, out, error)) {
      case Step::kFailed:
        return Handshake::kMore;
      case Step::kMore:
        held_ = std::move(in);
        return Handshake::kMore;
      case Step::kNext:
        if (stage_ == Stage::kDone) return Handshake::kDone;
        break;
    }
  }
}

ServerCodec::Step ServerCodec::step(Buffer& in, Buffer& out, std::error_code& error) {
  switch (stage_) {
    case Stage::kVersion:
      return read_version(in, error);
    case Stage::kGreeting:
      return read_greeting(in, out, error);
    case Stage::kPassword:
      return read_password(in, out, error);
    case Stage::kRequest:
      return read_request(in, out, error);
    case Stage::kVersion4:
      return read_request4(in, out, error);
    case Stage::kDone:
      break;
  }
  return Step::kNext;
}

ServerCodec::Step ServerCodec::read_version(Buffer& in, std::error_code& error) {
  if (in.empty()) return Step::kMore;
  const std::uint8_t version = in.data()[0];
  if (version != 4 && version != 5) {
    error = Errc::kBadVersion;
    return Step::kFailed;
  }
  version4_ = version == 4;
  stage_ = version4_ ? Stage::kVersion4 : Stage::kGreeting;
  return Step::kNext;
}

ServerCodec::Step ServerCodec::read_greeting(Buffer& in, Buffer& out, std::error_code& error) {
  Reader reader(in.span());
  reader.skip(1);
  const auto methods = reader.bytes(reader.u8());
  if (!reader.ok()) return Step::kMore;
  // Exactly one method is accepted: a client that may choose could choose none.
  const std::uint8_t wanted = options_.credentials ? kUserPassword : kNoAuthentication;
  const bool offered = std::ranges::find(methods, wanted) != methods.end();
  in.trim_front(reader.consumed());
  Writer writer(out);
  writer.u8(5);
  writer.u8(offered ? wanted : kNoMethod);
  if (!offered) {
    error = Errc::kNoCommonMethod;
    return Step::kFailed;
  }
  stage_ = options_.credentials ? Stage::kPassword : Stage::kRequest;
  return Step::kNext;
}

ServerCodec::Step ServerCodec::read_password(Buffer& in, Buffer& out, std::error_code& error) {
  if (in.empty()) return Step::kMore;
  Reader reader(in.span());
  if (reader.u8() != 1) {
    error = Errc::kBadVersion;
    return Step::kFailed;
  }
  const std::string_view user = reader.text(reader.u8());
  const std::string_view password = reader.text(reader.u8());
  if (!reader.ok()) return Step::kMore;
  auto account = options_.credentials->check(user, password);
  in.trim_front(reader.consumed());
  Writer writer(out);
  writer.u8(1);
  writer.u8(account ? 0x00 : 0xff);
  if (!account) {
    error = Errc::kBadCredentials;
    return Step::kFailed;
  }
  request_.user = std::move(account->name);
  request_.level = account->level;
  stage_ = Stage::kRequest;
  return Step::kNext;
}

ServerCodec::Step ServerCodec::read_request(Buffer& in, Buffer& out, std::error_code& error) {
  if (in.empty()) return Step::kMore;
  Reader reader(in.span());
  if (reader.u8() != 5) return fail(Errc::kBadVersion, Refusal::kGeneral, out, error);
  const std::uint8_t command = reader.u8();
  reader.skip(1);
  switch (decode_address(reader, request_.destination)) {
    case AddressResult::kMore:
      return Step::kMore;
    case AddressResult::kUnknownType:
      return fail(Errc::kBadAddress, Refusal::kUnsupportedAddress, out, error);
    case AddressResult::kBadName:
      // The address of an association is a hint that may be anything.
      if (command != kAssociate) return fail(Errc::kBadAddress, Refusal::kGeneral, out, error);
      break;
    case AddressResult::kDone:
      break;
  }
  in.trim_front(reader.consumed());
  const bool associate = command == kAssociate && options_.udp;
  if (command != kConnect && !associate) {
    return fail(Errc::kUnsupportedCommand, Refusal::kUnsupportedCommand, out, error);
  }
  if (associate) {
    request_.destination.network = Network::kUdp;
    if (request_.destination.is_name()) request_.destination.host = IpAddress();
  }
  stage_ = Stage::kDone;
  return Step::kNext;
}

ServerCodec::Step ServerCodec::read_request4(Buffer& in, Buffer& out, std::error_code& error) {
  Reader reader(in.span());
  reader.skip(1);
  const std::uint8_t command = reader.u8();
  const std::uint16_t port = reader.u16();
  const auto ip = reader.bytes(4);
  if (!reader.ok()) return Step::kMore;

  std::string_view user, name;
  Text text = read_zero_terminated(reader, kMaxUserId, user);
  // 4A: 0.0.0.x with x other than 0 says that a name follows.
  const bool named = ip[0] == 0 && ip[1] == 0 && ip[2] == 0 && ip[3] != 0;
  if (named && text == Text::kDone) text = read_zero_terminated(reader, kMaxName, name);
  if (text == Text::kMore) return Step::kMore;
  if (text == Text::kTooLong) return fail(Errc::kTooLong, Refusal::kGeneral, out, error);

  if (named) {
    request_.destination = Destination(name, port);
    if (request_.destination.is_name() && !is_host_name(name)) {
      return fail(Errc::kBadAddress, Refusal::kGeneral, out, error);
    }
  } else {
    request_.destination = Destination(IpAddress::v4(ip.first<4>()), port);
  }
  in.trim_front(reader.consumed());
  if (options_.credentials) return fail(Errc::kBadCredentials, Refusal::kNotAllowed, out, error);
  if (command != kConnect) return fail(Errc::kUnsupportedCommand, Refusal::kUnsupportedCommand, out, error);
  stage_ = Stage::kDone;
  return Step::kNext;
}

ServerCodec::Step ServerCodec::fail(Errc why, Refusal reason, Buffer& out, std::error_code& error) {
  append_answer(reply_code_of(reason), {}, out);
  error = why;
  return Step::kFailed;
}

void ServerCodec::append_answer(std::uint8_t code, const Endpoint& bound, Buffer& out) const {
  Writer writer(out);
  if (version4_) {
    writer.u8(0);
    writer.u8(code == 0 ? 0x5a : 0x5b);
    return writer.zeros(6);
  }
  writer.u8(5);
  writer.u8(code);
  writer.u8(0);
  encode_address(bound, writer);
}

void ServerCodec::grant(const Endpoint& bound) {
  granted_ = true;
  append_answer(0, bound, answer_);
}

void ServerCodec::refuse(Refusal reason) { append_answer(reply_code_of(reason), {}, answer_); }

std::error_code ServerCodec::seal(Buffer& data) {
  if (!answer_.empty()) {
    std::memcpy(data.prepend(answer_.size()), answer_.data(), answer_.size());
    answer_.release();
    return {};
  }
  return granted_ || data.empty() ? std::error_code() : Errc::kNotAnswered;
}

std::error_code ServerCodec::open(Buffer& data, Buffer& reply) {
  (void)data, (void)reply;
  return {};
}

}  // namespace winze::socks
