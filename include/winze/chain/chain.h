// Client chains, bottom to top:
//
//   auto dialer = chain::via(tcp_to(env, {"proxy.example", 443}))
//                     .over(tls::client(context, "proxy.example"))
//                     .over(ws::client({.path = "/ray"}))
//                     .over(vless::client(id))
//                     .dialer(env);
//   dialer->dial({"example.org", 80}, [](std::error_code error, StreamPtr stream) { ... });
//
// A chain is itself a Dialer, so chains nest: one may be the bottom of another.
#pragma once

#include <utility>
#include <vector>

#include "winze/layer/client.h"

namespace winze::chain {

class Via {
 public:
  explicit Via(DialerPtr bottom) : bottom_(std::move(bottom)) {}

  Via& over(Layer layer) {
    layers_.push_back(std::move(layer));
    return *this;
  }
  // Everything made from `environment` must be used on its executor; it must outlive the dialer.
  DialerPtr dialer(Environment& environment) const {
    DialerPtr dialer = bottom_;
    for (const Layer& layer : layers_) dialer = layer(environment, std::move(dialer));
    return dialer;
  }

 private:
  DialerPtr bottom_;
  std::vector<Layer> layers_;
};

inline Via via(DialerPtr bottom) { return Via(std::move(bottom)); }

}  // namespace winze::chain
