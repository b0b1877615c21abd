#include "mux_pool.h"

#include <algorithm>
#include <asio/post.hpp>
#include <list>
#include <utility>
#include <vector>

#include "winze/base/error.h"
#include "winze/layer/mux_carrier.h"
#include "winze/proto/mux/error.h"

namespace winze::mux {
namespace {

// A sub-stream asked for. Answered once.
struct Request {
  Opening opening;
  Dialer::Handler on_stream;
  Dialer::ConduitHandler on_conduit;  // one of the two

  bool waits() const { return on_stream != nullptr || on_conduit != nullptr; }
  void fail(const DialError& error) {
    if (auto handler = std::exchange(on_stream, nullptr)) handler(error, nullptr);
    if (auto handler = std::exchange(on_conduit, nullptr)) handler(error, nullptr);
  }
};
using RequestPtr = std::shared_ptr<Request>;

class CarrierPool final : public Pool {
 public:
  CarrierPool(Environment& environment, DialerPtr below, PoolOptions options)
      : environment_(environment), below_(std::move(below)), options_(std::move(options)) {
    if (options_.shared) options_.shared->join();
  }
  ~CarrierPool() override {
    if (!options_.shared) return;
    if (lines_.size() > 1) options_.shared->give_back(lines_.size() - 1);
    options_.shared->leave();
  }

  Pending open_stream(const Opening& opening, Dialer::Handler handler) override {
    return open(std::make_shared<Request>(Request{opening, std::move(handler), nullptr}));
  }
  Pending open_conduit(const Opening& opening, Dialer::ConduitHandler handler) override {
    return open(std::make_shared<Request>(Request{opening, nullptr, std::move(handler)}));
  }
  std::size_t carriers() const override { return lines_.size(); }

 private:
  // A carrier, or one that is being dialed with those who wait for it.
  struct Line {
    std::unique_ptr<Carrier> carrier;
    Pending dialing;
    std::vector<RequestPtr> waiting;

    std::size_t streams() const { return (carrier ? carrier->streams() : 0) + waiting.size(); }
    bool may_open() const { return !carrier || carrier->may_open(); }
  };

  Pending open(const RequestPtr& request) {
    place(request);
    return Pending([&environment = environment_, request] {
      if (!request->waits()) return;
      asio::post(environment.executor, [request] { request->fail(winze::Errc::kAborted); });
    });
  }

  void place(const RequestPtr& request) {
    Line* line = choose();
    if (line == nullptr) line = &dial();
    line->waiting.push_back(request);
    if (!line->carrier) return;
    asio::post(environment_.executor, [weak = weak_from_this(), line] {
      if (const auto pool = weak.lock()) static_cast<CarrierPool&>(*pool).serve_waiting(line);
    });
  }

  // The first carrier with room; null: another is wanted.
  Line* choose() {
    Line* least = nullptr;
    for (Line& line : lines_) {
      if (!line.may_open() || (options_.max_streams != 0 && line.streams() >= options_.max_streams)) continue;
      if (least == nullptr || line.streams() < least->streams()) least = &line;
      if (options_.max_carriers == 0 && options_.min_streams == 0) return &line;
    }
    if (least == nullptr) {
      if (options_.shared && !lines_.empty()) options_.shared->take();
      return nullptr;
    }
    // An idle one is always better than a new one.
    if (least->streams() < std::max<std::size_t>(options_.min_streams, 1)) return least;
    return may_have_another() ? nullptr : least;
  }

  bool may_have_another() {
    if (options_.max_carriers == 0) return true;
    return options_.shared ? options_.shared->take(options_.max_carriers) : lines_.size() < options_.max_carriers;
  }

  Line& dial() {
    Line& line = lines_.emplace_back();
    line.dialing = below_->dial(options_.carrier, [weak = weak_from_this(), keep = below_, at = &line](
                                                      const DialError& error, StreamPtr stream) {
      if (const auto pool = weak.lock()) static_cast<CarrierPool&>(*pool).dialed(at, error, std::move(stream));
    });
    return line;
  }

  void dialed(Line* line, const DialError& error, StreamPtr stream) {
    line->dialing.detach();
    if (error) {
      const std::vector<RequestPtr> waiting = std::exchange(line->waiting, {});
      forget(line);
      for (const RequestPtr& request : waiting) request->fail(error);
      return;
    }
    line->carrier = std::make_unique<Carrier>(environment_, std::move(stream), options_.make_session(),
                                              CarrierOptions{.idle = options_.idle}, nullptr,
                                              [weak = weak_from_this(), line](std::error_code) {
                                                if (const auto pool = weak.lock())
                                                  static_cast<CarrierPool&>(*pool).ended(line);
                                              });
    serve_waiting(line);
  }

  // `line` may be gone.
  void serve_waiting(Line* line) {
    if (!is_there(line) || !line->carrier) return;
    for (const RequestPtr& request : std::exchange(line->waiting, {})) {
      // The handlers may end the carrier; others open nothing more.
      if (request->waits() && !(is_there(line) && serve(*line->carrier, *request))) place(request);
    }
  }

  static bool serve(Carrier& carrier, Request& request) {
    if (request.on_stream) {
      StreamPtr stream = carrier.open_stream(request.opening);
      if (stream) std::exchange(request.on_stream, nullptr)({}, std::move(stream));
    } else {
      ConduitPtr conduit = carrier.open_conduit(request.opening);
      if (conduit) std::exchange(request.on_conduit, nullptr)({}, std::move(conduit));
    }
    return !request.waits();
  }

  void ended(Line* line) {
    if (!is_there(line)) return;
    const std::vector<RequestPtr> waiting = std::exchange(line->waiting, {});
    forget(line);
    for (const RequestPtr& request : waiting) {
      if (request->waits()) place(request);
    }
  }

  bool is_there(const Line* line) const {
    return std::ranges::any_of(lines_, [&](const Line& other) { return &other == line; });
  }
  void forget(Line* line) {
    if (options_.shared && lines_.size() > 1) options_.shared->give_back(1);
    lines_.remove_if([&](const Line& other) { return &other == line; });
  }

  Environment& environment_;
  DialerPtr below_;
  PoolOptions options_;
  std::list<Line> lines_;
};

}  // namespace

std::shared_ptr<Pool> make_pool(Environment& environment, DialerPtr below, PoolOptions options) {
  return std::make_shared<CarrierPool>(environment, std::move(below), std::move(options));
}

}  // namespace winze::mux
