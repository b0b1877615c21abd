// Somebody who has the keys of an IKE SA and stands in for one of its ends: says what is said, and reads the answers.
//
//   Impostor world(1, connection(true), connection(false));
//   const auto answers = world.say(Exchange::kInformational, said([](PayloadWriter& out) { ... }));
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "../../lib/proto/ike/payloads.h"
#include "support/ike_rogue.h"
#include "winze/crypto/key_exchange.h"

namespace winze::test {

// Payloads one behind the other, and the type of the first.
struct Said {
  ike::PayloadType first = ike::PayloadType::kNone;
  Bytes bytes;
};

template <typename F>
Said said(F write) {
  Buffer buffer(1024);
  ike::PayloadWriter out(buffer);
  write(out);
  return {out.first(), {buffer.span().begin(), buffer.span().end()}};
}

// A message as it is inside.
struct Heard {
  ike::Header header;
  Said inner;

  std::vector<std::uint16_t> notifies() const {
    std::vector<std::uint16_t> types;
    with_contents([&](const ike::Contents& contents) {
      for (const auto& notify : contents.notifies) types.push_back(notify.type);
    });
    return types;
  }
  // The first error notify; 0: none.
  std::uint16_t error() const {
    std::uint16_t type = 0;
    with_contents([&](const ike::Contents& contents) {
      if (contents.error() != nullptr) type = contents.error()->type;
    });
    return type;
  }
  template <typename F>
  void with_contents(F look) const {
    ike::PayloadChain chain;
    ike::Contents contents;
    if (chain.decode(inner.first, inner.bytes) && contents.decode(chain)) look(contents);
  }
};

// Opens what either end has sealed, behind its marker; none for fragments, and for what the keys do not open.
inline std::optional<Heard> open_with(const RogueKeys& keys, const Buffer& datagram) {
  Buffer message = Buffer::copy_of(datagram.span().subspan(4));
  const auto header = ike::decode_header(message.span());
  if (!header || header->first != ike::PayloadType::kEncrypted) return std::nullopt;
  ike::PayloadChain chain;
  if (!chain.decode(header->first, message.span().subspan(ike::kHeaderSize)) || chain.payloads.empty()) {
    return std::nullopt;
  }
  const ike::Suite suite{PrfAlgorithm::kHmacSha256, {esp::Encryption::kAesGcm, 16}, esp::Integrity::kNone, 128};
  const auto inner =
      ike::open_message(suite, header->initiator ? keys.i : keys.r, message.span(), chain.payloads.back().body);
  if (!inner) return std::nullopt;
  return Heard{*header, {chain.inner_first, {inner->begin(), inner->end()}}};
}

// What both ends' connections have to be for that.
inline ike::Connection open_book(bool of_a) {
  ike::Connection c = IkePair::connection(of_a);
  c.proposals = *ike::parse_proposals(ike::Protocol::kIke, kRogueProposal);
  c.dpd_delay = Duration(0);
  return c;
}

// Everything that one end says now goes to nobody, and is read.
inline std::vector<Buffer> overhear(IkeEnd& end) {
  std::vector<Buffer> heard;
  const auto take = [&] {
    while (auto out = end.engine.next_transmit()) heard.push_back(std::move(out->datagram));
  };
  take();
  while (auto event = end.engine.next_event()) {
    end.apply(*event);
    end.events.push_back(std::move(*event));
    if (end.on_event) end.on_event(end.events.back());
    take();
  }
  return heard;
}

inline std::vector<Heard> open_all(const RogueKeys& keys, const std::vector<Buffer>& datagrams) {
  std::vector<Heard> opened;
  for (const Buffer& datagram : datagrams) {
    if (auto heard = open_with(keys, datagram)) opened.push_back(*std::move(heard));
  }
  return opened;
}

// The same payloads, each as `edit(type, body)` gives it back; without those that it gives nothing for.
template <typename F>
Said rewritten(const Said& from, F edit) {
  ike::PayloadChain chain;
  (void)chain.decode(from.first, from.bytes);
  return said([&](ike::PayloadWriter& out) {
    for (const ike::Payload& one : chain.payloads) {
      std::optional<Bytes> body = edit(one.type, Bytes(one.body.begin(), one.body.end()));
      if (body) out.add(one.type, *body);
    }
  });
}

// The next message of that kind from one end comes as what `edit` makes of it, sealed with the right keys. True once
// that has been.
template <typename F>
std::shared_ptr<bool> tamper(IkePair& pair, const RogueKeys& newest, bool from_a, ike::Exchange exchange, F edit) {
  const auto done = std::make_shared<bool>(false);
  // An answer may bring new keys before it is on its way, sealed with those of before.
  pair.bend = [&pair, &newest, keys = newest, from_a, exchange, edit, done](bool by_a, const Buffer& datagram) mutable {
    if (keys.spis.i == 0) keys = newest;
    if (by_a != from_a || *done || datagram.data()[4 + 18] != static_cast<std::uint8_t>(exchange)) {
      return IkePair::Fate{};
    }
    const auto heard = open_with(keys, datagram);
    if (!heard) return IkePair::Fate{};
    *done = true;
    const Said other = edit(*heard);
    bring(pair, !from_a,
          keys.seal(pair.net, exchange, heard->header.initiator, heard->header.response, heard->header.message_id,
                    other.first, other.bytes));
    return IkePair::Fate{0};
  };
  return done;
}

// A public value of X25519 that is right.
inline Bytes good_x25519(Random& random) {
  const auto exchange = *KeyExchange::create(KeyExchangeMethod::kX25519, random);
  return {exchange->public_value().begin(), exchange->public_value().end()};
}

// A pair that is up, where somebody stands in for one end against the other.
struct Impostor {
  RogueKeys keys;
  IkePair pair;
  SeededRandom random{5};
  bool at_a;               // A is attacked, by a false gateway; else B, by a false client
  bool as_initiator;       // of the IKE SA whose keys these are
  std::uint32_t next = 0;  // the message id that the attacked end expects
  ike::SaId sa_a{}, sa_b{};

