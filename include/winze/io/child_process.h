// A program that runs beside this one, for as long as it is needed (Linux): SIP003 plugins.
#pragma once

#include <absl/functional/any_invocable.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "winze/io/environment.h"

namespace winze {

struct ChildOptions {
  std::string program;  // a path, or a name that is looked for in PATH; no shell is asked
  std::vector<std::string> arguments;
  std::vector<std::pair<std::string, std::string>> environment;  // besides ours
};

// Its standard input is empty, its output ours; it has none of our other descriptors. It ends with the thread that
// started it, however that ends.
class ChildProcess {
 public:
  // `how`: "ended with status 1", "was ended by signal 9".
  using EndHandler = absl::AnyInvocable<void(std::string_view how)>;

  virtual ~ChildProcess() = default;  // asks it to end (SIGTERM), and a second later sees to it
  virtual int pid() const = 0;
};

struct ChildResult {
  std::string failure;  // "No such file or directory"; empty: it runs
  std::unique_ptr<ChildProcess> child;
};
// `on_end` is called when it ends by itself, never inside this call.
ChildResult start_child(Environment& environment, const ChildOptions& options, ChildProcess::EndHandler on_end);

}  // namespace winze
