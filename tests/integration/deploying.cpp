// New code on disk, in the two ways it gets there.
#include <boost/test/unit_test.hpp>
#include <csignal>
#include <filesystem>

#include "support/app.hpp"

BOOST_AUTO_TEST_SUITE(deploying)

namespace {

namespace fs = std::filesystem;
using test::master;

pid_t pid_of(const boost::json::object& event) { return event.at("pid").to_number<pid_t>(); }

/// What a process runs, by the file itself: names change.
bool runs(pid_t pid, const std::string& file) {
  return fs::equivalent("/proc/" + std::to_string(pid) + "/exe", file);
}

struct fixture {
  test::temporary_directory place;
  std::string one = place / "one", two = place / "two", current = place / "current";

  fixture() {
    fs::copy_file(TEST_PREFORK, one);
    fs::copy_file(TEST_PREFORK, two);
  }
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_reload_follows_the_link_the_program_was_started_by, fixture) {
  fs::create_symlink(one, current);
  master app({"-w", "1", "-b", "127.0.0.1:0"}, current);
  BOOST_TEST(runs(pid_of(app.wait_for("mold.started")), one));
  app.wait_ready(1);

  fs::create_symlink(two, place / "next");
  fs::rename(place / "next", current);
  app.signal(SIGHUP);
  BOOST_TEST(runs(pid_of(app.wait_for("mold.started")), two));
  app.wait_for("rollout.committed");
  BOOST_TEST(test::get(app.port(), "/pid").status == 200);
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_FIXTURE_TEST_CASE(a_reload_takes_the_file_that_replaced_the_program, fixture) {
  fs::copy_file(one, current);
  master app({"-w", "1", "-b", "127.0.0.1:0"}, current);
  app.wait_ready(1);

  fs::rename(two, current);
  app.signal(SIGHUP);
  app.wait_for("rollout.started");
  BOOST_TEST(runs(pid_of(app.wait_for("worker.started")), current));
  app.wait_for("rollout.committed");
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_FIXTURE_TEST_CASE(a_reload_to_a_broken_program_leaves_the_old_one_serving, fixture) {
  fs::copy_file(one, current);
  master app({"-w", "2", "-b", "127.0.0.1:0"}, current);
  app.wait_ready(2);
  auto before = app.workers();

  fs::copy_file("/bin/false", two, fs::copy_options::overwrite_existing);
  fs::rename(two, current);
  auto reload = app.ask({"reload"});
  BOOST_TEST(reload.code == 9, reload.out + reload.err);
  BOOST_TEST((app.workers() == before));
  BOOST_TEST(test::get(app.port(), "/pid").status == 200);
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_SUITE_END()
