#include "winze/config/plugin_options.h"

#include <doctest/doctest.h>

#include "winze/base/status.h"

namespace winze::config {
namespace {

using Options = std::map<std::string, std::string>;

TEST_CASE("plugin options: keys, values, and escapes of both") {
  struct Row {
    std::string_view text;
    Options wanted;
  };
  for (const Row& row : {
           Row{"", {}},
           Row{";;", {}},
           Row{"server", {{"server", "1"}}},
           Row{"server;tls;host=a.test;", {{"server", "1"}, {"tls", "1"}, {"host", "a.test"}}},
           Row{"a=;b=c=d", {{"a", ""}, {"b", "c=d"}}},
           Row{R"(path=/a\;b\\c\=d\e;x\=\;y=1)", {{"path", R"(/a;b\c=de)"}, {"x=;y", "1"}}},
           Row{"\xff=\xfe\\\xfd", {{"\xff", "\xfe\xfd"}}},
       }) {
    CAPTURE(row.text);
    const auto found = parse_plugin_options(row.text);
    REQUIRE_MESSAGE(found.ok(), message_of(found.status()));
    CHECK(*found == row.wanted);
  }
}

TEST_CASE("plugin options: what is wrong is an error that says so") {
  const auto error = [](std::string_view text) { return std::string(message_of(parse_plugin_options(text).status())); };
  CHECK(error("a;=b") == "a value without a key");
  CHECK(error("a\\") == "a backslash with nothing behind it");
  CHECK(error("a=b\\") == "a backslash with nothing behind it");
  CHECK(error("a=b;c;a") == "\"a\": is there twice");
}

}  // namespace
}  // namespace winze::config
