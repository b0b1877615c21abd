#include "tls_fragments.h"

#include <algorithm>

#include "winze/base/bytes.h"

namespace winze::eap {

TlsFragments::Taken TlsFragments::take(std::span<const std::uint8_t> data) {
  Reader in(data);
  const std::uint8_t flags = in.u8();
  std::optional<std::size_t> length;
  if (flags & kLengthIncluded) length = in.u32();
  if (!in.ok()) return Taken::kMalformed;
  const auto bytes = in.rest();
  const bool more = (flags & kMoreFragments) != 0;
  if (bytes.empty()) {
    // Neither a fragment nor the last of some.
    return more || !incoming_.empty() || announced_ ? Taken::kMalformed : Taken::kAcknowledged;
  }
  if (length && announced_ && *length != *announced_) return Taken::kMalformed;
  if (length) announced_ = length;
  if (announced_.value_or(0) > kLimit || incoming_.size() + bytes.size() > kLimit) return Taken::kTooLong;
  incoming_.insert(incoming_.end(), bytes.begin(), bytes.end());
  if (announced_ && incoming_.size() > *announced_) return Taken::kMalformed;
  if (more) return Taken::kMore;
  if (announced_ && incoming_.size() != *announced_) return Taken::kMalformed;
  announced_.reset();
  return Taken::kMessage;
}

void TlsFragments::put(std::vector<std::uint8_t> message) {
  outgoing_ = std::move(message);
  sent_ = 0;
}

std::vector<std::uint8_t> TlsFragments::next() {
  const std::size_t size = std::min(kFragment, outgoing_.size() - sent_);
  const bool more = sent_ + size < outgoing_.size();
  const bool first = sent_ == 0;
  std::vector<std::uint8_t> out{static_cast<std::uint8_t>((more ? kMoreFragments : 0) | (first ? kLengthIncluded : 0))};
  if (first) {
    out.resize(5);
    store_u32(&out[1], static_cast<std::uint32_t>(outgoing_.size()));
  }
  out.insert(out.end(), outgoing_.begin() + static_cast<std::ptrdiff_t>(sent_),
             outgoing_.begin() + static_cast<std::ptrdiff_t>(sent_ + size));
  sent_ += size;
  return out;
}

}  // namespace winze::eap
