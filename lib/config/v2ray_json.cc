#include "winze/config/v2ray_json.h"

#include <algorithm>
#include <charconv>

#include "sections.h"

namespace winze::config {

node::LogOptions read_log(ObjectReader object) {
  node::LogOptions out;
  static constexpr std::string_view kLevels[] = {"debug", "info", "warning", "error", "none"};
  out.level = static_cast<node::LogOptions::Level>(object.word("loglevel", kLevels, 2));
  out.access_file = object.string("access");
  out.error_file = object.string("error");
  object.refuse("maskAddress", "not supported: addresses are logged whole");
  object.ignore({"dnsLog"});
  object.finish();
  return out;
}

void read_policy(ObjectReader object, std::vector<std::pair<std::uint32_t, node::PolicyLevel>>& levels) {
  ObjectReader list = object.object("levels");
  if (const JsonValue* members = object.find("levels"); members != nullptr && list.present()) {
    for (const JsonValue& member : members->members) {
      const std::string& name = member.name;
      std::uint32_t number = 0;
      const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
      if (error != std::errc() || end != name.data() + name.size() || number > 255) {
        list.fail(name, "a level is a number from 0 to 255");
      }
      ObjectReader level = list.object(name);
      node::PolicyLevel out;
      out.handshake = level.seconds("handshake", out.handshake);
      out.idle = level.seconds("connIdle", out.idle);
      out.uplink_only = level.seconds("uplinkOnly", out.uplink_only);
      out.downlink_only = level.seconds("downlinkOnly", out.downlink_only);
      // All users are counted, whatever their level.
      level.ignore({"statsUserUplink", "statsUserDownlink", "statsUserOnline"});
      level.warn("bufferSize", "not used: a direction holds one buffer");
      level.finish();
      levels.emplace_back(number, out);
    }
  }
  ObjectReader system = object.object("system");
  // And all tags.
  system.ignore({"statsInboundUplink", "statsInboundDownlink", "statsOutboundUplink", "statsOutboundDownlink",
                 "overrideAccessLogDest"});
  system.finish();
  object.finish();
}

namespace {

// Only what would send everything to the first outbound, as is done here.
void read_routing(ObjectReader object) {
  object.refuse({"rules", "settings"}, "routing rules are not supported yet");
  object.refuse("balancers", "balancers are not supported yet");
  object.ignore({"domainStrategy", "domainMatcher", "strategy"});
  object.finish();
}

void read_dns(ObjectReader object) {
  object.refuse("servers", "DNS servers in the configuration are not supported yet");
  object.refuse("hosts", "hosts in the configuration are not supported yet");
  object.ignore({"tag", "clientIp", "queryStrategy", "disableCache", "disableFallback", "disableFallbackIfMatch"});
  object.finish();
}

// Outbounds that replace one of the same tag keep its place; others go in front, or behind for a "tail" file.
void merge(std::vector<node::OutboundOptions>& into, std::vector<node::OutboundOptions> from, bool tail) {
  std::vector<node::OutboundOptions> fresh;
  for (auto& outbound : from) {
    const auto same = std::ranges::find(into, outbound.tag, &node::OutboundOptions::tag);
    if (same != into.end() && !outbound.tag.empty()) {
      *same = std::move(outbound);
    } else {
      fresh.push_back(std::move(outbound));
    }
  }
  into.insert(tail ? into.end() : into.begin(), std::make_move_iterator(fresh.begin()),
              std::make_move_iterator(fresh.end()));
}

void merge(std::vector<node::InboundOptions>& into, std::vector<node::InboundOptions> from) {
  for (auto& inbound : from) {
    const auto same = std::ranges::find(into, inbound.tag, &node::InboundOptions::tag);
    if (same != into.end() && !inbound.tag.empty()) {
      *same = std::move(inbound);
    } else {
      into.push_back(std::move(inbound));
    }
  }
}

void read_source(Context& context, const JsonValue& root, const Source& source, node::NodeOptions& out) {
  ObjectReader top(context, &root, {});
  if (top.find("log") != nullptr) out.log = read_log(top.object("log"));
  if (top.find("policy") != nullptr) {
    out.policy_levels.clear();
    read_policy(top.object("policy"), out.policy_levels);
  }
  std::vector<node::InboundOptions> inbounds;
  std::vector<node::OutboundOptions> outbounds;
  top.objects("inbounds", [&](ObjectReader& object) { inbounds.push_back(read_inbound(object)); });
  top.objects("outbounds", [&](ObjectReader& object) { outbounds.push_back(read_outbound(object)); });
  merge(out.inbounds, std::move(inbounds));
  merge(out.outbounds, std::move(outbounds), lower(source.name).find("tail") != std::string::npos);
  if (top.find("ipsec") != nullptr) out.ipsec = read_ipsec(top.object("ipsec"));
  read_routing(top.object("routing"));
  read_dns(top.object("dns"));
  top.refuse({"inbound", "outbound", "inboundDetour", "outboundDetour"},
             "this form of V2Ray 2 is not read; use \"inbounds\" and \"outbounds\"");
  top.refuse("transport", "write \"streamSettings\" in each inbound and outbound instead");
  top.refuse({"api", "reverse", "fakeDns", "observatory", "burstObservatory", "multiObservatory", "services"},
             "not supported yet");
  top.ignore({"stats", "env", "version"});
  top.finish();
}

}  // namespace

absl::StatusOr<Config> read_v2ray_json(std::span<const Source> sources, const ReadOptions& options) {
  Context context{.sources = sources, .options = options, .error = {}, .warnings = {}};
  Config config;
  for (std::size_t i = 0; i < sources.size(); ++i) {
    auto root = parse_json(sources[i].name, sources[i].text, static_cast<int>(i));
    if (!root.ok()) return root.status();
    if (root->kind != JsonValue::Kind::kObject) {
      return absl::InvalidArgumentError(sources[i].name + ": expected an object, found " + describe(*root));
    }
    read_source(context, *root, sources[i], config.options);
    if (!context.error.ok()) return context.error;
  }
  config.warnings = std::move(context.warnings);
  return config;
}

}  // namespace winze::config
