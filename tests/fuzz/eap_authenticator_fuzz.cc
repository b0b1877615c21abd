// Sequences of operations on an EAP authenticator: responses of a peer that knows no password, passwords that come now
// or later, the end of the conversation at any time. None of them ends in success.
#include <algorithm>
#include <memory>
#include <optional>

#include "support/require.h"
#include "winze/base/bytes.h"
#include "winze/proto/eap/authenticator.h"

namespace {

using namespace winze;
using namespace winze::eap;
using winze::test::require;

class Table final : public Passwords {
 public:
  void find(std::string_view user, Handler found) override {
    waiting_ = std::move(found);
    known_ = user == "alice";
  }
  void release() {
    auto found = std::exchange(waiting_, nullptr);
    if (found) found(known_ ? std::optional(Secret(std::string_view("correct horse"))) : std::nullopt);
  }

 private:
  Handler waiting_;
  bool known_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  SeededRandom random(1);
  const auto table = std::make_shared<Table>();
  AuthenticatorOptions options{.users = table};
  options.legacy = true;
  options.methods = {Method::kMschapV2, Method::kMd5, Method::kGtc};
  std::rotate(options.methods.begin(), options.methods.begin() + data[0] % 3, options.methods.end());
  auto authenticator = make_authenticator(options, random);
  Reader in({data + 1, size - 1});
  std::uint8_t id = 0;
  const auto keep = [&](Step step) {
    require(step.kind != Step::Kind::kSuccess);
    if (!step.packet.empty()) id = step.packet[1];
  };
  authenticator->begin(keep);
  while (authenticator && in.remaining() > 0) {
    const std::uint8_t operation = in.u8();
    if (operation == 0xff) {
      authenticator.reset();
    } else if (operation & 1) {
      table->release();
    } else {
      // A response, most often to the request that waits for it.
      const auto body = in.bytes(std::min<std::size_t>(in.u8(), in.remaining()));
      std::vector<std::uint8_t> packet{2, static_cast<std::uint8_t>(operation & 2 ? id + 1 : id), 0, 0};
      packet.insert(packet.end(), body.begin(), body.end());
      store_u16(&packet[2], static_cast<std::uint16_t>(packet.size()));
      authenticator->receive(packet, keep);
    }
  }
  if (authenticator) require(authenticator->msk().empty());
  authenticator.reset();
  table->release();
  return 0;
}
