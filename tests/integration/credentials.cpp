// Workers that are somebody else than their master, as /proc sees them. Only root can have those.
#include <pwd.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <csignal>
#include <fstream>
#include <sstream>

#include "support/app.hpp"

BOOST_AUTO_TEST_SUITE(credentials)

using test::master;
using test::strings;

namespace {

boost::test_tools::assertion_result is_root(boost::unit_test::test_unit_id) {
  boost::test_tools::assertion_result root(::geteuid() == 0);
  root.message() << "only root can be somebody else";
  return root;
}

/// The numbers of one line of /proc/PID/status.
std::vector<unsigned> numbers(pid_t pid, const std::string& name) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(name + ':')) {
      std::istringstream words(line.substr(name.size() + 1));
      std::vector<unsigned> all;
      for (unsigned number = 0; words >> number;) all.push_back(number);
      return all;
    }
  return {};
}

std::string title(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/cmdline");
  std::string text;
  std::getline(file, text, '\0');
  return text;
}

void expect_nobody(pid_t pid) {
  auto* nobody = ::getpwnam("nobody");
  BOOST_REQUIRE(nobody);
  // Real, effective, saved, of the file system.
  BOOST_TEST(numbers(pid, "Uid") == std::vector<unsigned>(4, nobody->pw_uid),
             boost::test_tools::per_element());
  BOOST_TEST(numbers(pid, "Gid") == std::vector<unsigned>(4, nobody->pw_gid),
             boost::test_tools::per_element());
  for (auto group : numbers(pid, "Groups")) BOOST_TEST(group == nobody->pw_gid);
  BOOST_TEST(numbers(pid, "CapEff") == std::vector<unsigned>(1, 0),
             boost::test_tools::per_element());
}

/// With one worker that is killed once: the second comes by the same way.
void serve_as_nobody(strings arguments) {
  strings all{"-w", "1", "-b", "127.0.0.1:0", "--name", "twin", "--user", "nobody"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  master app(all);
  for (unsigned ready = 1; ready <= 2; ++ready) {
    app.wait_ready(ready);
    auto workers = app.workers();
    BOOST_REQUIRE(workers.size() == 1u);
    expect_nobody(workers[0]);
    if (arguments.empty())
      BOOST_TEST(title(workers[0]).find(" twin: worker ") != std::string::npos);
    if (ready == 1) ::kill(workers[0], SIGKILL);
  }
  BOOST_TEST(numbers(app.pid(), "Uid") == std::vector<unsigned>(4, 0),
             boost::test_tools::per_element());
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

}  // namespace

BOOST_AUTO_TEST_CASE(function_workers_are_the_user, *boost::unit_test::precondition(is_root)) {
  serve_as_nobody({});
}

BOOST_AUTO_TEST_CASE(command_workers_are_the_user, *boost::unit_test::precondition(is_root)) {
  serve_as_nobody({"--", "sleep", "1000"});
}

BOOST_AUTO_TEST_SUITE_END()
