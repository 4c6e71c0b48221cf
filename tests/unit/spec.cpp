#include "supervisor/spec.hpp"

#include <boost/test/unit_test.hpp>
#include <functional>

using namespace supervisor;
using namespace std::chrono_literals;

namespace {

const auto nul = std::string(1, '\0');

struct fault_case {
  const char* words;  ///< in the message
  std::function<void(spec&)> spoil;
};

void check(const spec& good, const std::vector<fault_case>& cases) {
  BOOST_TEST(!find_fault(good));
  for (auto& [words, spoil] : cases) {
    auto bad = good;
    spoil(bad);
    auto fault = find_fault(bad);
    BOOST_TEST(fault.has_value(), "not found: " << words);
    if (fault) BOOST_TEST(fault->find(words) != std::string::npos, *fault << " lacks " << words);
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(spec)

BOOST_AUTO_TEST_CASE(builders_build) {
  auto s = ::supervisor::spec::command("nginx", {"-g", "daemon off;"})
               .arg("-q")
               .env("MODE", "test")
               .env("EMPTY", "");
  BOOST_TEST(s.program == "nginx");
  BOOST_TEST(!s.is_function());
  BOOST_TEST(s.arguments.size() == 3u);
  BOOST_TEST(s.arguments.back() == "-q");
  BOOST_TEST(s.environment.size() == 2u);
  BOOST_TEST(s.environment[0].second == "test");
  BOOST_TEST(!find_fault(s));
  BOOST_TEST(::supervisor::spec("web").is_function());
  BOOST_TEST(!find_fault(::supervisor::spec("web")));
}

BOOST_AUTO_TEST_CASE(faults_of_functions) {
  using s = ::supervisor::spec;
  check(s("web"), {
                      {"neither", [](s& x) { x.function.clear(); }},
                      {"give one", [](s& x) { x.program = "/bin/true"; }},
                      {"takes no arguments", [](s& x) { x.arg("-x"); }},
                      {"NUL", [](s& x) { x.function += nul; }},
                  });
}

BOOST_AUTO_TEST_CASE(faults_of_commands) {
  using s = ::supervisor::spec;
  check(s::command("/bin/true", {"{fd:http}"}),
        {
            {"neither", [](s& x) { x.program.clear(); }},
            {"NUL", [](s& x) { x.program += nul; }},
            {"argument", [](s& x) { x.arg("a" + nul + "b"); }},
            {"without a name", [](s& x) { x.env("", "x"); }},
            {"A=B", [](s& x) { x.env("A=B", "x"); }},
            {"NUL", [](s& x) { x.env("A", nul); }},
            {"set by the supervisor", [](s& x) { x.env("LISTEN_FDS", "3"); }},
            {"set by the supervisor", [](s& x) { x.env("NOTIFY_SOCKET", "/x"); }},
            {"directory", [](s& x) { x.directory = nul; }},
            {"umask 1000", [](s& x) { x.umask = 01000; }},
            {"hang_timeout is for", [](s& x) { x.hang_timeout = 1s; }},
            {"request_timeout is for", [](s& x) { x.request_timeout = 1s; }},
            {"listener 'http'", [](s& x) { x.listeners = {"admin"}; }},
            {"without a name", [](s& x) { x.listeners = {""}; }},
            {"given twice", [](s& x) { x.listeners = {"http", "http"}; }},
        });
}

BOOST_AUTO_TEST_CASE(faults_of_output_and_limits) {
  using s = ::supervisor::spec;
  check(s("web"), {
                      {"stdout", [](s& x) { x.out.where = output::to::file; }},
                      {"stderr", [](s& x) { x.err.path = "/tmp/x"; }},
                      {"'files'", [](s& x) { x.limits = {{"files", 1, 1}}; }},
                      {"nofile, nproc", [](s& x) { x.limits = {{"NOFILE", 1, 1}}; }},
                      {"above hard", [](s& x) { x.limits = {{"nofile", 2, 1}}; }},
                      {"twice", [](s& x) { x.limits = {{"core", 0, 0}, {"core", 1, 1}}; }},
                  });
}

BOOST_AUTO_TEST_CASE(faults_of_timing_and_restart) {
  using s = ::supervisor::spec;
  check(s("web"),
        {
            {"boot_timeout", [](s& x) { x.boot_timeout = 0s; }},
            {"alive_for is negative", [](s& x) { x.alive_for = -1s; }},
            {"get ready",
             [](s& x) {
               x.ready = readiness::alive;
               x.boot_timeout = x.alive_for;
             }},
            {"needs a ready_descriptor", [](s& x) { x.ready = readiness::newline; }},
            {"needs readiness::newline", [](s& x) { x.ready_descriptor = 3; }},
            {"is for commands",
             [](s& x) {
               x.ready = readiness::newline;
               x.ready_descriptor = 3;
             }},
            {"hang_timeout", [](s& x) { x.hang_timeout = -1s; }},
            {"request_timeout", [](s& x) { x.request_timeout = -1s; }},
            {"fd_store_max is more than 128", [](s& x) { x.fd_store_max = 129; }},
            {"no signal 0", [](s& x) { x.stop[0].signal = 0; }},
            {"no signal 65", [](s& x) { x.stop[0].signal = 65; }},
            {"wait", [](s& x) { x.stop[0].wait = -1ns; }},
            {"base", [](s& x) { x.restart.base = -1ns; }},
            {"cap", [](s& x) { x.restart.cap = 0s; }},
            {"jitter", [](s& x) { x.restart.jitter = 1.1; }},
            {"jitter", [](s& x) { x.restart.jitter = 0.0 / 0.0; }},
            {"healthy_after", [](s& x) { x.restart.healthy_after = -1s; }},
            {"period", [](s& x) { x.restart.give_up(5, 0s); }},
            {"half_open", [](s& x) { x.restart.half_open(5, 1s, 0s); }},
            {"cap", [](s& x) { x.restart.on(causes::any(), restart_policy().linear(2s, 1s)); }},
            {"per_second", [](s& x) { x.starts.per_second = 0; }},
            {"per_second", [](s& x) { x.starts.per_second = 0.0 / 0.0; }},
        });
}

BOOST_AUTO_TEST_CASE(what_is_unusual_is_no_fault) {
  ::supervisor::spec s("web");
  s.stop.clear();
  s.hang_timeout = 30s;
  s.request_timeout = 1s;
  s.umask = 0;
  s.restart.base = 0s;
  s.restart.jitter = 0;
  s.alive_for = 2min;  // a function says itself when it is ready
  s.limits = {{"core", 0, 0}};
  BOOST_TEST(!find_fault(s));
  auto c = ::supervisor::spec::command("sh", {"-c", "echo {fd:"});
  c.listeners = {"http"};
  BOOST_TEST(!find_fault(c));
  c.ready = readiness::notify;
  c.alive_for = 2min;
  BOOST_TEST(!find_fault(c));
}

BOOST_AUTO_TEST_SUITE_END()
