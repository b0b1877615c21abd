// Echoes through a tunnel that has no network interface: one after another, or as many as fit.
#pragma once

#include <absl/functional/any_invocable.h>
#include <winze/io/callback_conduit.h>
#include <winze/io/environment.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace ipsec_example {

class Pinger {
 public:
  struct Options {
    winze::IpAddress to;
    unsigned count = 1;         // one each 100 ms
    unsigned load_seconds = 0;  // then echoes of 1,300 bytes for so long, 256 of them on the way at any time
    bool rekey = false;
  };
  struct Handlers {
    absl::AnyInvocable<void()> rekey;              // in the middle of the echoes, and of the load
    absl::AnyInvocable<void(bool all_came)> done;  // after it has printed what it saw
  };

  Pinger(winze::Environment& environment, winze::PacketFeed& feed, const Options& options, Handlers handlers);

  void start(const winze::IpAddress& from);
  void on_packets(std::span<winze::Datagram> packets);

 private:
  void ping();
  void finish_pings();
  void begin_load();
  void fill();
  void tick();
  void finish_load();
  void finish(bool all_came);

  winze::Environment& environment_;
  winze::PacketFeed& feed_;
  Options options_;
  Handlers handlers_;
  winze::TimerPtr timer_;
  std::optional<winze::IpAddress> from_;
  std::vector<winze::TimePoint> sent_at_;  // of the echoes, by sequence number from 1 on; epoch: answered
  unsigned received_ = 0;
  double least_ = 1e9, most_ = 0, sum_ = 0;  // ms
  struct Load {
    winze::TimePoint begun, ends;
    std::uint64_t sent = 0, received = 0, received_before = 0;
    std::size_t on_the_way = 0;
    bool rekeyed = false;
  };
  std::optional<Load> load_;
  std::vector<winze::Buffer> outgoing_;
  bool done_ = false;
};

}  // namespace ipsec_example
