// Packets in both directions, in batches: a UDP socket, a TUN device, a pair of ESP SAs, a SOCKS5 UDP association, a
// pair of callbacks.
#pragma once

#include <absl/functional/any_invocable.h>

#include <cstdint>
#include <memory>
#include <span>
#include <system_error>

#include "winze/base/address.h"
#include "winze/base/buffer.h"
#include "winze/io/environment.h"

namespace winze {

struct Datagram {
  Buffer payload;
  Destination peer;  // whom it goes to or came from; empty for conduits with one peer (TUN, a connected socket)
  std::uint8_t traffic_class = 0;  // of the outer header: DSCP (6 bits), ECN (2)
  IpAddress local = {};            // of this host, that it came to, or is to come from; unspecified: any
  bool may_be_cut = false;         // on its way, although the conduit sends without (PathMtu::kDiscover)
};

// What was sent is more than its path takes.
struct TooBig {
  Destination peer;
  std::size_t mtu = 0;  // of the path: whole IP packets of so many bytes pass
  // This host's own word. Otherwise that of an ICMP message, which anybody can send: hold `quoted`, the beginning of
  // the datagram that it speaks of, against what was sent (RFC 4301 section 6, RFC 8085 section 5.2).
  bool local = false;
  std::span<const std::uint8_t> quoted;
};

class PacketConduit {
 public:
  // The datagrams belong to the handler, which may move the payloads out.
  using ReceiveHandler = absl::AnyInvocable<void(std::error_code, std::span<Datagram>)>;

  virtual ~PacketConduit() = default;

  // Sends what can be sent now and counts the rest as dropped; never blocks. May move the payloads out. Returns how
  // many were taken.
  virtual std::size_t send(std::span<Datagram> datagrams) = 0;
  // Delivers at least one datagram, or an error. One receive is pending at most (Errc::kBusy). The handler is called
  // exactly once, never inside this call.
  virtual void receive(ReceiveHandler handler) = 0;
  // Cancels: a pending receive gets Errc::kAborted. So does destruction.
  virtual void close() = 0;

  // The largest payload that goes through, in bytes.
  virtual std::size_t mtu() const = 0;
  virtual Overhead overhead() const = 0;
  // Room that receive() leaves around the payloads, from the next one on. Without it they may have none.
  virtual void reserve(Overhead) {}
  // `handler` is called from within send() and between receives, where the conduit looks for path MTUs. It must not
  // destroy the conduit.
  using TooBigHandler = absl::AnyInvocable<void(const TooBig&)>;
  virtual void on_too_big(TooBigHandler) {}
  // Datagrams dropped so far: that send() could not take, or that came and did not belong here.
  virtual std::uint64_t dropped() const = 0;
  virtual const Executor& executor() const = 0;
};

using ConduitPtr = std::unique_ptr<PacketConduit>;

}  // namespace winze
