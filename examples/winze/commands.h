// What each subcommand does; the results are exit codes.
#pragma once

#include <string>
#include <vector>

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

int run(const ConfigFiles& files, const RunOptions& options);
int check(const ConfigFiles& files);
int uuid();
int version();

}  // namespace winze::tool
