// A Stream over one connected, non-blocking stream socket (TCP or Unix).
#pragma once

#include <asio/basic_stream_socket.hpp>
#include <asio/generic/stream_protocol.hpp>
#include <memory>

#include "winze/io/stream.h"

namespace winze {

using Socket = asio::basic_stream_socket<asio::generic::stream_protocol, Executor>;

// Of a socket that we connected.
StreamPtr connected_stream(Environment& environment, Socket socket);
// Of one that we accepted.
StreamPtr accepted_stream(Environment& environment, int fd);

// Endpoint <-> sockaddr.
struct sockaddr_any {
  alignas(8) unsigned char bytes[128];
  unsigned size;
};
sockaddr_any to_sockaddr(const Endpoint& endpoint);
Endpoint from_sockaddr(const sockaddr_any& address);
Endpoint local_endpoint(int fd);
Endpoint remote_endpoint(int fd);

std::error_code last_system_error();

}  // namespace winze
