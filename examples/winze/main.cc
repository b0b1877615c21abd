// The winze command-line tool.
#include <CLI/CLI.hpp>
#include <cstdlib>

#include "commands.h"

namespace {

// By a Shadowsocks, whose plugins are programs without arguments.
bool is_started_as_plugin(int argc) {
  return argc == 1 && std::getenv("SS_LOCAL_PORT") != nullptr && std::getenv("SS_REMOTE_PORT") != nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  const winze::tool::RunOptions plugin_run{.threads = 1, .grace_seconds = 0};
  if (is_started_as_plugin(argc)) return winze::tool::plugin(plugin_run);
  CLI::App app("winze: embeddable tunnels. Runs proxy chains from V2Ray's and Xray's JSON configuration.", "winze");
  app.require_subcommand(1);
  winze::tool::ConfigFiles files;
  winze::tool::RunOptions run;
  const auto config_options = [&](CLI::App* command) {
    command
        ->add_option("-c,--config", files.names,
                     "Configuration file; several merge in this order (- is standard input)")
        ->required()
        ->check([](const std::string& name) { return name == "-" ? std::string() : CLI::ExistingFile(name); });
    command->add_flag("--lenient", files.lenient, "Warn about unknown keys instead of refusing them");
  };

  CLI::App* run_command =
      app.add_subcommand("run",
                         "Run a configuration until SIGINT or SIGTERM; SIGHUP re-reads certificates, SIGUSR1 "
                         "writes statistics");
  config_options(run_command);
  run_command
      ->add_option("--threads", run.threads,
                   "Worker threads; each has its own listeners on the same ports (default: one per core)")
      ->check(CLI::Range(1, 256));
  run_command->add_option("--log-level", run.log_level, "Overrides the configuration's log.loglevel")
      ->check(CLI::IsMember({"debug", "info", "warning", "error", "none"}));
  run_command->add_option("--log-format", run.log_format, "One line per connection and event, as text or JSON")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  run_command->add_option("--grace", run.grace_seconds, "Seconds that connections have to finish after SIGTERM")
      ->check(CLI::Range(0, 3600))
      ->capture_default_str();
  run_command
      ->add_option("--stats-file", run.stats_file,
                   "Where statistics go: traffic and connections by inbound, outbound and user, as one JSON object. A "
                   "file is replaced as a whole; - is a line on standard output")
      ->capture_default_str();
  run_command
      ->add_option("--stats-interval", run.stats_seconds,
                   "Seconds from one writing of them to the next; 0: on SIGUSR1 only")
      ->check(CLI::Range(0, 86400))
      ->capture_default_str();
  CLI::App* check_command =
      app.add_subcommand("check", "Read a configuration and its certificates, and say what is wrong with them");
  config_options(check_command);
  winze::tool::LinkOptions link;
  CLI::App* link_command = app.add_subcommand(
      "link", "Turn a share link (vless, vmess, trojan, ss) into a configuration, or a part of one into a link");
  auto* link_text = link_command->add_option("link", link.link, "The link; what is printed is ready for `winze run`");
  link_command->add_flag("--outbound", link.outbound_only, "Print the outbound alone, to be put into a configuration");
  link_command->add_option("--listen", link.listen, "Where the configuration serves SOCKS and HTTP")
      ->capture_default_str();
  auto* link_from =
      link_command->add_option("--from", link.from, "Print the link of a part of this configuration instead")
          ->excludes(link_text);
  auto* link_tag = link_command->add_option("--tag", link.tag, "Of the outbound, or the inbound")->needs(link_from);
  link_from->needs(link_tag);
  link_command
      ->add_option("--user", link.user,
                   "Of an inbound: whose link, by e-mail address or id; needed when there are several")
      ->needs(link_from);
  link_command->add_option("--host", link.host, "Of an inbound: where clients find the server")->needs(link_from);
  link_command
      ->add_option("--sni", link.server_name, "Of an inbound with TLS: the name in its certificate, if not the host")
      ->needs(link_from);
  link_command
      ->add_option("--plugin", link.plugin,
                   "Of an inbound with a SIP003 plugin: what clients run, \"PROGRAM;OPTIONS\"; needed where the "
                   "server's does not say it (v2ray-plugin's, simple-obfs's and winze's do)")
      ->needs(link_from);
  link_command
      ->add_flag("--standard-vmess", link.standard_vmess,
                 "Of VMess: print vmess://ID@HOST:PORT?..., as the other protocols' links are, and not v2rayN's Base64")
      ->needs(link_from);
  link_command->callback([&] {
    if (link.link.empty() && link.from.empty()) throw CLI::RequiredError("a link, or --from");
  });
  CLI::App* plugin_command = app.add_subcommand(
      "plugin", "Be a SIP003 plugin: carry Shadowsocks' connections by WebSocket, as SS_PLUGIN_OPTIONS says");
  // What callers append that treat all plugins alike.
  plugin_command->allow_extras();
  CLI::App* uuid_command = app.add_subcommand("uuid", "Print a new random user id");
  CLI::App* version_command = app.add_subcommand("version", "Print the versions of winze and of what it is built on");
  CLI11_PARSE(app, argc, argv);

  if (*run_command) return winze::tool::run(files, run);
  if (*check_command) return winze::tool::check(files);
  if (*link_command) return winze::tool::link(link);
  if (*plugin_command) return winze::tool::plugin(plugin_run);
  if (*uuid_command) return winze::tool::uuid();
  return *version_command ? winze::tool::version() : 2;
}
