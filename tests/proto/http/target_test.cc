#include "winze/proto/http/target.h"

#include <doctest/doctest.h>

#include <ostream>

#include "winze/proto/credentials.h"
#include "winze/proto/http/basic.h"
#include "winze/proto/http/error.h"

namespace winze::http {
namespace {

TEST_CASE("http: authorities") {
  struct Row {
    std::string_view text, destination;
  };
  for (const Row& row : {Row{"example.org:443", "example.org:443"}, Row{"example.org", "example.org:80"},
                         Row{"example.org:", "example.org:80"}, Row{"192.0.2.1:1", "192.0.2.1:1"},
                         Row{"[2001:db8::1]", "[2001:db8::1]:80"}, Row{"[::1]:8080", "[::1]:8080"}}) {
    Destination out;
    CHECK_FALSE(parse_authority(row.text, 80, out));
    CHECK(out.to_string() == row.destination);
  }
  for (std::string_view bad : {"", ":80", "a:b:80", "::1", "[::1", "[::1]80", "[a]:1", "[1.2.3.4]:80", "a:65536",
                               "a:-1", "a:8 0", "user@a:80", "a/b:80", "a b", "a:80/", "a,b"}) {
    CAPTURE(bad);
    Destination out;
    CHECK(parse_authority(bad, 80, out) == Errc::kBadTarget);
  }
}

TEST_CASE("http: absolute targets") {
  struct Row {
    std::string_view text, destination, authority, origin;
  };
  for (const Row& row : {Row{"http://example.org/a?b=http://c/", "example.org:80", "example.org", "/a?b=http://c/"},
                         Row{"HTTP://example.org:81", "example.org:81", "example.org:81", "/"},
                         Row{"http://example.org?q", "example.org:80", "example.org", "/?q"},
                         Row{"http://[::1]:81//x", "[::1]:81", "[::1]:81", "//x"}}) {
    AbsoluteTarget out;
    CHECK_FALSE(parse_absolute(row.text, out));
    CHECK(out.destination.to_string() == row.destination);
    CHECK(out.authority == row.authority);
    CHECK(out.origin == row.origin);
  }
  for (std::string_view bad : {"", "/", "*", "http:", "http://", "http:///path", "https://example.org/", "ftp://a/",
                               "http://user:pw@example.org/", "http://a/#f", "http://a:x/", "example.org:80"}) {
    CAPTURE(bad);
    AbsoluteTarget out;
    CHECK(parse_absolute(bad, out) == Errc::kBadTarget);
  }
}

TEST_CASE("http: Basic credentials") {
  CHECK(basic_credentials("Aladdin", "open sesame") == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");  // RFC 7617 §2
  PasswordList list;
  list.add("Aladdin", "open sesame");
  list.add("a", "b:c", 7);
  const auto checked = [&](std::string_view value) {
    Fields fields;
    fields.add("proxy-authorization", value);
    return check_basic(fields, &list);
  };
  CHECK(checked("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==").value().name == "Aladdin");
  CHECK(checked("bAsIc   QWxhZGRpbjpvcGVuIHNlc2FtZQ").value().level == 0);
  CHECK(checked(basic_credentials("a", "b:c")).value().name == "a");
  CHECK(checked(basic_credentials("a", "b:c")).value().level == 7);
  for (std::string_view bad :
       {"", "Basic", "Basic ", "BasicQWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        "Basic QWxhZGRpbg==", "Basic !!!!", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ== x"}) {
    CAPTURE(bad);
    CHECK_FALSE(checked(bad));
  }
  CHECK_FALSE(checked(basic_credentials("Aladdin", "open sesam")));
  CHECK_FALSE(checked(basic_credentials("a", "open sesame")));
  Fields twice;
  CHECK_FALSE(check_basic(twice, &list));
  CHECK(check_basic(twice, nullptr).value().name.empty());
  twice.add("Proxy-Authorization", basic_credentials("a", "b:c"));
  twice.add("Proxy-Authorization", basic_credentials("a", "b:c"));
  CHECK_FALSE(check_basic(twice, &list));
}

}  // namespace
}  // namespace winze::http
