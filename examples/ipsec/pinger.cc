#include "pinger.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <utility>

#include "echo.h"

namespace ipsec_example {
namespace {

using namespace winze;
using namespace std::chrono_literals;

constexpr Duration kInterval = 100ms;
constexpr Duration kPatience = 2s;  // for the last echoes
constexpr std::size_t kSmall = 56, kLarge = 1300, kWindow = 256;
constexpr std::uint16_t kOfLoad = 0;  // sequence number

double milliseconds(Duration time) { return std::chrono::duration<double, std::milli>(time).count(); }

}  // namespace

Pinger::Pinger(Environment& environment, PacketFeed& feed, const Options& options, Handlers handlers)
    : environment_(environment),
      feed_(feed),
      options_(options),
      handlers_(std::move(handlers)),
      timer_(environment.clock.make_timer()) {}

void Pinger::start(const IpAddress& from) {
  const bool first = !from_;
  from_ = from;
  if (first) ping();
}

void Pinger::ping() {
  if (sent_at_.size() == options_.count) {
    timer_->arm(environment_.clock.now() + kPatience, [this] { finish_pings(); });
    return;
  }
  if (options_.rekey && sent_at_.size() == options_.count / 2) handlers_.rekey();
  sent_at_.push_back(environment_.clock.now());
  Buffer packet = make_echo_request(*from_, options_.to, static_cast<std::uint16_t>(sent_at_.size()), kSmall);
  timer_->arm(sent_at_.back() + kInterval, [this] { ping(); });
  feed_.deliver(std::span(&packet, 1));
}

void Pinger::on_packets(std::span<Datagram> packets) {
  for (const Datagram& packet : packets) {
    const auto sequence = echo_reply_of(packet.payload);
    if (!sequence || done_) continue;
    if (*sequence == kOfLoad) {
      if (!load_) continue;
      ++load_->received;
      load_->on_the_way -= load_->on_the_way != 0;
      continue;
    }
    if (*sequence > sent_at_.size() || sent_at_[*sequence - 1] == TimePoint{}) continue;
    const double took = milliseconds(environment_.clock.now() - std::exchange(sent_at_[*sequence - 1], TimePoint{}));
    if (options_.count == 1) std::printf("echo from %s in %.1f ms\n", options_.to.to_string().c_str(), took);
    ++received_;
    sum_ += took;
    least_ = std::min(least_, took);
    most_ = std::max(most_, took);
  }
  if (load_) return fill();
  if (!done_ && received_ == options_.count) finish_pings();
}

void Pinger::finish_pings() {
  const std::string to = options_.to.to_string();
  if (received_ == 0) std::printf("no echo from %s\n", to.c_str());
  if (options_.count > 1 && received_ != 0) {
    std::printf("%u echoes asked of %s, %u came, %u lost; %.2f/%.2f/%.2f ms (least, mean, most)\n", options_.count,
                to.c_str(), received_, options_.count - received_, least_, sum_ / received_, most_);
  }
  std::fflush(stdout);
  if (options_.load_seconds == 0 || received_ == 0) return finish(received_ == options_.count);
  begin_load();
}

void Pinger::begin_load() {
  const TimePoint now = environment_.clock.now();
  load_.emplace(Load{.begun = now, .ends = now + std::chrono::seconds(options_.load_seconds)});
  tick();
}

// Every 20 ms: the time, and packets that were lost, whose places others take.
void Pinger::tick() {
  const TimePoint now = environment_.clock.now();
  if (now >= load_->ends) return finish_load();
  if (options_.rekey && !load_->rekeyed && now >= load_->begun + (load_->ends - load_->begun) / 2) {
    load_->rekeyed = true;
    handlers_.rekey();
  }
  if (load_->received == load_->received_before) load_->on_the_way = 0;
  load_->received_before = load_->received;
  timer_->arm(now + 20ms, [this] { tick(); });
  fill();
}

void Pinger::fill() {
  // Half a window at a time, so that packets move in batches.
  if (load_->on_the_way > kWindow / 2) return;
  outgoing_.clear();
  while (load_->on_the_way < kWindow) {
    outgoing_.push_back(make_echo_request(*from_, options_.to, kOfLoad, kLarge));
    ++load_->on_the_way;
    ++load_->sent;
  }
  feed_.deliver(outgoing_);
}

void Pinger::finish_load() {
  const double seconds = milliseconds(environment_.clock.now() - load_->begun) / 1000;
  const double megabits = static_cast<double>(load_->received) * (kLarge + 28) * 8 / 1e6 / seconds;
  const std::uint64_t lost = load_->sent - load_->received - load_->on_the_way;
  std::printf("load: %.0f Mbit/s each way for %.1f s, in packets of %zu bytes; %llu of %llu lost\n", megabits, seconds,
              kLarge + 28, static_cast<unsigned long long>(lost), static_cast<unsigned long long>(load_->sent));
  std::fflush(stdout);
  load_.reset();
  finish(received_ == options_.count);
}

void Pinger::finish(bool all_came) {
  done_ = true;
  timer_->disarm();
  handlers_.done(all_came);
}

}  // namespace ipsec_example
