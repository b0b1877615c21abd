// An EAP peer before a malicious server. The first byte says which methods it takes; then packets, each behind its
// size. No sequence of them makes a success of MSCHAPv2 or TLS, whose servers have to prove something; and no password
// leaves but by GTC.
#include <algorithm>

#include "support/require.h"
#include "winze/base/bytes.h"
#include "winze/proto/eap/peer.h"

namespace {

using namespace winze;
using namespace winze::eap;
using winze::test::require;

// Talks whatever was put into it, and is never done.
class EchoTls final : public TlsEngine {
 public:
  Progress advance(std::span<const std::uint8_t> in, std::vector<std::uint8_t>& out) override {
    out.insert(out.end(), in.begin(), in.end());
    if (in.empty()) out.push_back(22);
    return in.size() == 13 ? Progress::kFailed : Progress::kMore;
  }
  void set_waker(absl::AnyInvocable<void()>) override {}
  Secret master_session_key() const override { return {}; }
  std::string peer_name(std::string_view) const override { return {}; }
  std::string detail() const override { return "fuzz"; }
};

constexpr std::string_view kPassword = "correct horse";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  SeededRandom random(1);
  PeerOptions options{.identity = "alice", .password = Secret(kPassword)};
  options.tls = [] { return std::make_unique<EchoTls>(); };
  options.legacy = (data[0] & 1) != 0;
  if (options.legacy) options.methods = {Method::kMd5, Method::kGtc, Method::kTls, Method::kMschapV2};
  Peer peer(std::move(options), random);
  Reader in({data + 1, size - 1});
  bool over = false;
  while (in.remaining() > 2) {
    const std::size_t length = in.u16();
    const auto packet = in.bytes(std::min(length, in.remaining()));
    int calls = 0;
    peer.receive(packet, [&](Step step) {
      ++calls;
      const auto method = peer.method();
      require(!over || step.kind == Step::Kind::kDiscard);
      require((step.kind == Step::Kind::kSend) == !step.packet.empty());
      if (step.kind == Step::Kind::kSuccess) require(method && is_legacy(*method));
      if (method != Method::kGtc) require(std::ranges::search(step.packet, as_bytes(kPassword)).empty());
      over |= step.kind == Step::Kind::kSuccess || step.kind == Step::Kind::kFailure;
    });
    require(calls == 1 && peer.msk().empty());
  }
  return 0;
}
