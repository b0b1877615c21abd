// What each subcommand does; the results are exit codes.
#pragma once

#include <string>
#include <vector>

#include "winze/node/options.h"

namespace winze::tool {

struct ConfigFiles {
  std::vector<std::string> names;
  bool lenient = false;
};

struct RunOptions {
  unsigned threads = 0;  // 0: one per core
  std::string log_level;
  std::string log_format = "text";
  unsigned grace_seconds = 5;
  std::string stats_file = "-";
  unsigned stats_seconds = 0;
};

struct LinkOptions {
  std::string link;
  bool outbound_only = false;
  std::string listen = "127.0.0.1:1080";
  // Or the other way round:
  std::vector<std::string> from;
  std::string tag;
  std::string user;
  std::string host;
  std::string server_name;
  std::string plugin;
  bool standard_vmess = false;
};

int run(const ConfigFiles& files, const RunOptions& options);
int run(node::NodeOptions nodes, const RunOptions& options);
int plugin(const RunOptions& options);
int check(const ConfigFiles& files);
int link(const LinkOptions& options);
int uuid();
int version();

}  // namespace winze::tool
