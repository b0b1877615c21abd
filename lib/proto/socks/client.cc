#include "winze/proto/socks/client.h"

#include "winze/base/bytes.h"
#include "winze/proto/socks/address.h"

namespace winze::socks {

StreamCodec::Handshake ClientCodec::handshake(Buffer& in, Buffer& out, std::error_code& error) {
  if (!held_.empty()) {
    held_.append(in.span());
    in = std::move(held_);
  }
  while (stage_ != Stage::kDone) {
    if (step(in, out, error)) continue;
    if (!error) held_ = std::move(in);
    return Handshake::kMore;
  }
  return Handshake::kDone;
}

bool ClientCodec::step(Buffer& in, Buffer& out, std::error_code& error) {
  switch (stage_) {
    case Stage::kStart:
      return start(out, error);
    case Stage::kMethod:
      return read_method(in, out, error);
    case Stage::kPassword:
      return read_password_status(in, out, error);
    case Stage::kReply:
      return read_reply(in, error);
    case Stage::kReply4:
      return read_reply4(in, error);
    case Stage::kDone:
      break;
  }
  return false;
}

bool ClientCodec::start(Buffer& out, std::error_code& error) {
  if (!is_expressible()) {
    error = Errc::kNotEncodable;
    return false;
  }
  if (options_->version == ClientOptions::Version::k4a) {
    append_request4(out);
    stage_ = Stage::kReply4;
    return true;
  }
  Writer writer(out);
  writer.u8(5);
  writer.u8(1);
  writer.u8(options_->user.empty() ? 0 : 2);
  stage_ = Stage::kMethod;
  return true;
}

bool ClientCodec::is_expressible() const {
  const std::string* name = destination_.name();
  if (!is_encodable(destination_) || options_->user.size() > 255 || options_->password.size() > 255) return false;
  if (options_->version == ClientOptions::Version::k5) return true;
  // Texts of SOCKS4a end at a zero byte.
  const bool zeros =
      options_->user.find('\0') != std::string::npos || (name != nullptr && name->find('\0') != std::string::npos);
  return !zeros && destination_.network == Network::kTcp;
}

bool ClientCodec::read_method(Buffer& in, Buffer& out, std::error_code& error) {
  if (in.size() < 2) return false;
  const std::uint8_t version = in.data()[0];
  const std::uint8_t method = in.data()[1];
  const bool with_password = !options_->user.empty();
  if (version != 5) {
    error = Errc::kBadVersion;
  } else if (method == 0xff) {
    error = Errc::kMethodsRefused;
  } else if (method != (with_password ? 2 : 0)) {
    error = Errc::kBadMethod;
  }
  if (error) return false;
  in.trim_front(2);
  if (!with_password) {
    append_request(out);
    return true;
  }
  Writer writer(out);
  writer.u8(1);
  writer.u8(static_cast<std::uint8_t>(options_->user.size()));
  writer.text(options_->user);
  writer.u8(static_cast<std::uint8_t>(options_->password.size()));
  writer.bytes(options_->password.span());
  stage_ = Stage::kPassword;
  return true;
}

bool ClientCodec::read_password_status(Buffer& in, Buffer& out, std::error_code& error) {
  if (in.size() < 2) return false;
  // The version byte is not looked at: servers are known that send 5 here.
  if (in.data()[1] != 0) {
    error = Errc::kAuthenticationFailed;
    return false;
  }
  in.trim_front(2);
  append_request(out);
  return true;
}

void ClientCodec::append_request(Buffer& out) {
  const bool udp = destination_.network == Network::kUdp;
  Writer writer(out);
  writer.u8(5);
  writer.u8(udp ? 3 : 1);
  writer.u8(0);
  // Where an association's datagrams will come from is not known behind a NAT: 0.0.0.0:0 claims nothing.
  encode_address(udp ? Destination() : destination_, writer);
  stage_ = Stage::kReply;
}

bool ClientCodec::read_reply(Buffer& in, std::error_code& error) {
  Reader reader(in.span());
  const std::uint8_t version = reader.u8();
  const std::uint8_t code = reader.u8();
  reader.skip(1);
  if (!reader.ok() && in.size() < 2) return false;
  if (version != 5) {
    error = Errc::kBadVersion;
  } else if (code != 0) {
    // Not waiting for the address: some servers close without it.
    error = error_of_reply(code);
  }
  if (error || !reader.ok()) return false;
  switch (decode_address(reader, bound_)) {
    case AddressResult::kMore:
      return false;
    case AddressResult::kUnknownType:
      error = Errc::kBadReply;
      return false;
    case AddressResult::kBadName:  // nothing depends on it
    case AddressResult::kDone:
      break;
  }
  bound_.network = destination_.network;
  in.trim_front(reader.consumed());
  stage_ = Stage::kDone;
  return true;
}

void ClientCodec::append_request4(Buffer& out) {
  Writer writer(out);
  writer.u8(4);
  writer.u8(1);
  writer.u16(destination_.port);
  const IpAddress* address = destination_.address();
  const bool numeric = address != nullptr && address->is_v4();
  if (numeric) {
    writer.bytes(address->bytes());
  } else {
    writer.u32(1);
  }
  writer.text(options_->user);
  writer.u8(0);
  if (numeric) return;
  writer.text(destination_.host_text());
  writer.u8(0);
}

bool ClientCodec::read_reply4(Buffer& in, std::error_code& error) {
  if (in.size() < 2) return false;
  const std::uint8_t code = in.data()[1];
  if (in.data()[0] != 0) {
    error = Errc::kBadVersion;
  } else if (code == 0x5c || code == 0x5d) {
    error = Errc::kIdentRequired;
  } else if (code != 0x5a) {
    error = code == 0x5b ? Errc::kRejected : Errc::kBadReply;
  }
  if (error || in.size() < 8) return false;
  Reader reader(in.span());
  reader.skip(2);
  bound_.port = reader.u16();
  bound_.host = IpAddress::v4(reader.bytes(4).first<4>());
  in.trim_front(8);
  stage_ = Stage::kDone;
  return true;
}

std::error_code ClientCodec::seal(Buffer& data) {
  (void)data;
  return {};
}

std::error_code ClientCodec::open(Buffer& data, Buffer& reply) {
  (void)data, (void)reply;
  return {};
}

}  // namespace winze::socks