  Impostor(std::uint64_t seed, bool attacks_a, ike::Connection of_a = open_book(true),
           ike::Connection of_b = open_book(false), ike::EngineOptions for_a = {}, ike::EngineOptions for_b = {},
           const std::function<void(IkePair&)>& before = nullptr)
      : pair(seed, logging(std::move(for_a)), logging(std::move(for_b))),
        at_a(attacks_a),
        as_initiator(!attacks_a),
        next(attacks_a ? 0 : 2) {
    if (before) before(pair);
    sa_a = pair.connect(IkePair::share(std::move(of_a)), IkePair::share(std::move(of_b)));
    if (const ike::Up* const up = pair.b.last<ike::Up>()) sa_b = up->sa;
  }
  Impostor(const Impostor&) = delete;
  Impostor& operator=(const Impostor&) = delete;

  IkeEnd& attacked() { return at_a ? pair.a : pair.b; }
  ike::SaId sa() const { return at_a ? sa_a : sa_b; }
  bool is_up() {
    const auto info = attacked().engine.info(sa());
    return info && info->established;
  }
  // The SPI by which the attacked end sends.
  std::uint32_t peer_spi() { return attacked().children.begin()->second.up.outbound.spi; }

  void bring_request(ike::Exchange exchange, const Said& what, std::uint32_t id) {
    Buffer message = keys.seal(random, exchange, as_initiator, false, id, what.first, what.bytes);
    mine_ = keys;
    bring(pair, at_a, std::move(message));
  }
  // A request, with the id that is due; what is answered to it.
  std::vector<Heard> say(ike::Exchange exchange, const Said& what) {
    bring_request(exchange, what, next++);
    auto heard = open_all(mine_, overhear(attacked()));
    keys = mine_;  // where it has brought new ones, they are of another IKE SA
    std::erase_if(heard, [](const Heard& one) { return !one.header.response; });
    return heard;
  }
  // A response to the request with that id.
  std::vector<Heard> respond(ike::Exchange exchange, const Said& what, std::uint32_t id) {
    bring(pair, at_a, keys.seal(random, exchange, as_initiator, true, id, what.first, what.bytes));
    return open_all(keys, overhear(attacked()));
  }
  // The request of the attacked end that waits for its answer.
  std::optional<Heard> asked() {
    auto heard = open_all(keys, overhear(attacked()));
    return heard.empty() ? std::nullopt : std::optional(std::move(heard.back()));
  }

 private:
  RogueKeys mine_;  // of the newest request

  ike::EngineOptions logging(ike::EngineOptions options) {
    options.key_log = [this](std::string_view line) { keys.take(line); };
    return options;
  }
};

}  // namespace winze::test
