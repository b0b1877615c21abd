// Two engines, and an input of two parts: operations, and the bytes of messages that one end seals with the right keys
// though no engine would send them. Whatever comes: no end breaks, and time brings everything to rest.
//
//   operations(1 byte: 6 bits of count, whether a setting follows, and whether there are further key exchanges;
//              then so many) | bytes
//   a count above 55 also has both ends prove themselves in several rounds
//   setting: EAP, addresses, PPK, small fragments, and, behind a bit that says so, how many messages of the handshake
//            arrive before the operations begin
#include <algorithm>
#include <chrono>
#include <memory>
#include <string_view>

#include "support/ike_rogue.h"
#include "support/require.h"

namespace {

using namespace std::chrono_literals;
using namespace winze;
using namespace winze::ike;
using winze::test::IkePair;
using winze::test::require;

class Input {
 public:
  explicit Input(std::span<const std::uint8_t> bytes) : rest_(bytes) {}
  std::uint8_t u8() {
    if (rest_.empty()) return 0;
    const std::uint8_t first = rest_[0];
    rest_ = rest_.subspan(1);
    return first;
  }
  std::span<const std::uint8_t> bytes(std::size_t n) {
    const auto taken = rest_.first(std::min(n, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }

 private:
  std::span<const std::uint8_t> rest_;
};

class OneUser final : public eap::Passwords {
 public:
  void find(std::string_view user, Handler found) override {
    found(user == "carol" ? std::optional<Secret>(Secret(std::string_view("tumbleweed"))) : std::nullopt);
  }
};

class Session {
 public:
  explicit Session(std::span<const std::uint8_t> input) : operations_({}), bytes_({}) {
    Input all(input);
    const std::uint8_t count = all.u8();
    const std::uint8_t setting = (count & 64) != 0 ? all.u8() : std::uint8_t{0};
    operations_ = Input(all.bytes(count & 63));
    bytes_ = Input(all.bytes(SIZE_MAX));
    Connection a = IkePair::connection(true), b = IkePair::connection(false);
    a.proposals = b.proposals = *parse_proposals(Protocol::kIke, test::kRogueProposal);
    if ((count & 128) != 0) {
      a.proposals = b.proposals = *parse_proposals(Protocol::kIke, "aes128gcm16-prfsha256-x25519-ke1_ecp256");
    }
    a.dpd_delay = b.dpd_delay = 60s;
    a.resumption = b.resumption = true;
    a.follow_redirects = true;
    set(setting, a, b);
    if ((count & 63) > 55) add_rounds(a, b);
    EngineOptions options;
    options.key_log = [this](std::string_view line) { keys_.take(line); };
    pair_ = std::make_unique<IkePair>(7, std::move(options));
    pair_->b.on_event = [this](const Event& event) { answer(event); };
    of_a_ = IkePair::share(a);
    if ((setting & 16) != 0) {
      pair_->bend = [most = setting / 32u, n = 0u](bool, const Buffer&) mutable {
        return IkePair::Fate{n++ < most ? 1u : 0u};
      };
    }
    sa_a_ = pair_->connect(of_a_, IkePair::share(b));
    if (const Up* const up = pair_->b.last<Up>()) sa_b_ = up->sa;
    more_ = std::make_shared<const ChildConfig>(IkePair::child(true));
  }

  void run() {
    pair_->bend = [this](bool, const Buffer&) { return IkePair::Fate{.copies = copies_}; };
    for (unsigned i = 0; i < 24; ++i) {
      step(operations_.u8());
      pair_->drain();
    }
    pair_->bend = nullptr;
    copies_ = 1;
    pair_->run(24h);
    // An inbound SA for each way that the other end may still use, and no more IKE SAs than were made.
    require(pair_->a.engine.size() <= 4 + resumed_.size() && pair_->b.engine.size() <= 4 + resumed_.size());
    require(pair_->a.engine.half_open() == 0);
    for (const SaId sa : resumed_) pair_->a.engine.close(pair_->now, sa);
    pair_->run(1h);
    pair_->a.engine.close(pair_->now, sa_a_);
    pair_->b.engine.close(pair_->now, sa_b_);
    pair_->run(24h);
    require(pair_->a.children.empty() && pair_->b.children.empty());
    require(pair_->a.inbound.empty() && pair_->b.inbound.empty());
  }

 private:
  void set(std::uint8_t setting, Connection& a, Connection& b) {
    if ((setting & 1) != 0) {
      a.local.method = AuthMethod::kEap;
      a.local.eap = std::make_shared<const eap::PeerOptions>(
          eap::PeerOptions{.identity = "carol", .password = Secret(std::string_view("tumbleweed"))});
      b.remote = {.method = AuthMethod::kEap};
      b.remote.eap = [this] { return eap::make_authenticator({.users = std::make_shared<OneUser>()}, random_); };
    }
    if ((setting & 2) != 0) {
      a.request.addresses = {{IpAddress(), 32}, *Prefix::parse("::")};
      a.request.dns = {IpAddress()};
      b.pool = true;
      b.reply.dns = {*IpAddress::parse("10.0.0.53")};
      b.reply.domains = {"corp.example"};
    }
    if ((setting & 4) != 0) {
      for (Connection* const c : {&a, &b}) {
        c->ppks.push_back({"one", Secret(std::string_view("a secret beside the other"))});
        c->ppk_id = "one";
      }
    }
    if ((setting & 8) != 0) a.fragment_size = b.fragment_size = 300;
  }

  // EAP comes behind a secret then.
  static void add_rounds(Connection& a, Connection& b) {
    for (auto [own, peer] : {std::pair(&a, &b), std::pair(&b, &a)}) {
      own->ppk_id.clear();
      own->further_local = {own->local};
      peer->further_remote = {peer->remote};
      own->local = IkePair::connection(own == &a).local;
      peer->remote = IkePair::connection(peer == &a).remote;
    }
  }

  void answer(const Event& event) {
    const auto* const ask = std::get_if<AskAddresses>(&event);
    if (ask == nullptr) return;
    Configuration given;
    given.addresses = {*Prefix::parse("10.1.0.7")};
    pair_->b.engine.answer(pair_->now, ask->id, given);
  }

  // A new address for the client, or the one that it had.
  void move(std::uint8_t which) {
    Path path = pair_->route().floated.value();
    const std::uint8_t address[4] = {198, 51, 100, which};
    if (which != 0) path.local.address = IpAddress::v4(address);
    pair_->a.engine.move(pair_->now, sa_a_, {path, std::nullopt});
  }

  void step(std::uint8_t operation) {
    IkePair& p = *pair_;
    const ChildId child_a = p.a.children.empty() ? ChildId{} : p.a.children.begin()->first;
    const ChildId child_b = p.b.children.empty() ? ChildId{} : p.b.children.begin()->first;
    switch (operation % 16) {
      case 0:
        return p.run(5ms);
      case 1:
        if ((operation & 128) != 0) return move(operation / 16 % 4);
        return p.run(2s);
      case 2:
        return void(p.a.engine.rekey_child(p.now, child_a));
      case 3:
        return void(p.b.engine.rekey_child(p.now, child_b));
      case 4:
        return void(p.a.engine.rekey(p.now, sa_a_));
      case 5:
        return void(p.b.engine.rekey(p.now, sa_b_));
      case 6:
        return void(p.a.engine.delete_child(p.now, child_a));
      case 7:
        return void(p.b.engine.delete_child(p.now, child_b));
      case 8:
        return void(p.a.engine.add_child(p.now, sa_a_, more_));
      case 9:
        return void(p.b.engine.close(p.now, sa_b_));
      case 10:
        copies_ = operation / 16 % 3;
        return;
      case 11:
        if ((operation & 128) == 0) return p.run(10s);
        if ((operation & 64) == 0) return void(p.b.engine.redirect(p.now, sa_b_, {{}, "elsewhere.test"}));
        return resume();
      default:
        return inject(operation);
    }
  }

  void resume() {
    const TicketGiven* const given = pair_->a.last<TicketGiven>();
    if (given == nullptr || resumed_.size() == 3) return;
    resumed_.push_back(pair_->a.engine.initiate(pair_->now, of_a_, pair_->route(), {.ticket = given->ticket}));
  }

  // A message with the right keys, from the end that the operation says.
  void inject(std::uint8_t operation) {
    const bool from_initiator = (operation & 16) != 0;
    static constexpr Exchange kExchanges[] = {
        Exchange::kAuth,         Exchange::kCreateChild, Exchange::kInformational, static_cast<Exchange>(99),
        Exchange::kIntermediate, Exchange::kFollowUp,    Exchange::kSessionResume, static_cast<Exchange>(0)};
    const std::uint32_t message_id = bytes_.u8() % 16u;
    const auto first = static_cast<PayloadType>(bytes_.u8());
    const auto inner = bytes_.bytes(bytes_.u8());
    std::optional<FragmentNumber> fragment;
    if ((operation & 64) != 0) fragment = FragmentNumber{bytes_.u8(), bytes_.u8()};
    test::bring(*pair_, !from_initiator,
                keys_.seal(pair_->net, kExchanges[operation % 4 + ((operation & 128) != 0 ? 4 : 0)], from_initiator,
                           (operation & 32) != 0, message_id, first, inner, fragment));
  }

  Input operations_, bytes_;
  SeededRandom random_{3};
  std::unique_ptr<IkePair> pair_;
  test::RogueKeys keys_;
  ConnectionPtr of_a_;
  SaId sa_a_{}, sa_b_{};
  std::vector<SaId> resumed_;
  ChildConfigPtr more_;
  unsigned copies_ = 1;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Session({data, size}).run();
  return 0;
}
