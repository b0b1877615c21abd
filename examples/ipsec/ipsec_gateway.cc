// An IPsec gateway: takes peers in as swanctl.conf (or the "ipsec" section of winze's JSON) says, and carries the
// packets of a TUN interface; or, with --echo, answers pings itself, without any interface.
#include <cstdio>

#include "echo.h"
#include "site.h"

int main(int argc, char** argv) {
  using namespace winze;
  CLI::App app("Serves IKEv2 clients.");
  ipsec_example::Site site(app, "ipsec_gateway");
  bool echo = false;
  app.add_flag("--echo", echo, "Answer pings, and nothing else; needs no privileges");
  std::string redirect_to;
  app.add_option("--redirect-to", redirect_to, "Send clients that follow to this gateway, an address or a name");
  CLI11_PARSE(app, argc, argv);

  std::vector<Buffer> replies;
  const auto answer = [&](std::span<Datagram> packets) {
    for (Datagram& packet : packets) {
      if (ipsec_example::answer_echo(packet.payload)) replies.push_back(std::move(packet.payload));
    }
    site.feed().deliver(replies);
    replies.clear();
  };
  return site.run([&](node::IpsecOptions& options, node::IpsecSettings& settings) {
    if (!redirect_to.empty()) options.redirect_to = redirect_to;
    if (echo) settings.inner = site.packets(answer);
  });
}
