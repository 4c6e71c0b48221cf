// prefork as the first process of a rootless container, with the usual seccomp profile.
#include <signal.h>

#include <boost/test/unit_test.hpp>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "support/app.hpp"

using test::strings;

namespace {

std::vector<pid_t> children_of(pid_t parent) {
  auto pid = std::to_string(parent);
  std::ifstream list("/proc/" + pid + "/task/" + pid + "/children");
  return {std::istream_iterator<pid_t>(list), {}};
}

bool has_line(const std::string& path, const std::string& wanted) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);)
    if (line == wanted) return true;
  return false;
}

/// unshare(1), whose child is PID 1 in there: the keeper.
class contained {
 public:
  contained() {
    auto line = app_.line();
    there_ = line && line->find("supervisor.started") != line->npos;  // else unshare(1) says why
    if (!there_) return;
    take(*line);
    wait_ready(2);
  }
  /// Whether there are namespaces to be had.
  explicit operator bool() const {
    if (!there_) BOOST_TEST_MESSAGE("no user namespace to be had: not tried");
    return there_;
  }
  void wait_ready(unsigned count) {
    while (ready_ < count) {
      auto line = app_.line();
      BOOST_REQUIRE(line);
      take(*line);
    }
  }
  unsigned port() const { return port_; }
  pid_t first() const {
    auto below = children_of(app_.pid());
    BOOST_REQUIRE(below.size() == 1u);
    return below.front();
  }
  test::ending ask(strings words) const {
    words.insert(words.end(), {"--control", place_ / "c.sock"});
    return test::prefork(std::move(words));
  }
  test::ending finish() { return app_.finish(); }

 private:
  void take(const std::string& line) {
    if (auto at = line.find("http=127.0.0.1:"); at != line.npos)
      port_ = static_cast<unsigned>(std::stoul(line.substr(at + 15)));
    ready_ += line.find("\"worker.ready\"") != line.npos;
  }

  test::temporary_directory place_;
  test::process app_{{"unshare",      "--user",     "--map-root-user",
                      "--pid",        "--fork",     "--kill-child",
                      "--mount-proc", TEST_CHILD,   "contain",
                      "exec",         TEST_PREFORK, "run",
                      "-w",           "2",          "-b",
                      "127.0.0.1:0",  "--control",  place_ / "c.sock",
                      "--log-format", "json"}};
  bool there_ = false;
  unsigned ready_ = 0, port_ = 0;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(container)

BOOST_AUTO_TEST_CASE(all_goes_as_elsewhere) {
  contained inside;
  if (!inside) return;
  BOOST_TEST(has_line("/proc/" + std::to_string(inside.first()) + "/status", "Seccomp:\t2"));
  BOOST_TEST(test::get(inside.port(), "/pid").status == 200);
  BOOST_TEST(inside.ask({"reload"}).code == 0);
  inside.wait_ready(4);
  BOOST_TEST(inside.ask({"signal", "0", "KILL"}).code == 0);
  inside.wait_ready(5);
  BOOST_TEST(test::get(inside.port(), "/pid").status == 200);
  ::kill(inside.first(), SIGTERM);
  BOOST_TEST(inside.finish().code == 0);
  test::await_no_process();
}

BOOST_AUTO_TEST_CASE(strangers_are_reaped) {
  contained inside;
  if (!inside) return;
  auto first = inside.first();
  // Somebody's command in the container, which leaves a child behind.
  auto entered = test::run({"nsenter", "--target", std::to_string(first), "--user", "--pid",
                            "--preserve-credentials", "sh", "-c",
                            "exec >/dev/null 2>&1; sleep 1000 & exit 0"});
  BOOST_TEST(entered.code == 0);
  auto all = children_of(first);
  BOOST_REQUIRE(all.size() == 2u);
  ::kill(all.back(), SIGKILL);
  BOOST_TEST(test::comes_true([&] { return children_of(first).size() == 1u; }));
  ::kill(first, SIGTERM);
  BOOST_TEST(inside.finish().code == 0);
  test::await_no_process();
}

BOOST_AUTO_TEST_CASE(a_killed_keeper_is_the_end_of_all) {
  contained inside;
  if (!inside) return;
  ::kill(inside.first(), SIGKILL);
  BOOST_TEST(inside.finish().code != 0);
  BOOST_TEST(test::get(inside.port(), "/pid").status == 0);
  test::await_no_process();
}

BOOST_AUTO_TEST_SUITE_END()
