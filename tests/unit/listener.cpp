// listener_spec as it is written on a command line.
#include "supervisor/listener.hpp"

#include <boost/test/unit_test.hpp>
#include <stdexcept>

using supervisor::listener_spec;

BOOST_AUTO_TEST_SUITE(listener)

BOOST_AUTO_TEST_CASE(addresses) {
  using family = listener_spec::family;
  const struct {
    const char* text;
    const char* name;
    family kind;
    const char* host;
    std::uint16_t port;
    int descriptor;
    const char* address;
  } table[] = {
      {"127.0.0.1:8080", "http", family::tcp, "127.0.0.1", 8080, -1, "127.0.0.1:8080"},
      {":80", "http", family::tcp, "*", 80, -1, "*:80"},
      {"*:0", "http", family::tcp, "*", 0, -1, "*:0"},
      {"localhost:65535", "http", family::tcp, "localhost", 65535, -1, "localhost:65535"},
      {"[::1]:8080", "http", family::tcp, "::1", 8080, -1, "[::1]:8080"},
      {"[fe80::1%eth0]:1", "http", family::tcp, "fe80::1%eth0", 1, -1, "[fe80::1%eth0]:1"},
      {"admin=0.0.0.0:9", "admin", family::tcp, "0.0.0.0", 9, -1, "0.0.0.0:9"},
      {"api-2=[::]:9", "api-2", family::tcp, "::", 9, -1, "[::]:9"},
      {"unix:/run/a.sock", "http", family::unix_path, "/run/a.sock", 0, -1, "unix:/run/a.sock"},
      {"unix:/run/a=b", "http", family::unix_path, "/run/a=b", 0, -1, "unix:/run/a=b"},
      {"x=unix:a:b", "x", family::unix_path, "a:b", 0, -1, "unix:a:b"},
      {"fd:3", "http", family::descriptor, "", 0, 3, "fd:3"},
      {"web=fd:0", "web", family::descriptor, "", 0, 0, "fd:0"},
  };
  for (const auto& row : table) {
    BOOST_TEST_CONTEXT(row.text) {
      const auto spec = listener_spec::parse(row.text);
      BOOST_TEST(spec.name == row.name);
      BOOST_TEST((spec.kind == row.kind));
      BOOST_TEST(spec.host == row.host);
      BOOST_TEST(spec.port == row.port);
      BOOST_TEST(spec.descriptor == row.descriptor);
      BOOST_TEST(spec.address() == row.address);
      // What address() prints is understood again.
      BOOST_TEST(listener_spec::parse(spec.address()).address() == row.address);
    }
  }
  BOOST_TEST(listener_spec::parse(":1", "web").name == "web");
  BOOST_TEST(!listener_spec::parse(":1").sharded);
  const auto sharded = listener_spec::parse("web=[::1]:80,sharded");
  BOOST_TEST(sharded.sharded);
  BOOST_TEST(sharded.name == "web");
  BOOST_TEST(sharded.address() == "[::1]:80");
}

BOOST_AUTO_TEST_CASE(refusals_name_the_text_and_the_way_out) {
  const std::string long_path = "unix:/" + std::string(107, 'x');
  const struct {
    std::string text;
    const char* says;
  } table[] = {
      {"", "no address"},
      {"web=", "no address"},
      {"8080", "write 127.0.0.1:8080 or :8080"},
      {":80,shared", "'80,shared' is not a port"},
      {"unix:/run/a.sock,sharded", "only a TCP address can be sharded"},
      {"fd:3,sharded", "only a TCP address can be sharded"},
      {"127.0.0.1", "no port"},
      {"127.0.0.1:", "'' is not a port"},
      {"127.0.0.1:http", "'http' is not a port"},
      {"127.0.0.1:65536", "from 0 to 65535"},
      {"127.0.0.1:-1", "not a port"},
      {"127.0.0.1:80 ", "not a port"},
      {"::1:80", "needs brackets"},
      {"[127.0.0.1]:80", "not an IPv6 address"},
      {"[::1:80", "needs brackets"},
      {"[::1]", "no port; write [::1]:8080"},
      {"example.org:80", "names are not looked up"},
      {"127.1:80", "not a numeric address"},
      {"a b=:80", "letters, digits"},
      {"=:80", "letters, digits"},
      {"unix:", "no path"},
      {long_path, "107 bytes"},
      {"fd:", "not a descriptor"},
      {"fd:x", "not a descriptor"},
      {"fd:-1", "not a descriptor"},
      {"fd:99999999999", "not a descriptor"},
  };
  for (const auto& row : table) {
    const auto names_it = [&](const std::invalid_argument& e) {
      const std::string what = e.what();
      BOOST_TEST_INFO(what);
      BOOST_TEST(what.starts_with("listener '" + row.text + "': "));
      BOOST_TEST_INFO(what);
      BOOST_TEST(what.find(row.says) != what.npos);
      return true;
    };
    BOOST_TEST_CONTEXT(row.text)
    BOOST_CHECK_EXCEPTION(listener_spec::parse(row.text), std::invalid_argument, names_it);
  }
}

BOOST_AUTO_TEST_CASE(what_is_open_is_known_again) {
  struct {
    const char* wanted;
    const char* open;
    bool same;
  } const rows[] = {
      {"127.0.0.1:80", "127.0.0.1:80", true},
      {"127.0.0.1:0", "127.0.0.1:40001", true},
      {"localhost:80", "127.0.0.1:80", true},
      {":80", "*:80", true},
      {"[::1]:0", "[::1]:7", true},
      {"127.0.0.1:80", "127.0.0.1:81", false},
      {"127.0.0.1:80", "*:80", false},
      {"127.0.0.1:0", "127.0.0.2:7", false},
      {"unix:/a", "unix:/a", true},
      {"unix:/a", "unix:/b", false},
      {"unix:/a", "127.0.0.1:80", false},
      {"fd:3", "fd:3", true},
      {"fd:3", "fd:4", false},
      {"127.0.0.1:40001", "127.0.0.1:0", false},
  };
  for (auto& row : rows) BOOST_TEST_CONTEXT(row.wanted << " and " << row.open)
  BOOST_TEST(listener_spec::parse(row.wanted).matches(listener_spec::parse(row.open)) == row.same);
}

BOOST_AUTO_TEST_SUITE_END()
