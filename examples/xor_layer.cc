// A user-written layer at every place of a chain: under WebSocket, between WebSocket and VLESS, and on top. Server and
// client are in this process; what is sent comes back from an echo server behind the chain.
#include <winze/chain/chain.h>
#include <winze/chain/server.h>
#include <winze/io/system.h>
#include <winze/io/tcp.h>
#include <winze/proto/vless/codec.h>

#include <asio/io_context.hpp>
#include <cstdio>
#include <functional>
#include <string>

#include "xor_codec.h"

using namespace winze;

namespace {

enum class Place { kUnderWebSocket, kUnderVless, kOnTop };

Layer xor_layer(std::string key) {
  return [key](Environment& env, DialerPtr below) {
    return codec_dialer(
        env, std::move(below), [key](const Destination&) { return std::make_unique<XorCodec>(key); }, kOpeningTimeout);
  };
}

// Sends back what it gets.
void echo(std::shared_ptr<Stream> stream) {
  stream->read([stream](std::error_code error, Buffer data) {
    if (error) return;
    stream->write(std::move(data), [stream](std::error_code write_error) {
      if (!write_error) echo(stream);
    });
  });
}
void serve_echo(Listener& listener) {
  listener.accept([&listener](std::error_code error, StreamPtr stream) {
    if (error) return;
    echo(std::move(stream));
    serve_echo(listener);
  });
}

std::shared_ptr<chain::Inbound> server_chain(Environment& env, Place place, const Uuid& id) {
  auto inbound = std::make_shared<chain::Inbound>();
  const chain::Inbound::Transport own{"xor", [] { return std::make_unique<XorCodec>("key"); }, nullptr};
  auto ws_options = std::make_shared<const ws::ServerOptions>();
  if (place == Place::kUnderWebSocket) inbound->transports.push_back(own);
  inbound->transports.push_back(
      {"ws", [ws_options] { return std::make_unique<ws::ServerCodec>(ws_options); }, nullptr});
  if (place == Place::kUnderVless) inbound->transports.push_back(own);
  auto users = std::make_shared<vless::UserTable>();
  users->add(id, {.name = "you"});
  inbound->protocol = "vless";
  inbound->make_proxy = [users](const chain::Connection&) { return std::make_unique<vless::ServerCodec>(users); };
  inbound->router = [direct = tcp_dialer(env)](const chain::Connection&) { return chain::Route{"direct", direct}; };
  return inbound;
}

DialerPtr client_chain(Environment& env, Place place, const Uuid& id, const Endpoint& server) {
  chain::Via chain = chain::via(tcp_to(env, Destination(server.address.to_string(), server.port)));
  if (place == Place::kUnderWebSocket) chain.over(xor_layer("key"));
  chain.over(ws::client({.host = "a.test"}));
  if (place == Place::kUnderVless) chain.over(xor_layer("key"));
  chain.over(vless::client(id));
  // The echo server sends back the bytes as they are, so on top both ends are ours.
  if (place == Place::kOnTop) chain.over(xor_layer("key"));
  return chain.dialer(env);
}

}  // namespace

int main() {
  int good = 0;
  for (Place place : {Place::kUnderWebSocket, Place::kUnderVless, Place::kOnTop}) {
    asio::io_context context(1);
    SystemEnvironment system(context.get_executor());
    Environment& env = system;
    const Endpoint any{*IpAddress::parse("127.0.0.1"), 0};
    ListenResult origin = tcp_listen(env, any), front = tcp_listen(env, any);
    if (origin.error || front.error) return std::fprintf(stderr, "%s%s\n", origin.what.c_str(), front.what.c_str()), 1;
    serve_echo(*origin.listener);
    const Uuid id = Uuid::random(env.random);
    const Endpoint server_at = front.listener->local();
    chain::Server server(env, std::move(front.listener), server_chain(env, place, id));

    const DialerPtr dialer = client_chain(env, place, id, server_at);
    const Endpoint at = origin.listener->local();
    StreamPtr stream;
    std::string received;
    std::function<void()> read = [&] {
      stream->read([&](std::error_code error, Buffer data) {
        received += data.text();
        if (error || received.size() >= 5) return context.stop();
        read();
      });
    };
    const Pending dial =
        dialer->dial(Destination(at.address.to_string(), at.port), [&](std::error_code error, StreamPtr s) {
          if (error) return context.stop();
          stream = std::move(s);
          stream->write(Buffer::copy_of("hello", stream->overhead()), [&](std::error_code) { read(); });
        });
    context.run_for(std::chrono::seconds(10));
    static constexpr const char* kPlaces[] = {"under WebSocket", "between WebSocket and VLESS", "on top"};
    std::printf("%-28s sent \"hello\", received \"%s\"\n", kPlaces[static_cast<int>(place)], received.c_str());
    good += received == "hello";
  }
  return good == 3 ? 0 : 1;
}
