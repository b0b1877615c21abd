// IKE messages: any bytes are decoded or refused; what was decoded, written again, decodes to the same; and an engine
// that is open to strangers keeps nothing for those that do not open an IKE SA.
#include <algorithm>

#include "../../lib/proto/ike/payloads.h"
#include "support/ike_pair.h"
#include "support/require.h"

namespace {

using namespace winze;
using namespace winze::ike;
using winze::test::require;

void rewrite(const Contents& contents) {
  Buffer buffer(1024);
  PayloadWriter out(buffer);
  if (contents.id_i) write_id(out, PayloadType::kIdInitiator, *contents.id_i);
  if (contents.ts_i && !contents.ts_i->empty()) write_selectors(out, PayloadType::kTsInitiator, *contents.ts_i);
  if (contents.auth) write_auth(out, contents.auth->method, contents.auth->data);
  for (const NotifyView& notify : contents.notifies) {
    write_notify(out, notify.type, notify.data, notify.protocol, notify.spi);
  }
  PayloadChain chain;
  Contents again;
  if (buffer.size() > 60000) return;
  require(chain.decode(out.first(), buffer.span()));
  require(again.decode(chain));
  require(again.id_i == contents.id_i);
  require(again.notifies.size() == contents.notifies.size());
  if (contents.ts_i && contents.ts_i->size() < 256 && !contents.ts_i->empty()) require(again.ts_i == contents.ts_i);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::uint8_t> bytes(data, size);
  if (size > 0) {
    PayloadChain chain;
    Contents contents;
    if (chain.decode(static_cast<PayloadType>(data[0]), bytes.subspan(1)) && contents.decode(chain)) {
      for (const Offer& offer : contents.offers) (void)offer.proposal.to_string();
      if (contents.id_i) (void)contents.id_i->to_string();
      rewrite(contents);
    }
  }
  // A datagram from anybody; its length is made right, which an attacker would do too.
  SeededRandom random(1);
  EngineOptions options;
  options.connections = {test::IkePair::share(test::IkePair::connection(false))};
  options.cookie_threshold = 0;
  Engine engine(std::move(options), random);
  Buffer message = Buffer::copy_of(bytes);
  if (size >= kHeaderSize) store_u32(message.data() + 24, static_cast<std::uint32_t>(size));
  engine.receive(TimePoint{}, {{*IpAddress::parse("192.0.2.2"), 500}, {*IpAddress::parse("192.0.2.1"), 500}},
                 std::move(message));
  require(engine.size() == 0);
  while (auto answer = engine.next_transmit()) require(answer->datagram.size() <= std::max<std::size_t>(size, 128));
  return 0;
}
