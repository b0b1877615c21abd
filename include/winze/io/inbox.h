// What has arrived at a conduit and waits until it is asked for. For those who write conduits whose datagrams come from
// elsewhere than a descriptor: several streams, or a socket that others share.
#pragma once

#include <cstddef>
#include <memory>
#include <system_error>

#include "winze/base/error.h"
#include "winze/io/conduit.h"

namespace winze {

class DatagramInbox {
 public:
  // Holds datagrams in buffers of at most `limit` bytes together, their room included.
  explicit DatagramInbox(const Executor& executor, std::size_t limit = 512 << 10);
  ~DatagramInbox() { close(); }
  DatagramInbox(const DatagramInbox&) = delete;
  DatagramInbox& operator=(const DatagramInbox&) = delete;

  // Takes a datagram in; false, and nothing done, when there is no room for it or nobody will ask any more.
  [[nodiscard]] bool push(Datagram& datagram);
  // Says what PacketConduit::receive() does.
  void receive(PacketConduit::ReceiveHandler handler);
  // A pending receive gets `error`, later ones Errc::kClosed.
  void close(std::error_code error = Errc::kAborted);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace winze
