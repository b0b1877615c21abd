// Dials through a chain of an installed winze: VLESS in TLS to a server that is not there.
#include <asio/io_context.hpp>
#include <cstdio>

#include "winze/chain/chain.h"
#include "winze/io/system.h"
#include "winze/io/tcp.h"
#include "winze/layer/client.h"

int main() {
  asio::io_context context;
  winze::SystemEnvironment system(context.get_executor());
  auto tls = winze::tls::ClientContext::create({});
  if (!tls.ok()) return 1;
  auto dialer = winze::chain::via(winze::tcp_to(system, {"127.0.0.1", 1}))
                    .over(winze::tls::client(*tls, "proxy.example"))
                    .over(winze::vless::client(winze::Uuid()))
                    .dialer(system);
  std::error_code result;
  auto dialing = dialer->dial({"example.org", 80}, [&](std::error_code error, winze::StreamPtr) { result = error; });
  context.run();
  std::printf("%s\n", result.message().c_str());
  return result == std::errc::connection_refused ? 0 : 1;
}
