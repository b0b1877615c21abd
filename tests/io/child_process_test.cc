#include "winze/io/child_process.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <unistd.h>

#include <asio/io_context.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "winze/io/system.h"

namespace winze {
namespace {

using namespace std::chrono_literals;

struct Fixture {
  asio::io_context context{1};
  SystemEnvironment system{context.get_executor()};
};

TEST_CASE("child process: its environment, arguments and end") {
  Fixture f;
  const std::string file = std::filesystem::temp_directory_path() / ("winze-child-" + std::to_string(::getpid()));
  std::string how;
  // A shell only because it can write variables to a file; quotes and spaces arrive as they are.
  ChildResult result =
      start_child(f.system,
                  {.program = "sh",
                   .arguments = {"-c", "printf '%s|%s' \"$SS_TEST\" \"$1\" > " + file + "; exit 3", "sh", "a 'b' $c"},
                   .environment = {{"SS_TEST", "x;y=\"z\""}}},
                  [&](std::string_view text) { how = text; });
  REQUIRE(result.failure.empty());
  CHECK(how.empty());
  f.context.run_for(30s);
  CHECK(how == "ended with status 3");
  std::ifstream in(file);
  CHECK(std::string(std::istreambuf_iterator<char>(in), {}) == "x;y=\"z\"|a 'b' $c");
  std::remove(file.c_str());
}

TEST_CASE("child process: a program that is not there") {
  Fixture f;
  const ChildResult result = start_child(f.system, {.program = "winze-no-such-program"}, nullptr);
  CHECK(result.failure == "No such file or directory");
  CHECK(result.child == nullptr);
}

TEST_CASE("child process: ends with its owner, also one that does not want to, and without a word") {
  Fixture f;
  for (const char* script : {"sleep 100", "trap '' TERM; while :; do sleep 0.1; done"}) {
    bool told = false;
    ChildResult result =
        start_child(f.system, {.program = "sh", .arguments = {"-c", script}}, [&](std::string_view) { told = true; });
    REQUIRE(result.child != nullptr);
    const int pid = result.child->pid();
    CHECK(::kill(pid, 0) == 0);
    result.child.reset();
    CHECK(::kill(pid, 0) != 0);
    f.context.run_for(10ms);
    f.context.restart();
    CHECK_FALSE(told);
  }
}

}  // namespace
}  // namespace winze
