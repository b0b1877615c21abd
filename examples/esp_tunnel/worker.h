// One thread's share of the tunnel: an event loop, a queue of the TUN interface, a way out, and SAs of its own.
#pragma once

#include <absl/status/status.h>
#include <winze/io/system.h>
#include <winze/io/udp.h>
#include <winze/tunnel/data_plane.h>
#include <winze/tunnel/stream_carrier.h>

#include <asio/io_context.hpp>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "associations.h"
#include "chain_dialer.h"
#include "parameters.h"

namespace esp_tunnel {

class Worker {
 public:
  // `all`: the workers of all threads, complete before run(). `on_end`: on this one's thread, when it cannot go on.
  Worker(const Parameters& parameters, unsigned index, const std::vector<std::unique_ptr<Worker>>& all,
         std::function<void(const std::string& why)> on_end)
      : p_(parameters), index_(index), all_(all), on_end_(std::move(on_end)) {}

  // Opens everything. `interface`: the name to use, and then the name it has.
  absl::Status open(std::string& interface);
  void run() { context_.run(); }

  asio::io_context& context() { return context_; }
  const std::string& way() const { return way_; }  // for people: "in UDP at 192.0.2.1:4500"
  std::size_t inner_mtu() const { return inner_mtu_; }

  // Inner bytes so far, for other threads; renewed every second.
  std::uint64_t bytes_out() const { return bytes_out_; }
  std::uint64_t bytes_in() const { return bytes_in_; }

  // Once run() has returned.
  winze::tunnel::DataPlane::Counters counters() const { return plane_->counters(); }
  std::uint64_t drops(winze::esp::Drop drop);

 private:
  absl::Status open_carrier(winze::esp::ChildConfig& config);
  absl::Status open_socket(winze::esp::ChildConfig& config);
  absl::Status open_stream();
  absl::Status connect_stream();
  absl::Status accept_streams();
  bool pass_on(std::uint32_t spi, winze::Datagram& datagram);
  void publish();

  const Parameters& p_;
  const unsigned index_;
  const std::vector<std::unique_ptr<Worker>>& all_;
  std::function<void(const std::string&)> on_end_;
  asio::io_context context_{1};
  winze::SystemEnvironment system_{context_.get_executor()};
  winze::Environment& environment_ = system_;
  std::string way_;
  std::size_t inner_mtu_ = 0;
  std::uint32_t carrier_ = 0;
  std::atomic<std::uint64_t> bytes_out_{0}, bytes_in_{0};
  std::unique_ptr<Chain> chain_;
  std::optional<winze::tunnel::DataPlane> plane_;
  winze::esp::Child* child_ = nullptr;
  std::optional<winze::tunnel::StreamOriginator> originator_;
  std::optional<winze::tunnel::StreamResponder> responder_;
  winze::TimerPtr timer_ = environment_.clock.make_timer();
};

}  // namespace esp_tunnel
