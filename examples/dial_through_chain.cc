// Dials through VLESS over WebSocket over TLS with co_await, and fetches a page:
//   dial_through_chain SERVER:PORT USER_ID ROOT_CERTIFICATE.pem TARGET:PORT [PATH]
#include <winze/base/status.h>
#include <winze/chain/chain.h>
#include <winze/io/asio_adapter.h>
#include <winze/io/system.h>
#include <winze/io/tcp.h>
#include <winze/proto/user_id.h>

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/read.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

namespace {

asio::awaitable<void> fetch(winze::Dialer& dialer, winze::Destination target, std::string path, int& status) {
  std::error_code error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  winze::StreamPtr dialed = co_await winze::async_dial(dialer, target, token);
  if (error) {
    std::fprintf(stderr, "cannot reach %s: %s\n", target.to_string().c_str(), error.message().c_str());
    co_return;
  }
  winze::AsioStream stream(std::move(dialed));
  const std::string request = "GET " + path + " HTTP/1.0\r\nHost: " + target.to_string() + "\r\n\r\n";
  co_await asio::async_write(stream, asio::buffer(request), token);
  std::string answer;
  if (!error) co_await asio::async_read(stream, asio::dynamic_buffer(answer, 1 << 20), token);
  std::fwrite(answer.data(), 1, answer.size(), stdout);
  if (error && error != asio::error::eof) {
    std::fprintf(stderr, "%s\n", error.message().c_str());
  } else {
    status = 0;
  }
}

}  // namespace

int main(int argc, char** argv) {
  const auto server = winze::parse_host_port(argc > 4 ? argv[1] : "");
  const auto id = winze::parse_user_id(argc > 4 ? argv[2] : "");
  const auto target = winze::parse_host_port(argc > 4 ? argv[4] : "");
  if (!server || !id || !target) {
    std::fputs("usage: dial_through_chain SERVER:PORT USER_ID ROOT_CERTIFICATE.pem TARGET:PORT [PATH]\n", stderr);
    return 2;
  }
  std::ifstream file(argv[3]);
  const std::string roots(std::istreambuf_iterator<char>(file), {});
  auto tls =
      winze::tls::ClientContext::create({.alpn = {"http/1.1"}, .system_roots = roots.empty(), .roots_pem = {roots}});
  if (!tls.ok()) {
    std::fprintf(stderr, "%s: %s\n", argv[3], std::string(winze::message_of(tls.status())).c_str());
    return 1;
  }

  asio::io_context context(1);
  winze::SystemEnvironment system(context.get_executor());
  const std::string name = server->host_text();
  const winze::DialerPtr dialer = winze::chain::via(winze::tcp_to(system, *server))
                                      .over(winze::tls::client(*tls, name))
                                      .over(winze::ws::client({.host = name, .path = "/tunnel"}))
                                      .over(winze::vless::client(*id))
                                      .dialer(system);
  int status = 1;
  asio::co_spawn(context, fetch(*dialer, *target, argc > 5 ? argv[5] : "/", status), asio::detached);
  context.run();
  return status;
}
