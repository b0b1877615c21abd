#include "socks_associate.h"

#include <utility>

#include "winze/base/error.h"
#include "winze/io/codec_stream.h"
#include "winze/layer/client.h"
#include "winze/layer/socks_association.h"

namespace winze::socks {
namespace {

// One step after the other; `step` cancels whichever is under way.
struct Associate : std::enable_shared_from_this<Associate> {
  Associate(Environment& env, DialerPtr dialer, std::shared_ptr<const ClientOptions> client_options,
            const Destination& at, const Destination& to, Dialer::ConduitHandler on_done)
      : environment(env),
        below(std::move(dialer)),
        options(std::move(client_options)),
        server(at),
        destination(to),
        handler(std::move(on_done)) {
    destination.network = Network::kUdp;
  }

  void dial() {
    Destination over_tcp = destination;
    over_tcp.network = Network::kTcp;
    step = below->dial(over_tcp, [self = shared_from_this()](const DialError& error, StreamPtr stream) {
      self->step.detach();
      if (error || self->cancelled) return self->finish(error, nullptr);
      self->ask(std::move(stream));
    });
  }

  void ask(StreamPtr stream) {
    step = open_codec(environment, std::move(stream), std::make_unique<ClientCodec>(options, destination),
                      kOpeningTimeout, [self = shared_from_this()](Opened opened) {
                        self->step.detach();
                        if (opened.error || self->cancelled)
                          return self->finish({opened.error, detail_of(opened)}, nullptr);
                        self->relay = static_cast<ClientCodec*>(opened.codec)->bound();
                        self->control = std::move(opened.stream);
                        self->open();
                      });
  }

  void open() {
    if (relay.address() != nullptr && relay.address()->is_unspecified()) {
      relay.host = is_everyone(server) ? decltype(relay.host)(control->remote().address) : server.host;
    }
    if (relay.port == 0) return finish(Errc::kBadReply, nullptr);
    step = below->open_conduit(relay, [self = shared_from_this()](const DialError& error, ConduitPtr datagrams) {
      self->step.detach();
      if (error || self->cancelled) return self->finish(error, nullptr);
      self->finish({},
                   client_association(std::move(self->control), std::move(datagrams), self->relay, self->destination));
    });
  }

  void finish(DialError error, ConduitPtr conduit) {
    if (cancelled) error = winze::Errc::kAborted;
    control.reset();
    std::exchange(handler, nullptr)(std::move(error), std::move(conduit));
  }

  Environment& environment;
  DialerPtr below;
  std::shared_ptr<const ClientOptions> options;
  Destination server;
  Destination destination;
  Destination relay;
  StreamPtr control;
  Pending step;
  Dialer::ConduitHandler handler;
  bool cancelled = false;
};

}  // namespace

Pending associate(Environment& environment, DialerPtr below, std::shared_ptr<const ClientOptions> options,
                  const Destination& server, const Destination& destination, Dialer::ConduitHandler handler) {
  auto associating = std::make_shared<Associate>(environment, std::move(below), std::move(options), server, destination,
                                                 std::move(handler));
  associating->dial();
  return Pending([weak = std::weak_ptr(associating)] {
    const auto strong = weak.lock();
    if (!strong) return;
    strong->cancelled = true;
    strong->step.cancel();
  });
}

}  // namespace winze::socks
