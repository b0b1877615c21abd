// EAP without TLS: conversations, and what malicious ends send.
#include <doctest/doctest.h>

#include <algorithm>

#include "proto/eap/mschapv2_packet.h"
#include "proto/eap/packet.h"
#include "proto/eap/tls_fragments.h"
#include "support/eap_pair.h"
#include "support/hex.h"
#include "winze/base/bytes.h"

namespace winze::eap {
namespace {

using test::Bytes;
using test::EapRun;
using test::PasswordTable;

std::shared_ptr<PasswordTable> users() {
  return std::make_shared<PasswordTable>(std::map<std::string, std::string>{{"alice", "secret"}, {"W\\bob", "other"}});
}

PeerOptions as(std::string_view identity, std::string_view password, std::vector<Method> methods = {}) {
  PeerOptions out{.identity = std::string(identity), .password = Secret(password), .methods = std::move(methods)};
  out.legacy = true;
  return out;
}

AuthenticatorOptions offering(std::vector<Method> methods) {
  AuthenticatorOptions out{.users = users(), .methods = std::move(methods)};
  out.legacy = true;
  return out;
}

TEST_CASE("eap: each method, with the right and the wrong password") {
  struct Row {
    Method method;
    const char *identity, *password;
    bool right;
    Errc peer_says{}, authenticator_says{};
  };
  using enum Method;
  for (const Row& row : {
           Row{kMschapV2, "alice", "secret", true},
           Row{kMschapV2, "W\\bob", "other", true},
           Row{kMschapV2, "alice", "Secret", false, Errc::kWrongPassword, Errc::kWrongPassword},
           Row{kMschapV2, "mallory", "secret", false, Errc::kWrongPassword, Errc::kUnknownUser},
           Row{kMd5, "alice", "secret", true},
           Row{kMd5, "alice", "secre", false, Errc::kRefused, Errc::kWrongPassword},
           Row{kMd5, "mallory", "secret", false, Errc::kRefused, Errc::kUnknownUser},
           Row{kGtc, "alice", "secret", true},
           Row{kGtc, "alice", "secrets", false, Errc::kRefused, Errc::kWrongPassword},
       }) {
    CAPTURE(to_string(row.method));
    CAPTURE(row.identity);
    SeededRandom random(1);
    Peer peer(as(row.identity, row.password, {row.method}), random);
    auto authenticator = make_authenticator(offering({row.method}), random);
    const auto outcome = EapRun{}(peer, *authenticator);
    CHECK(outcome.both_succeeded() == row.right);
    CHECK(peer.method() == row.method);
    if (row.right) {
      CHECK(authenticator->identity() == row.identity);
      CHECK(peer.msk() == authenticator->msk());
      CHECK(peer.msk().size() == (row.method == kMschapV2 ? 64 : 0));
    } else {
      CHECK(outcome.peer->error == row.peer_says);
      CHECK(outcome.authenticator->error == row.authenticator_says);
      CHECK(peer.msk().empty());
      CHECK(authenticator->msk().empty());
    }
  }
}

TEST_CASE("eap: a name of its own within, and an anonymous one without") {
  SeededRandom random(1);
  PeerOptions options = as("anonymous", "secret");
  options.user = "alice";
  Peer peer(std::move(options), random);
  auto authenticator = make_authenticator(offering({Method::kMschapV2}), random);
  CHECK(EapRun{}(peer, *authenticator).both_succeeded());
  CHECK(authenticator->identity() == "alice");
}

TEST_CASE("eap: passwords that come later, or after the conversation is gone") {
  SeededRandom random(1);
  for (const Method method : {Method::kMschapV2, Method::kMd5, Method::kGtc}) {
    const auto table = std::make_shared<PasswordTable>(std::map<std::string, std::string>{{"alice", "secret"}}, true);
    AuthenticatorOptions options{.users = table, .methods = {method}};
    options.legacy = true;
    Peer peer(as("alice", "secret", {method}), random);
    auto authenticator = make_authenticator(options, random);
    EapRun run;
    run.idle = [&] { table->release(); };
    CHECK(run(peer, *authenticator).both_succeeded());

    Peer again(as("alice", "secret", {method}), random);
    authenticator = make_authenticator(options, random);
    run.idle = [&] {
      if (!authenticator || !table->waits()) return;
      authenticator.reset();
      table->release();
    };
    std::optional<Step> step;
    authenticator->begin([&](Step made) { step = std::move(made); });
    while (step) {
      const Bytes request = step->packet;
      step.reset();
      Bytes response;
      again.receive(request, [&](Step made) { response = std::move(made.packet); });
      authenticator->receive(response, [&](Step made) { step = std::move(made); });
    }
    run.idle();
    CHECK_FALSE(step);
  }
}

TEST_CASE("eap: agreement on a method") {
  using enum Method;
  struct Row {
    std::vector<Method> offered, taken;
    std::optional<Method> agreed;
  };
  for (const Row& row : {
           Row{{kMschapV2, kMd5}, {kMd5}, kMd5},
           Row{{kMd5, kGtc, kMschapV2}, {kMschapV2, kGtc}, kGtc},  // in the server's order
           Row{{kMd5, kGtc}, {kMschapV2}, std::nullopt},
           Row{{kMschapV2}, {kMschapV2}, kMschapV2},
       }) {
    SeededRandom random(1);
    Peer peer(as("alice", "secret", row.taken), random);
    auto authenticator = make_authenticator(offering(row.offered), random);
    const auto outcome = EapRun{}(peer, *authenticator);
    CHECK(outcome.both_succeeded() == row.agreed.has_value());
    CHECK(peer.method() == row.agreed);
    if (!row.agreed) CHECK(outcome.authenticator->error == Errc::kNoMethod);
  }
}

TEST_CASE("security: legacy methods only where they are asked for") {
  SeededRandom random(1);
  PeerOptions options = as("alice", "secret", {Method::kMd5, Method::kGtc});
  options.legacy = false;
  Peer peer(std::move(options), random);
  auto authenticator = make_authenticator(offering({Method::kMd5, Method::kGtc}), random);
  const auto outcome = EapRun{}(peer, *authenticator);
  CHECK(outcome.peer->error == Errc::kUnavailable);
  AuthenticatorOptions modern = offering({Method::kMd5});
  modern.legacy = false;
  Peer willing(as("alice", "secret", {Method::kMd5}), random);
  authenticator = make_authenticator(modern, random);
  CHECK(EapRun{}(willing, *authenticator).authenticator->error == Errc::kNoMethod);
}

// --- One end that is driven by hand.

Bytes request(std::uint8_t id, std::uint8_t type, const Bytes& data) {
  return make_packet(Code::kRequest, id, type, data);
}
Bytes chap_request(std::uint8_t id, Op op, std::string_view text) {
  return request(id, 26, make_chap(op, id, as_bytes(text)));
}
Bytes challenge(std::uint8_t id) {
  return chap_request(id, Op::kChallenge,
                      "\x10"
                      "0123456789abcdefserver");
}

Step give(Peer& peer, const Bytes& packet) {
  std::optional<Step> out;
  peer.receive(packet, [&](Step step) { out = std::move(step); });
  REQUIRE(out);
  return *std::move(out);
}

// CVE-2021-45079.
TEST_CASE("security: EAP success that comes too early") {
  const Bytes success = make_result(Code::kSuccess, 1);
  for (int after = 0; after < 3; ++after) {
    CAPTURE(after);
    SeededRandom random(1);
    Peer peer(as("alice", "secret"), random);
    if (after > 0) CHECK(give(peer, request(1, kIdentity, {})).kind == Step::Kind::kSend);
    if (after > 1) CHECK(give(peer, challenge(2)).kind == Step::Kind::kSend);
    const Step step = give(peer, success);
    CHECK(step.kind == Step::Kind::kFailure);
    CHECK(step.error == Errc::kUnexpectedSuccess);
    CHECK(peer.msk().empty());
    // It stays so.
    CHECK(give(peer, success).kind == Step::Kind::kDiscard);
  }
}

TEST_CASE("security: a server that does not know the password") {
  for (const char* text :
       {"S=0000000000000000000000000000000000000000 M=OK", "S= M=OK", "S=", "", "M=OK", "E=691 R=1",
        "S=00000000000000000000000000000000000000", "S=zz00000000000000000000000000000000000000 M=OK"}) {
    CAPTURE(text);
    SeededRandom random(1);
    Peer peer(as("alice", "secret"), random);
    give(peer, challenge(1));
    const Step step = give(peer, chap_request(2, Op::kSuccess, text));
    CHECK(step.kind == Step::Kind::kFailure);
    CHECK(step.error == Errc::kServerUnproven);
    CHECK(give(peer, make_result(Code::kSuccess, 2)).kind == Step::Kind::kDiscard);
    CHECK(peer.msk().empty());
  }
}

// The one whose header is missing, and short or absurd lengths: CVE-2025-62291.
TEST_CASE("security: MSCHAPv2 failures of every form") {
  struct Row {
    Bytes data;
    bool answered;
    Errc error{};
  };
  const auto text = [](std::string_view t) { return make_chap(Op::kFailure, 2, as_bytes(t)); };
  for (const Row& row : {
           Row{text("E=691 R=1 C=00112233445566778899aabbccddeeff V=3 M=no"), true, Errc::kWrongPassword},
           Row{text("E=648 R=1 C=00112233445566778899aabbccddeeff V=3 M=change it"), true, Errc::kPasswordExpired},
           Row{text("E=647 R=0 V=3"), true, Errc::kRestricted},
           Row{text("E=99999999999999999999 R=0"), true, Errc::kRefused},
           Row{text("E="), true, Errc::kRefused},
           Row{text(""), true, Errc::kRefused},
           Row{text(std::string(1000, 'M')), true, Errc::kRefused},
           Row{{4}, true, Errc::kRefused},  // the OpCode alone
           Row{{4, 2}, false},
           Row{{4, 2, 0}, false},
           Row{{4, 2, 0, 0}, false},
           Row{{4, 2, 0, 3}, false},
           Row{{4, 2, 0, 5}, false},
           Row{{4, 2, 0xff, 0xff, 'E'}, false},
           Row{{}, false},
       }) {
    CAPTURE(test::hex(row.data));
    SeededRandom random(1);
    Peer peer(as("alice", "secret"), random);
    give(peer, challenge(1));
    const Step step = give(peer, request(2, 26, row.data));
    if (!row.answered) {
      CHECK(step.kind == Step::Kind::kFailure);
      CHECK(step.error == Errc::kMalformed);
      continue;
    }
    REQUIRE(step.kind == Step::Kind::kSend);
    CHECK(step.packet == make_packet(Code::kResponse, 2, 26, Bytes{4}));
    const Step end = give(peer, make_result(Code::kFailure, 2));
    CHECK(end.kind == Step::Kind::kFailure);
    CHECK(end.error == row.error);
    CHECK(end.detail.size() < 200);
    // A success after it counts for nothing.
    CHECK(give(peer, make_result(Code::kSuccess, 2)).kind == Step::Kind::kDiscard);
  }
}

TEST_CASE("eap peer: MSCHAPv2 challenges of a wrong size, messages out of order") {
  for (const Bytes& data : {Bytes{1, 1, 0, 5, 0}, Bytes{1, 1, 0, 6, 16, 0}, Bytes{1, 1, 0, 4}, Bytes{1},
                            Bytes{3, 1, 0, 4}, Bytes{4, 1, 0, 4}, Bytes{2, 1, 0, 4}, Bytes{7, 1, 0, 4}, Bytes{9}}) {
    CAPTURE(test::hex(data));
    SeededRandom random(1);
    Peer peer(as("alice", "secret"), random);
    CHECK(give(peer, request(1, 26, data)).error == Errc::kMalformed);
  }
}

TEST_CASE("eap peer: what is no packet of this conversation is as if it had not come") {
  SeededRandom random(1);
  Peer peer(as("alice", "secret"), random);
  for (const Bytes& packet : {Bytes{}, Bytes{1}, Bytes{1, 1, 0, 4}, Bytes{1, 1, 0, 3, 1}, Bytes{1, 1, 0, 9, 1},
                              Bytes{0, 1, 0, 5, 1}, Bytes{5, 1, 0, 5, 1}, Bytes{2, 1, 0, 5, 1}}) {
    CHECK(give(peer, packet).kind == Step::Kind::kDiscard);
  }
  // Padding behind the packet is none of it (RFC 3748 section 4).
  Bytes padded = request(1, kIdentity, {});
  padded.resize(20);
  CHECK(give(peer, padded).packet == make_packet(Code::kResponse, 1, kIdentity, test::Bytes{'a', 'l', 'i', 'c', 'e'}));
}

TEST_CASE("eap peer: the same request again gets the same response") {
  SeededRandom random(1);
  Peer peer(as("alice", "secret"), random);
  const Bytes first = give(peer, challenge(5)).packet;
  CHECK(give(peer, challenge(5)).packet == first);
  CHECK(give(peer, request(6, kNotification, {'h', 'i'})).packet == make_packet(Code::kResponse, 6, kNotification, {}));
  CHECK(give(peer, request(7, kIdentity, {})).kind == Step::Kind::kDiscard);  // a method has begun
  CHECK(give(peer, request(8, 4, {1, 1})).kind == Step::Kind::kDiscard);      // another method
  CHECK(give(peer, request(9, kNak, {4})).kind == Step::Kind::kDiscard);
}

TEST_CASE("security: an authenticator that never ends") {
  SeededRandom random(1);
  Peer peer(as("alice", "secret"), random);
  Step step;
  int n = 0;
  do {
    step = give(peer, request(static_cast<std::uint8_t>(n), kNotification, {static_cast<std::uint8_t>(n >> 8)}));
  } while (step.kind == Step::Kind::kSend && ++n < 10'000);
  CHECK(step.error == Errc::kEndless);
}

// --- The other end by hand.

Step give(Authenticator& authenticator, const Bytes& packet) {
  std::optional<Step> out;
  authenticator.receive(packet, [&](Step step) { out = std::move(step); });
  REQUIRE(out);
  return *std::move(out);
}
Bytes first_packet(Authenticator& authenticator) {
  Bytes out;
  authenticator.begin([&](Step step) { out = std::move(step.packet); });
  return out;
}
Bytes response(std::uint8_t id, std::uint8_t type, const Bytes& data) {
  return make_packet(Code::kResponse, id, type, data);
}

TEST_CASE("security: responses that skip the proof") {
  const Bytes name{'a', 'l', 'i', 'c', 'e'};
  for (const Bytes& data : {Bytes{3}, Bytes{3, 1, 0, 4}, Bytes{4}, Bytes{1, 1, 0, 4}, Bytes{2, 1, 0, 4},
                            Bytes{2, 1, 0, 5, 49}, Bytes{9}, Bytes{}, Bytes{2, 1, 0xff, 0xff}}) {
    CAPTURE(test::hex(data));
    SeededRandom random(1);
    auto authenticator = make_authenticator(offering({Method::kMschapV2}), random);
    const Bytes asked = first_packet(*authenticator);
    const Step challenged = give(*authenticator, response(asked[1], kIdentity, name));
    REQUIRE(challenged.kind == Step::Kind::kSend);
    const Step step = give(*authenticator, response(challenged.packet[1], 26, data));
    CHECK(step.kind == Step::Kind::kFailure);
    CHECK(step.packet == make_result(Code::kFailure, challenged.packet[1]));
    CHECK(authenticator->msk().empty());
    CHECK(give(*authenticator, response(challenged.packet[1], 26, {3})).kind == Step::Kind::kDiscard);
  }
}

TEST_CASE("eap authenticator: what is no response to its request") {
  SeededRandom random(1);
  auto authenticator = make_authenticator(offering({Method::kMschapV2}), random);
  const std::uint8_t id = first_packet(*authenticator)[1];
  const auto other = static_cast<std::uint8_t>(id + 1);
  for (const Bytes& packet :
       {Bytes{}, Bytes{2, id, 0, 4}, response(other, kIdentity, {'a'}), response(id, 26, {3}), response(id, kNak, {26}),
        request(id, kIdentity, {}), make_result(Code::kSuccess, id), response(id, kIdentity, Bytes(257, 'a'))}) {
    CHECK(give(*authenticator, packet).kind == Step::Kind::kDiscard);
  }
  CHECK(give(*authenticator, response(id, kIdentity, {})).kind == Step::Kind::kSend);  // nobody in particular
}

TEST_CASE("eap authenticator: a Nak only as the first answer, and of what is left") {
  SeededRandom random(1);
  auto authenticator = make_authenticator(offering({Method::kMd5, Method::kMschapV2}), random);
  std::uint8_t id = first_packet(*authenticator)[1];
  id = give(*authenticator, response(id, kIdentity, {'a'})).packet[1];
  const Step next = give(*authenticator, response(id, kNak, {4, 99, 26}));  // 4 has just been refused
  REQUIRE(next.kind == Step::Kind::kSend);
  CHECK(next.packet[4] == 26);
  id = next.packet[1];
  CHECK(give(*authenticator, response(id, kNak, {0})).error == Errc::kNoMethod);
}

// --- A server behind.

class FakeServer final : public AuthServer {
 public:
  explicit FakeServer(std::vector<Reply> replies) : replies_(std::move(replies)) {}
  void forward(std::span<const std::uint8_t> response, Handler replied) override {
    got.emplace_back(response.begin(), response.end());
    replied(got.size() <= replies_.size() ? replies_[got.size() - 1] : Reply{});
  }
  static inline std::vector<Bytes> got;

 private:
  std::vector<Reply> replies_;
};

TEST_CASE("eap relay: carries packets, and takes the key") {
  FakeServer::got.clear();
  std::vector<AuthServer::Reply> replies(2);
  replies[0].packet = request(77, 26, {1, 2, 3});
  replies[1] = {.packet = make_result(Code::kSuccess, 77), .msk = Secret(64), .identity = "alice@example.org"};
  auto authenticator = relay(std::make_unique<FakeServer>(replies));
  const std::uint8_t id = first_packet(*authenticator)[1];
  CHECK(give(*authenticator, response(id, 26, {1})).kind == Step::Kind::kDiscard);  // no identity yet
  const Step first = give(*authenticator, response(id, kIdentity, {'a'}));
  CHECK(first.packet == replies[0].packet);
  CHECK(authenticator->identity() == "a");
  CHECK(give(*authenticator, response(id, 26, {9})).kind == Step::Kind::kDiscard);  // of another request
  const Step last = give(*authenticator, response(77, 26, {9}));
  CHECK(last.kind == Step::Kind::kSuccess);
  CHECK(last.packet == replies[1].packet);
  CHECK(authenticator->msk().size() == 64);
  CHECK(authenticator->identity() == "alice@example.org");
  CHECK(FakeServer::got == std::vector{response(id, kIdentity, {'a'}), response(77, 26, {9})});
}

TEST_CASE("security: eap relay with a server that says nonsense") {
  struct Row {
    AuthServer::Reply reply;
    Errc error;
  };
  for (const Row& row : {
           Row{{}, Errc::kUnavailable},
           Row{{.packet = {1, 2, 3}}, Errc::kUnavailable},
           Row{{.packet = response(1, 26, {})}, Errc::kMalformed},
           Row{{.packet = make_result(Code::kSuccess, 1), .msk = Secret(63)}, Errc::kMalformed},
           Row{{.packet = make_result(Code::kFailure, 1), .msk = Secret(64)}, Errc::kRefused},
       }) {
    auto authenticator = relay(std::make_unique<FakeServer>(std::vector{row.reply}));
    FakeServer::got.clear();
    const std::uint8_t id = first_packet(*authenticator)[1];
    const Step step = give(*authenticator, response(id, kIdentity, {'a'}));
    CHECK(step.kind == Step::Kind::kFailure);
    CHECK(step.error == row.error);
    CHECK_FALSE(step.packet.empty());
    CHECK(authenticator->msk().empty());
  }
}

// --- Fragments of EAP-TLS.

TEST_CASE("eap-tls fragments: messages of every size") {
  for (const std::size_t size : {std::size_t{1}, TlsFragments::kFragment, TlsFragments::kFragment + 1,
                                 std::size_t{5000}, TlsFragments::kLimit}) {
    CAPTURE(size);
    Bytes message(size);
    for (std::size_t i = 0; i < size; ++i) message[i] = static_cast<std::uint8_t>(i * 7);
    TlsFragments sender, receiver;
    sender.put(message);
    while (true) {
      REQUIRE(sender.has_next());
      const Bytes fragment = sender.next();
      CHECK(fragment.size() <= TlsFragments::kFragment + 5);
      const auto taken = receiver.take(fragment);
      if (taken == TlsFragments::Taken::kMessage) break;
      REQUIRE(taken == TlsFragments::Taken::kMore);
      CHECK(sender.take(TlsFragments::empty()) == TlsFragments::Taken::kAcknowledged);
    }
    CHECK_FALSE(sender.has_next());
    CHECK(receiver.message() == message);
  }
}

// Lengths that are told and lengths that are: CVE-2026-39312 and its like.
TEST_CASE("security: EAP-TLS lengths that are not true") {
  using Taken = TlsFragments::Taken;
  struct Row {
    std::vector<Bytes> fragments;
    Taken last;
  };
  const auto with_length = [](std::uint8_t flags, std::uint32_t length, std::size_t bytes) {
    Bytes out(5 + bytes, 0xaa);
    out[0] = static_cast<std::uint8_t>(flags | kLengthIncluded);
    store_u32(&out[1], length);
    return out;
  };
  const auto plain = [](std::uint8_t flags, std::size_t bytes) {
    Bytes out(1 + bytes, 0xaa);
    out[0] = flags;
    return out;
  };
  for (const Row& row : {
           Row{{{}}, Taken::kMalformed}, Row{{{kLengthIncluded}}, Taken::kMalformed},
           Row{{{kLengthIncluded, 0, 0, 0}}, Taken::kMalformed}, Row{{with_length(0, 0xffffffff, 1)}, Taken::kTooLong},
           Row{{with_length(kMoreFragments, TlsFragments::kLimit + 1, 1)}, Taken::kTooLong},
           Row{{with_length(0, 10, 9)}, Taken::kMalformed}, Row{{with_length(0, 10, 11)}, Taken::kMalformed},
           Row{{with_length(kMoreFragments, 10, 5), plain(0, 6)}, Taken::kMalformed},
           Row{{with_length(kMoreFragments, 10, 5), with_length(0, 11, 5)}, Taken::kMalformed},
           Row{{with_length(kMoreFragments, 10, 5), plain(0, 0)}, Taken::kMalformed},
           Row{{plain(kMoreFragments, 0)}, Taken::kMalformed},
           Row{{with_length(kMoreFragments, 10, 5), with_length(0, 10, 5)}, Taken::kMessage},
           Row{{plain(kMoreFragments, 5), plain(0, 5)}, Taken::kMessage},  // none told
       }) {
    TlsFragments fragments;
    Taken taken{};
    for (const Bytes& fragment : row.fragments) taken = fragments.take(fragment);
    CHECK(taken == row.last);
  }
  TlsFragments endless;
  Taken taken{};
  std::size_t n = 0;
  while ((taken = endless.take(plain(kMoreFragments, 1000))) == Taken::kMore) ++n;
  CHECK(taken == Taken::kTooLong);
  CHECK(n == TlsFragments::kLimit / 1000);
}

}  // namespace
}  // namespace winze::eap
