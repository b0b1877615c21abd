#include "winze/io/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <asio/posix/basic_stream_descriptor.hpp>
#include <cerrno>
#include <string_view>
#include <system_error>

extern char** environ;

namespace winze {
namespace {

constexpr int kPatienceMs = 1000;

std::string text_of(int error) { return std::error_code(error, std::system_category()).message(); }

std::string describe(int status) {
  if (WIFSIGNALED(status)) return "was ended by signal " + std::to_string(WTERMSIG(status));
  return "ended with status " + std::to_string(WEXITSTATUS(status));
}

// What execvpe() takes, made before the fork: behind it nothing may be allocated.
struct Words {
  std::vector<std::string> texts;
  std::vector<char*> pointers;

  void finish() {
    for (std::string& text : texts) pointers.push_back(text.data());
    pointers.push_back(nullptr);
  }
};

Words environment_of(const ChildOptions& options) {
  Words out;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::string_view name = text.substr(0, text.find('='));
    bool replaced = false;
    for (const auto& variable : options.environment) replaced |= variable.first == name;
    if (!replaced) out.texts.emplace_back(text);
  }
  for (const auto& [name, value] : options.environment) out.texts.push_back(name + "=" + value);
  out.finish();
  return out;
}

// In the child: only calls that are safe there. `report` tells the parent why there is no program.
[[noreturn]] void become(const std::string& program, const Words& arguments, const Words& variables, pid_t parent,
                         int report) {
  (void)::prctl(PR_SET_PDEATHSIG, SIGTERM);
  sigset_t none;
  sigemptyset(&none);
  (void)::sigprocmask(SIG_SETMASK, &none, nullptr);
  const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (nothing >= 0 && ::getppid() == parent) {
    (void)::dup2(nothing, STDIN_FILENO);
    ::execvpe(program.c_str(), arguments.pointers.data(), variables.pointers.data());
  }
  const int error = errno;
  (void)!::write(report, &error, sizeof error);
  ::_exit(127);
}

class Child final : public ChildProcess {
 public:
  Child(Environment& environment, pid_t pid, int handle, EndHandler on_end)
      : pid_(pid), state_(std::make_shared<State>(environment.executor, handle, std::move(on_end))) {
    state_->descriptor.async_wait(asio::posix::descriptor_base::wait_read, [state = state_, pid](std::error_code) {
      if (state->gone) return;
      int status = 0;
      if (::waitpid(pid, &status, WNOHANG) != pid) return;
      state->gone = true;
      if (state->on_end) state->on_end(describe(status));
    });
  }
  ~Child() override {
    if (std::exchange(state_->gone, true)) return;
    (void)::kill(pid_, SIGTERM);
    pollfd ended{.fd = state_->descriptor.native_handle(), .events = POLLIN, .revents = 0};
    if (::poll(&ended, 1, kPatienceMs) != 1) (void)::kill(pid_, SIGKILL);
    (void)::waitpid(pid_, nullptr, 0);
    std::error_code ignored;
    state_->descriptor.cancel(ignored);
  }
  int pid() const override { return pid_; }

 private:
  struct State {
    State(const Executor& executor, int handle, EndHandler handler)
        : descriptor(executor, handle), on_end(std::move(handler)) {}
    asio::posix::basic_stream_descriptor<Executor> descriptor;
    EndHandler on_end;
    bool gone = false;  // and waited for: the number may be another's by now
  };

  pid_t pid_;
  std::shared_ptr<State> state_;
};

}  // namespace

ChildResult start_child(Environment& environment, const ChildOptions& options, ChildProcess::EndHandler on_end) {
  Words arguments;
  arguments.texts.push_back(options.program);
  arguments.texts.insert(arguments.texts.end(), options.arguments.begin(), options.arguments.end());
  arguments.finish();
  const Words variables = environment_of(options);
  int report[2];
  if (::pipe2(report, O_CLOEXEC) != 0) return {text_of(errno), nullptr};
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid == 0) become(options.program, arguments, variables, parent, report[1]);
  const int fork_error = errno;
  ::close(report[1]);
  int error = pid < 0 ? fork_error : 0;
  // Empty when the program has begun: the pipe was closed by that.
  if (pid > 0 && ::read(report[0], &error, sizeof error) != sizeof error) error = 0;
  ::close(report[0]);
  const int handle = error == 0 ? static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)) : -1;
  if (error == 0 && handle < 0) {
    error = errno;
    (void)::kill(pid, SIGKILL);
  }
  if (error != 0) {
    if (pid > 0) (void)::waitpid(pid, nullptr, 0);
    return {text_of(error), nullptr};
  }
  (void)::fcntl(handle, F_SETFD, FD_CLOEXEC);
  return {{}, std::make_unique<Child>(environment, pid, handle, std::move(on_end))};
}

}  // namespace winze
