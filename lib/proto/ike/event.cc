#include "winze/proto/ike/event.h"

#include "wire.h"

namespace winze::ike {

std::string_view to_string(Stage stage) noexcept {
  switch (stage) {
    case Stage::kInit:
      return "IKE_SA_INIT";
    case Stage::kAuth:
      return "IKE_AUTH";
    case Stage::kUp:
      return "established";
  }
  return "?";
}

std::string_view to_string(Cause cause) noexcept {
  switch (cause) {
    case Cause::kClosedByHost:
      return "closed by this host";
    case Cause::kClosedByPeer:
      return "closed by the peer";
    case Cause::kReplaced:
      return "replaced by a newer one";
    case Cause::kTimedOut:
      return "the peer does not answer";
    case Cause::kExpired:
      return "lifetime over";
    case Cause::kNoProposal:
      return "no proposal in common";
    case Cause::kNoConnection:
      return "no connection for this peer";
    case Cause::kAuthentication:
      return "the peer did not prove its identity";
    case Cause::kRefusedByPeer:
      return "refused by the peer";
    case Cause::kRefusedByHost:
      return "refused by this host";
    case Cause::kSelectors:
      return "no traffic selectors in common";
    case Cause::kAddress:
      return "no address to assign";
    case Cause::kMisbehaved:
      return "the peer broke the protocol";
    case Cause::kInactive:
      return "no traffic";
    case Cause::kRedirected:
      return "redirected";
    case Cause::kHostTimedOut:
      return "this host does not answer";
    case Cause::kUnsupported:
      return "not supported";
  }
  return "?";
}

std::string Reason::to_string() const {
  std::string line(ike::to_string(stage));
  line += ": ";
  line += ike::to_string(cause);
  if (notify != 0) {
    line += " (";
    line += notify_name(notify);
    line += ')';
  }
  if (!text.empty()) line += ": " + text;
  if (!offered.empty()) line += "; the peer offered " + ike::to_string(offered);
  if (!accepted.empty()) line += "; we accept " + ike::to_string(accepted);
  return line;
}

}  // namespace winze::ike
