// Requests that are right by themselves, to be said in any state of an IKE SA.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "support/ike_impostor.h"

namespace winze::test {

// What becomes of a request.
struct Outcome {
  enum class Kind : std::uint8_t {
    kDropped,
    kAnswered,  // and nothing changes
    kChanges,   // answered without an error
    kEnds,      // answered, and the IKE SA is no more
  };
  Kind kind = Kind::kDropped;
  std::uint16_t notify = 0;  // the error in the answer; 0: none
};
inline constexpr Outcome kDropped{}, kFine{Outcome::Kind::kAnswered}, kChanges{Outcome::Kind::kChanges};
constexpr Outcome says(std::uint16_t notify) { return {Outcome::Kind::kAnswered, notify}; }
constexpr Outcome ends(std::uint16_t notify = 0) { return {Outcome::Kind::kEnds, notify}; }

struct Request {
  std::string_view name;
  ike::Exchange exchange{};
  std::function<Said(Impostor&)> make;
  // In an IKE SA that is up; in one that only waits for its end; in one that opens, at the responder.
  Outcome up, ending, opening;
};

inline void write_child(ike::PayloadWriter& out, Impostor& world, std::uint32_t rekeyed) {
  std::uint8_t spi[4];
  store_u32(spi, rekeyed);
  if (rekeyed != 0) ike::write_notify(out, ike::notify::kRekeySa, {}, ike::Protocol::kEsp, spi);
  store_u32(spi, 0x0a0b0c0d);
  ike::write_sa(out, *ike::parse_proposals(ike::Protocol::kEsp, "aes128gcm16-noesn"), spi);
  out.add(ike::PayloadType::kNonce, Bytes(32, 1));
  const auto own = *ip::Selector::parse(world.at_a ? "10.2.0.0/16" : "10.1.0.0/16");
  const auto other = *ip::Selector::parse(world.at_a ? "10.1.0.0/16" : "10.2.0.0/16");
  ike::write_selectors(out, ike::PayloadType::kTsInitiator, {&own, 1});
  ike::write_selectors(out, ike::PayloadType::kTsResponder, {&other, 1});
}

inline void write_ike_rekey(ike::PayloadWriter& out, std::span<const std::uint8_t> public_value) {
  ike::write_sa(out, *ike::parse_proposals(ike::Protocol::kIke, kRogueProposal), unhex("1112131415161718"));
  out.add(ike::PayloadType::kNonce, Bytes(32, 2));
  ike::write_key_exchange(out, 31, public_value);
}

inline const std::vector<Request>& requests() {
  using namespace ike;
  namespace n = ike::notify;
  using W = PayloadWriter;
  using I = Impostor;
  const auto informs = [](auto write) { return [write](I&) { return said(write); }; };
  static const std::vector<Request> kAll = {
      {"INFORMATIONAL", Exchange::kInformational, [](I&) { return Said{}; }, kFine, kFine, kDropped},
      {"DELETE of no child", Exchange::kInformational, informs([](W& out) {
         const std::uint32_t spi = 0x01020304;
         write_delete_esp(out, {&spi, 1});
       }),
       kFine, kFine, ends()},
      {"DELETE of the child", Exchange::kInformational,
       [](I& world) {
         const std::uint32_t spi = world.attacked().children.empty() ? 1 : world.peer_spi();
         return said([&](W& out) { write_delete_esp(out, {&spi, 1}); });
       },
       kChanges, kFine, ends()},
      {"DELETE", Exchange::kInformational, informs([](W& out) { write_delete_ike(out); }), ends(), ends(), ends()},
      {"AUTHENTICATION_FAILED", Exchange::kInformational,
       informs([](W& out) { write_notify(out, n::kAuthenticationFailed); }), ends(), ends(), ends()},
      {"UPDATE_SA_ADDRESSES", Exchange::kInformational, informs([](W& out) {
         write_notify(out, n::kUpdateSaAddresses);
         write_notify(out, n::kNatDetectionSource, Bytes(20));
         write_notify(out, n::kNatDetectionDestination, Bytes(20));
         write_notify(out, n::kCookie2, Bytes(16));
       }),
       kChanges, kFine, kDropped},
      {"REDIRECT", Exchange::kInformational,
       informs([](W& out) { write_notify(out, n::kRedirect, unhex("0104c0000209")); }), kFine, kFine, kDropped},
      {"AUTH_LIFETIME", Exchange::kInformational,
       informs([](W& out) { write_notify(out, n::kAuthLifetime, unhex("00000e10")); }), kFine, kFine, kDropped},
      {"CREATE_CHILD_SA of nothing", Exchange::kCreateChild, [](I&) { return Said{}; }, says(n::kInvalidSyntax),
       says(n::kTemporaryFailure), kDropped},
      {"CREATE_CHILD_SA, a child", Exchange::kCreateChild,
       [](I& world) { return said([&](W& out) { write_child(out, world, 0); }); }, kChanges, says(n::kTemporaryFailure),
       kDropped},
      {"CREATE_CHILD_SA, REKEY_SA", Exchange::kCreateChild,
       [](I& world) {
         const std::uint32_t spi = world.attacked().children.empty() ? 1 : world.peer_spi();
         return said([&](W& out) { write_child(out, world, spi); });
       },
       kChanges, says(n::kTemporaryFailure), kDropped},
      {"CREATE_CHILD_SA, REKEY_SA of no child", Exchange::kCreateChild,
       [](I& world) { return said([&](W& out) { write_child(out, world, 0x01020304); }); }, says(n::kChildSaNotFound),
       says(n::kTemporaryFailure), kDropped},
      {"CREATE_CHILD_SA, an IKE SA", Exchange::kCreateChild,
       [](I& world) { return said([&](W& out) { write_ike_rekey(out, good_x25519(world.random)); }); }, kChanges,
       says(n::kTemporaryFailure), kDropped},
      {"IKE_AUTH", Exchange::kAuth, informs([](W& out) {
         write_id(out, PayloadType::kIdInitiator, Identity::parse("a.test"));
         write_auth(out, 2, Bytes(32));
       }),
       ends(n::kInvalidSyntax), says(n::kInvalidSyntax), ends(n::kAuthenticationFailed)},
      {"IKE_AUTH of nobody", Exchange::kAuth, informs([](W& out) { write_auth(out, 2, Bytes(32)); }),
       ends(n::kInvalidSyntax), says(n::kInvalidSyntax), ends(n::kInvalidSyntax)},
      {"IKE_INTERMEDIATE", Exchange::kIntermediate,
       [](I& world) { return said([&](W& out) { write_key_exchange(out, 31, good_x25519(world.random)); }); },
       ends(n::kInvalidSyntax), says(n::kInvalidSyntax), ends(n::kInvalidSyntax)},
      {"IKE_FOLLOWUP_KE", Exchange::kFollowUp,
       [](I& world) {
         return said([&](W& out) {
           write_key_exchange(out, 31, good_x25519(world.random));
           write_notify(out, n::kAdditionalKeyExchange, Bytes(8));
         });
       },
       says(n::kStateNotFound), says(n::kTemporaryFailure), kDropped},
      {"an exchange that nobody knows", static_cast<Exchange>(99), [](I&) { return Said{}; }, ends(n::kInvalidSyntax),
       says(n::kInvalidSyntax), kDropped},
      {"IKE_SA_INIT", Exchange::kInit, [](I&) { return Said{}; }, kDropped, kDropped, kDropped},
      {"IKE_SESSION_RESUME", Exchange::kSessionResume, [](I&) { return Said{}; }, kDropped, kDropped, kDropped},
      {"a length that is not true", Exchange::kInformational,
       [](I&) {
         return Said{PayloadType::kNotify, unhex("00000009000040")};
       },
       ends(n::kInvalidSyntax), ends(n::kInvalidSyntax), ends(n::kInvalidSyntax)},
      {"an unknown critical payload", Exchange::kInformational,
       [](I&) {
         return Said{static_cast<PayloadType>(200), payload(0, {1, 2}, true)};
       },
       says(n::kUnsupportedCriticalPayload), says(n::kUnsupportedCriticalPayload),
       ends(n::kUnsupportedCriticalPayload)},
      {"an unknown payload", Exchange::kInformational,
       [](I&) {
         return Said{static_cast<PayloadType>(200), payload(0, {1, 2})};
       },
       kFine, kFine, kDropped},
  };
  return kAll;
}

}  // namespace winze::test
