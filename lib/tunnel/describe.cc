#include "winze/tunnel/describe.h"

#include <cstdio>
#include <variant>

#include "winze/base/ascii.h"

namespace winze::tunnel {
namespace {

std::string hex(std::uint32_t spi) {
  char text[9];
  std::snprintf(text, sizeof text, "%08x", spi);
  return text;
}

template <typename List>
std::string joined(const List& list) {
  std::string out;
  for (const auto& item : list) out += (out.empty() ? "" : ", ") + item.to_string();
  return out;
}

std::string number(auto id) { return std::to_string(static_cast<std::uint64_t>(id)); }

std::string text_of(const ike::Up& e) {
  const std::string by_eap = e.eap_identity.empty() ? "" : " (EAP: " + printable(e.eap_identity) + ")";
  std::string out = e.connection->name + ": up with " + e.remote.to_string() + by_eap + " at " +
                    e.path.remote.to_string() + " (" + e.proposal.to_string() + "), IKE SA " + number(e.sa);
  if (e.replaces != ike::SaId{}) out += " in place of " + number(e.replaces);
  if (!e.configuration.addresses.empty()) out += ", address " + joined(e.configuration.addresses);
  if (e.initiator && !e.configuration.dns.empty()) out += ", DNS " + joined(e.configuration.dns);
  return out;
}

std::string text_of(const ike::ChildUp& e) {
  return "child " + e.config->name + " up: " + joined(e.selectors.local) + " <-> " + joined(e.selectors.remote) +
         ", SPIs " + hex(e.inbound.spi) + " in, " + hex(e.outbound.spi) + " out, child " + number(e.child) +
         " of IKE SA " + number(e.sa);
}

std::string text_of(const ike::ChildOutbound& e) {
  return "child " + number(e.child) + " rekeyed, SPI " + hex(e.outbound.spi) + " out";
}
std::string text_of(const ike::ChildDown& e) { return "child " + number(e.child) + " down: " + e.reason.to_string(); }
std::string text_of(const ike::ChildRefused& e) {
  return "child " + e.config->name + " refused: " + e.reason.to_string();
}
std::string text_of(const ike::Rekeyed& e) { return "IKE SA " + number(e.sa) + " rekeyed"; }
std::string text_of(const ike::Migrated& e) {
  return "IKE SA " + number(e.sa) + " goes by " + e.path.local.to_string() + " <-> " + e.path.remote.to_string() +
         " now";
}
std::string text_of(const ike::MoveRefused& e) {
  return "IKE SA " + number(e.sa) + " stays at " + e.path.local.to_string() + " <-> " + e.path.remote.to_string() +
         ": the peer does not take " + e.refused.local.to_string() + " <-> " + e.refused.remote.to_string();
}
std::string text_of(const ike::PathFailing& e) {
  return "IKE SA " + number(e.sa) + " has no answer from " + e.path.remote.to_string() + "; the gateway is also at " +
         joined(e.others);
}
std::string text_of(const ike::Closed& e) {
  return (e.connection ? e.connection->name + ": " : std::string()) + "IKE SA " + number(e.sa) + " with " +
         e.path.remote.to_string() + " closed: " + e.reason.to_string();
}
template <typename Other>
std::string text_of(const Other&) {
  return {};
}

}  // namespace

std::string describe(const ike::Event& event) {
  return std::visit([](const auto& e) { return text_of(e); }, event);
}

}  // namespace winze::tunnel
