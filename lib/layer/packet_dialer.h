// A dialer of streams that also opens conduits, which a protocol makes its own way.
#pragma once

#include <absl/functional/any_invocable.h>

#include <utility>

#include "winze/io/dialer.h"

namespace winze {

using OpenConduit = absl::AnyInvocable<Pending(const Destination& destination, Dialer::ConduitHandler handler)>;

class PacketDialer final : public Dialer {
 public:
  PacketDialer(DialerPtr streams, OpenConduit open) : streams_(std::move(streams)), open_(std::move(open)) {}

  Pending dial(const Destination& destination, Handler handler) override {
    return streams_->dial(destination, std::move(handler));
  }
  Pending open_conduit(const Destination& destination, ConduitHandler handler) override {
    return open_(destination, std::move(handler));
  }
  const Executor& executor() const override { return streams_->executor(); }

 private:
  DialerPtr streams_;
  OpenConduit open_;
};

}  // namespace winze
