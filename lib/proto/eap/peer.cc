#include "winze/proto/eap/peer.h"

#include <algorithm>
#include <utility>

#include "method.h"
#include "packet.h"

namespace winze::eap {
namespace {

// No method needs more, with certificates in the smallest fragments.
constexpr int kMaxPackets = 256;

}  // namespace

struct Peer::State {
  PeerOptions options;
  Random& random;
  std::unique_ptr<PeerMethod> method;
  Method type{};
  std::vector<std::uint8_t> last_request, last_reply;  // which is sent again for the same request
  int packets = 0;
  bool over = false;
  Secret msk;

  State(PeerOptions given, Random& source) : options(std::move(given)), random(source) {
    if (options.methods.empty()) options.methods = {Method::kTls, Method::kMschapV2};
    std::erase_if(options.methods, [&](Method one) { return !usable(one); });
    if (options.user.empty()) options.user = options.identity;
  }

  bool usable(Method one) const {
    if (is_legacy(one) && !options.legacy) return false;
    return one == Method::kTls ? static_cast<bool>(options.tls) : !options.password.empty();
  }

  void receive(std::span<const std::uint8_t> bytes, StepHandler done) {
    const auto packet = Packet::parse(bytes);
    if (!packet || packet->code == Code::kResponse || over) return done({});
    if (packet->code == Code::kSuccess) return done(succeed());
    if (packet->code == Code::kFailure) return done(refused());
    if (++packets > kMaxPackets) return done(fail(Errc::kEndless));
    if (!last_reply.empty() && std::ranges::equal(bytes, last_request)) return done(send(last_reply));
    last_request.assign(bytes.begin(), bytes.end());
    last_reply.clear();
    answer(*packet, std::move(done));
  }

  void answer(const Packet& request, StepHandler done) {
    const auto reply = [&](std::uint8_t kind, std::span<const std::uint8_t> data) {
      done(send(make_packet(Code::kResponse, request.id, kind, data)));
    };
    if (request.type == kIdentity && !method) {
      const auto* text = reinterpret_cast<const std::uint8_t*>(options.identity.data());
      return reply(kIdentity, {text, options.identity.size()});
    }
    if (request.type == kNotification) return reply(kNotification, {});
    if (request.type == kIdentity || request.type == kNak) return done({});
    if (!method && !choose(request.type)) {
      if (options.methods.empty()) return done(fail(Errc::kUnavailable));
      std::vector<std::uint8_t> wanted;
      for (const Method one : options.methods) wanted.push_back(static_cast<std::uint8_t>(one));
      return reply(kNak, wanted);
    }
    // Once a method has begun there is no other (RFC 3748 section 2.1).
    if (request.type != static_cast<std::uint8_t>(type)) return done({});
    method->handle(request.id, request.data, [this, id = request.id, done = std::move(done)](Result result) mutable {
      done(step_of(id, std::move(result)));
    });
  }

  bool choose(std::uint8_t wanted) {
    type = static_cast<Method>(wanted);
    if (std::ranges::find(options.methods, type) == options.methods.end()) return false;
    switch (type) {
      case Method::kMd5:
        method = md5_peer(options.password);
        break;
      case Method::kGtc:
        method = gtc_peer(options.password);
        break;
      case Method::kTls:
        method = tls_peer(options.tls());
        break;
      case Method::kMschapV2:
        method = mschapv2_peer(options.user, options.password, random);
        break;
    }
    return true;
  }

  Step step_of(std::uint8_t id, Result result) {
    switch (result.kind) {
      case Result::Kind::kSend:
        return send(make_packet(Code::kResponse, id, static_cast<std::uint8_t>(type), result.data));
      case Result::Kind::kFail:
        return fail(result.error, std::move(result.detail));
      default:
        return {};
    }
  }

  Step send(std::vector<std::uint8_t> packet) {
    last_reply = packet;
    return {.kind = Step::Kind::kSend, .packet = std::move(packet)};
  }
  // A success counts only where the method is at its end (CVE-2021-45079): before that anybody could have sent it.
  Step succeed() {
    if (!method) return fail(Errc::kUnexpectedSuccess);
    if (!method->may_succeed()) return fail(Errc::kUnexpectedSuccess, method->unfinished());
    msk = method->msk();
    over = true;
    return {.kind = Step::Kind::kSuccess};
  }
  Step refused() { return method ? fail(method->reason(), method->reason_text()) : fail(Errc::kRefused); }
  Step fail(std::error_code error, std::string detail = {}) {
    over = true;
    return {.kind = Step::Kind::kFailure, .error = error, .detail = std::move(detail)};
  }
};

Peer::Peer(PeerOptions options, Random& random) : state_(std::make_unique<State>(std::move(options), random)) {}
Peer::~Peer() = default;

void Peer::receive(std::span<const std::uint8_t> packet, StepHandler done) { state_->receive(packet, std::move(done)); }

std::optional<Method> Peer::method() const { return state_->method ? std::optional(state_->type) : std::nullopt; }

const Secret& Peer::msk() const { return state_->msk; }

}  // namespace winze::eap
