// A conduit whose ends may be on different executors: a session's hold on an association. The near end is the
// session's, the home end the association's. Each posts to the other's executor, and only while the other end is there.
#pragma once

#include <absl/functional/any_invocable.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "winze/io/dialer.h"
#include "winze/io/inbox.h"

namespace winze::chain {

class Lease;

// Who grants leases, on the home executor.
class Lessor {
 public:
  // While a lease is granted.
  virtual PacketConduit& conduit() = 0;
  // The session is gone.
  virtual void released(const Lease& lease) = 0;

 protected:
  ~Lessor() = default;
};

class Lease : public std::enable_shared_from_this<Lease> {
 public:
  // `gone`: there is no association any more.
  using Answer = absl::AnyInvocable<void(const DialError& error, bool gone)>;

  // `answer` is called on `near`, once, unless the lease is closed before.
  Lease(Executor near, Answer answer);

  // Once, before anything else below. The home end is there from now on, until end().
  void ask(Executor home);

  // --- near ---

  void close();
  // Once granted; closing it closes the lease.
  ConduitPtr make_conduit();

  // --- home ---

  // False: nobody wants it any more.
  bool attach(std::shared_ptr<Lessor> lessor);
  void grant();
  void deliver(std::span<Datagram> datagrams);
  void end(const DialError& error, bool gone = false);

 private:
  class Conduit;
  // Datagrams on their way to an end, which a posted call of that end will take.
  struct Queue {
    std::vector<Datagram> waiting;
    std::size_t bytes = 0;
    bool posted = false;
  };

  std::size_t send(std::span<Datagram> datagrams);
  std::size_t pass(std::span<Datagram> datagrams);
  std::size_t enqueue(Queue& queue, std::vector<Datagram> copies);
  static std::vector<Datagram> copies_of(std::span<Datagram> datagrams, Overhead room);
  static std::vector<Datagram> take(Queue& queue);
  void on_up();
  void on_down();
  void on_end(const DialError& error, bool gone);
  void on_released();
  void reserve(Overhead room);

  const Executor near_;
  Executor home_;
  bool crosses_ = false;

  // Near.
  Answer answer_;
  DatagramInbox inbox_;

  // Home.
  std::shared_ptr<Lessor> lessor_;
  std::uint64_t dropped_before_ = 0;  // by the conduit
  // Home's until the lease is granted, then near's.
  Overhead overhead_;
  std::size_t mtu_ = 0;

  std::atomic<std::uint64_t> dropped_{0};        // by this
  std::atomic<std::uint64_t> dropped_below_{0};  // by the conduit

  std::mutex mutex_;  // guards what follows
  bool near_gone_ = false;
  bool home_gone_ = true;
  Queue up_, down_;
  Overhead room_;  // that the near end wants
};

}  // namespace winze::chain
