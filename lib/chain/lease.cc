#include "lease.h"

#include <asio/post.hpp>
#include <utility>

#include "winze/base/error.h"

namespace winze::chain {
namespace {

constexpr std::size_t kQueue = 512 << 10;

}  // namespace

class Lease::Conduit final : public PacketConduit {
 public:
  explicit Conduit(std::shared_ptr<Lease> lease) : lease_(std::move(lease)) {}
  ~Conduit() override { lease_->close(); }

  std::size_t send(std::span<Datagram> datagrams) override { return lease_->send(datagrams); }
  void receive(ReceiveHandler handler) override { lease_->inbox_.receive(std::move(handler)); }
  void close() override { lease_->close(); }
  std::size_t mtu() const override { return lease_->mtu_; }
  Overhead overhead() const override { return lease_->overhead_; }
  void reserve(Overhead room) override { lease_->reserve(room); }
  std::uint64_t dropped() const override { return lease_->dropped_ + lease_->dropped_below_; }
  const Executor& executor() const override { return lease_->near_; }

 private:
  std::shared_ptr<Lease> lease_;
};

Lease::Lease(Executor near, Answer answer) : near_(std::move(near)), answer_(std::move(answer)), inbox_(near_) {}

void Lease::ask(Executor home) {
  const std::lock_guard lock(mutex_);
  home_ = std::move(home);
  crosses_ = home_ != near_;
  home_gone_ = false;
}

// --- near ---

void Lease::close() {
  answer_ = nullptr;
  inbox_.close();
  const std::lock_guard lock(mutex_);
  if (std::exchange(near_gone_, true) || home_gone_) return;
  asio::post(home_, [self = shared_from_this()] { self->on_released(); });
}

ConduitPtr Lease::make_conduit() { return std::make_unique<Conduit>(shared_from_this()); }

std::size_t Lease::send(std::span<Datagram> datagrams) {
  if (!crosses_ && lessor_) return pass(datagrams);
  std::size_t taken = 0;
  if (crosses_) {
    // Copies, because the pools of the buffers belong to their executors.
    std::vector<Datagram> copies = copies_of(datagrams, overhead_);
    const std::lock_guard lock(mutex_);
    if (!home_gone_ && !near_gone_) {
      taken = enqueue(up_, std::move(copies));
      if (!std::exchange(up_.posted, true)) asio::post(home_, [self = shared_from_this()] { self->on_up(); });
    }
  }
  dropped_ += datagrams.size() - taken;
  return taken;
}

void Lease::on_down() {
  std::vector<Datagram> batch;
  {
    const std::lock_guard lock(mutex_);
    batch = take(down_);
  }
  for (Datagram& datagram : batch) {
    if (!inbox_.push(datagram)) ++dropped_;
  }
}

void Lease::on_end(const DialError& error, bool gone) {
  if (Answer waiting = std::exchange(answer_, nullptr)) return waiting(error, gone);
  inbox_.close(error);
}

void Lease::reserve(Overhead room) {
  const std::lock_guard lock(mutex_);
  room_ = room;
  if (!crosses_ && lessor_) lessor_->conduit().reserve(room);
}

// --- home ---

bool Lease::attach(std::shared_ptr<Lessor> lessor) {
  const std::lock_guard lock(mutex_);
  if (near_gone_) return false;
  lessor_ = std::move(lessor);
  return true;
}

void Lease::grant() {
  PacketConduit& conduit = lessor_->conduit();
  overhead_ = conduit.overhead();
  mtu_ = conduit.mtu();
  dropped_before_ = conduit.dropped();
  const std::lock_guard lock(mutex_);
  if (near_gone_) return;
  asio::post(near_, [self = shared_from_this()] {
    if (Answer waiting = std::exchange(self->answer_, nullptr)) waiting({}, false);
  });
}

void Lease::deliver(std::span<Datagram> datagrams) {
  std::size_t taken = 0;
  if (!crosses_) {
    for (Datagram& datagram : datagrams) taken += inbox_.push(datagram) ? 1 : 0;
  } else {
    Overhead room;
    {
      const std::lock_guard lock(mutex_);
      room = room_;
    }
    std::vector<Datagram> copies = copies_of(datagrams, room);
    const std::lock_guard lock(mutex_);
    if (!near_gone_) {
      taken = enqueue(down_, std::move(copies));
      if (!std::exchange(down_.posted, true)) asio::post(near_, [self = shared_from_this()] { self->on_down(); });
    }
  }
  dropped_ += datagrams.size() - taken;
}

void Lease::end(const DialError& error, bool gone) {
  lessor_.reset();
  const std::lock_guard lock(mutex_);
  if (std::exchange(home_gone_, true) || near_gone_) return;
  asio::post(near_, [self = shared_from_this(), error, gone] { self->on_end(error, gone); });
}

void Lease::on_up() {
  std::vector<Datagram> batch;
  {
    const std::lock_guard lock(mutex_);
    batch = take(up_);
  }
  if (lessor_) {
    pass(batch);
  } else {
    dropped_ += batch.size();
  }
}

std::size_t Lease::pass(std::span<Datagram> datagrams) {
  PacketConduit& conduit = lessor_->conduit();
  const std::size_t taken = conduit.send(datagrams);
  dropped_below_ = conduit.dropped() - dropped_before_;
  return taken;
}

void Lease::on_released() {
  if (const auto lessor = std::exchange(lessor_, nullptr)) lessor->released(*this);
}

// --- both ---

std::vector<Datagram> Lease::copies_of(std::span<Datagram> datagrams, Overhead room) {
  std::vector<Datagram> copies;
  copies.reserve(datagrams.size());
  for (Datagram& datagram : datagrams) {
    copies.push_back(
        {.payload = Buffer::copy_of(std::as_const(datagram.payload).span(), room), .peer = std::move(datagram.peer)});
  }
  return copies;
}

std::size_t Lease::enqueue(Queue& queue, std::vector<Datagram> copies) {
  std::size_t taken = 0;
  for (Datagram& datagram : copies) {
    if (queue.bytes + datagram.payload.capacity() > kQueue) break;
    queue.bytes += datagram.payload.capacity();
    queue.waiting.push_back(std::move(datagram));
    ++taken;
  }
  return taken;
}

std::vector<Datagram> Lease::take(Queue& queue) {
  queue.posted = false;
  queue.bytes = 0;
  return std::exchange(queue.waiting, {});
}

}  // namespace winze::chain
