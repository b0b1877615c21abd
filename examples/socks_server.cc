// A SOCKS5 (and 4, 4a) server in a few lines: socks_server [ADDRESS] [PORT]
#include <winze/chain/server.h>
#include <winze/io/system.h>
#include <winze/io/tcp.h>
#include <winze/proto/socks/server.h>

#include <asio/io_context.hpp>
#include <asio/signal_set.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string_view>

int main(int argc, char** argv) {
  const auto address = winze::IpAddress::parse(argc > 1 ? argv[1] : "127.0.0.1");
  const int port = argc > 2 ? std::atoi(argv[2]) : 1080;
  if (!address || port < 0 || port > 65535) {
    std::fputs("usage: socks_server [ADDRESS] [PORT]   (default: 127.0.0.1 1080)\n", stderr);
    return 2;
  }
  asio::io_context context(1);
  winze::SystemEnvironment system(context.get_executor());

  auto inbound = std::make_shared<winze::chain::Inbound>();
  inbound->protocol = "socks";
  inbound->make_proxy = [](const winze::chain::Connection&) {
    return std::make_unique<winze::socks::ServerCodec>(winze::socks::ServerOptions{});
  };
  inbound->router = [direct = winze::tcp_dialer(system)](const winze::chain::Connection&) {
    return winze::chain::Route{"direct", direct};
  };
  inbound->on_end = [](const winze::chain::Connection& c) {
    std::printf("%s -> %s: %llu bytes up, %llu down%s%s\n", c.source.to_string().c_str(),
                c.destination.to_string().c_str(), static_cast<unsigned long long>(c.up),
                static_cast<unsigned long long>(c.down), c.error ? ", " : "", c.error ? c.error.message().c_str() : "");
    std::fflush(stdout);
  };

  winze::ListenResult listening = winze::tcp_listen(system, {*address, static_cast<std::uint16_t>(port)});
  if (listening.error) {
    std::fprintf(stderr, "%s\n", listening.what.c_str());
    return 1;
  }
  winze::chain::Server server(system, std::move(listening.listener), inbound);
  std::printf("SOCKS on %s\n", server.local().to_string().c_str());
  std::fflush(stdout);
  asio::signal_set signals(context, SIGINT, SIGTERM);
  signals.async_wait([&](std::error_code, int) { server.stop(std::chrono::seconds(5), [&] { context.stop(); }); });
  context.run();
}
