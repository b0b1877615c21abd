// What a mux session says, as text.
#pragma once

#include <string>
#include <string_view>

#include "support/segments.h"
#include "winze/base/bytes.h"
#include "winze/proto/mux/session.h"

namespace winze::test {

// "open 1 tcp a.test:80; data 1 hello": adjoining pieces of data are one.
class MuxLog final : public mux::Events {
 public:
  void on_open(mux::StreamId id, mux::Opening opening) override {
    last = opening;
    std::string text = "open " + std::to_string(id);
    if (opening.destination.port != 0) {
      text += opening.destination.network == Network::kUdp ? " udp " : " tcp ";
      text += opening.destination.to_string();
    }
    if (opening.any_peer) text += " any";
    add(text);
  }
  void on_data(mux::StreamId id, std::span<const std::uint8_t> bytes) override {
    if (log.empty() || data_of_ != id) add("data " + std::to_string(id) + " ");
    data_of_ = id;
    log += as_text(bytes);
  }
  void on_datagram(mux::StreamId id, const Destination* peer, std::span<const std::uint8_t> bytes) override {
    std::string text = "datagram " + std::to_string(id) + " ";
    if (peer != nullptr) text += peer->to_string() + " ";
    add(text.append(as_text(bytes)));
  }
  void on_end(mux::StreamId id) override { add("end " + std::to_string(id)); }
  void on_close(mux::StreamId id, std::error_code error) override {
    add("close " + std::to_string(id) + " " + error.message());
  }
  void on_writable(mux::StreamId id) override { add("writable " + std::to_string(id)); }

  std::string log;
  mux::Opening last;

 private:
  void add(std::string_view text) {
    if (!log.empty()) log += "; ";
    log += text;
    data_of_ = UINT32_MAX;
  }
  mux::StreamId data_of_ = UINT32_MAX;
};

// Gives `wire` to a session in segments; the error that ended that.
inline std::error_code receive(mux::Session& session, std::string_view wire, std::size_t segment, mux::Events& events) {
  std::error_code error;
  feed(wire, segment, [&](const Buffer& in) {
    error = session.receive(in.span(), events);
    return !error;
  });
  return error;
}

inline std::string flushed(mux::Session& session) {
  Buffer out;
  session.flush(out);
  return std::string(out.text());
}

inline std::string sealed(mux::Session& session, mux::StreamId id, std::string_view text) {
  Buffer data = Buffer::copy_of(text);
  session.seal(id, data);
  return std::string(data.text());
}

}  // namespace winze::test
