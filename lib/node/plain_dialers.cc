#include "plain_dialers.h"

#include <asio/post.hpp>
#include <utility>

#include "winze/io/conduit_layer.h"
#include "winze/io/inbox.h"
#include "winze/io/memory.h"

namespace winze::node {
namespace {

struct Redirect {
  std::string host;
  std::uint16_t port = 0;

  Destination of(const Destination& asked) const {
    Destination to = asked;
    if (!host.empty()) to = Destination(host, to.port, to.network);
    if (port != 0) to.port = port;
    return to;
  }
};

class RedirectLayer final : public DatagramLayer {
 public:
  explicit RedirectLayer(Redirect redirect) : redirect_(std::move(redirect)) {}
  Verdict outgoing(Datagram& datagram) override {
    asked_ = std::exchange(datagram.peer, redirect_.of(datagram.peer));
    return Verdict::kPass;
  }
  bool incoming(Datagram& datagram) override {
    datagram.peer = asked_;
    return true;
  }

 private:
  Redirect redirect_;
  Destination asked_;
};

class RedirectDialer final : public Dialer {
 public:
  RedirectDialer(DialerPtr below, Redirect redirect) : below_(std::move(below)), redirect_(std::move(redirect)) {}

  Pending dial(const Destination& asked, Handler handler) override {
    return below_->dial(redirect_.of(asked), std::move(handler));
  }
  Pending open_conduit(const Destination& asked, ConduitHandler handler) override {
    if (!is_everyone(asked)) return below_->open_conduit(redirect_.of(asked), std::move(handler));
    return below_->open_conduit(
        asked, [redirect = redirect_, handler = std::move(handler)](std::error_code error, ConduitPtr conduit) mutable {
          if (error) return handler(error, nullptr);
          handler({}, layered_conduit(std::move(conduit), std::make_shared<RedirectLayer>(std::move(redirect))));
        });
  }
  const Executor& executor() const override { return below_->executor(); }

 private:
  DialerPtr below_;
  Redirect redirect_;
};

class BlackholeConduit final : public PacketConduit {
 public:
  explicit BlackholeConduit(const Executor& executor) : executor_(executor), nothing_(executor) {}
  std::size_t send(std::span<Datagram> datagrams) override { return datagrams.size(); }
  void receive(ReceiveHandler handler) override { nothing_.receive(std::move(handler)); }
  void close() override { nothing_.close(); }
  std::size_t mtu() const override { return 65535; }
  Overhead overhead() const override { return {}; }
  std::uint64_t dropped() const override { return 0; }
  const Executor& executor() const override { return executor_; }

 private:
  Executor executor_;
  DatagramInbox nothing_;
};

class BlackholeDialer final : public Dialer {
 public:
  BlackholeDialer(Environment& environment, bool http_response)
      : environment_(environment), http_response_(http_response) {}

  Pending dial(const Destination&, Handler handler) override {
    auto [mine, theirs] = memory_pair(environment_);
    if (http_response_) {
      mine->write(
          Buffer::copy_of("HTTP/1.1 403 Forbidden\r\nConnection: close\r\nCache-Control: max-age=3600, public\r\n"
                          "Content-Length: 0\r\n\r\n"),
          [](std::error_code) {});
    }
    // Dropping `mine` is the end of the stream, behind what was written.
    asio::post(environment_.executor, [handler = std::move(handler), theirs = std::move(theirs)]() mutable {
      handler({}, std::move(theirs));
    });
    return {};
  }
  Pending open_conduit(const Destination&, ConduitHandler handler) override {
    asio::post(environment_.executor, [handler = std::move(handler), executor = environment_.executor]() mutable {
      handler({}, std::make_unique<BlackholeConduit>(executor));
    });
    return {};
  }
  const Executor& executor() const override { return environment_.executor; }

 private:
  Environment& environment_;
  bool http_response_;
};

}  // namespace

DialerPtr redirect_dialer(DialerPtr below, std::string host, std::uint16_t port) {
  return std::make_shared<RedirectDialer>(std::move(below), Redirect{std::move(host), port});
}

DialerPtr blackhole_dialer(Environment& environment, bool http_response) {
  return std::make_shared<BlackholeDialer>(environment, http_response);
}

}  // namespace winze::node
