// Groups of a configuration, from outside.
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <boost/test/unit_test.hpp>
#include <chrono>
#include <csignal>
#include <fstream>
#include <map>

#include "support/app.hpp"

BOOST_AUTO_TEST_SUITE(groups)

namespace {

std::string pool(const std::string& name, const std::string& more = "") {
  return "[pool." + name + "]\ncommand = ['sleep', '1000']\nready = 'alive:10ms'\nworkers = 1\n" +
         more;
}
std::string group(const std::string& members, const std::string& more = "") {
  return "[group.shop]\nmembers = " + members + "\n" + more;
}

/// A folder with one configuration in it.
struct file {
  test::temporary_directory there;
  std::string path = there / "shop.toml";
  void write(const std::string& text) const { std::ofstream(path) << text; }
};

struct running : test::master {
  running(const file& f, unsigned workers) : master({"--config", f.path}) { wait_ready(workers); }

  pid_t pid_of(const std::string& name) const {
    auto now = status();
    for (auto& pool : now["pools"].as_array())
      if (pool.at("name").as_string() == name)
        return pool.at("slots").as_array().at(0).at("pid").to_number<pid_t>();
    return 0;
  }
  /// "shop: a b sub", with the state of a child that does not run.
  std::string groups() const {
    std::string text;
    auto now = status();
    for (auto& group : now["groups"].as_array()) {
      text += (text.empty() ? "" : "; ") + std::string(group.at("name").as_string()) + ":";
      for (auto& child : group.at("children").as_array()) {
        text += ' ' + std::string(child.at("name").as_string());
        if (child.at("state").as_string() != "running")
          text += '=' + std::string(child.at("state").as_string());
      }
    }
    return text;
  }
  /// Asks until they are so; where they do not get so, it tells what they are.
  std::string groups_once(const std::string& wanted) const {
    auto end = std::chrono::steady_clock::now() + test::patience;
    auto now = groups();
    while (now != wanted && std::chrono::steady_clock::now() < end) now = groups();
    return now;
  }
  void crash(const std::string& name) const { ::kill(pid_of(name), SIGSEGV); }
  void end() {
    signal(SIGTERM);
    BOOST_TEST(finish().code == 0);
  }
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_pool_that_ends_takes_its_group_along, file) {
  write(pool("db", "restart = ['escalate']\n") + pool("web", "needs = ['db']\n") + pool("alone") +
        group("['db', 'web']", "strategy = 'one_for_all'\nintensity = '1/1m'\n"));
  running app(*this, 3);
  BOOST_TEST(app.groups() == "shop: db web");
  auto db = app.pid_of("db"), web = app.pid_of("web"), alone = app.pid_of("alone");

  app.crash("db");
  app.wait_ready(5);
  BOOST_TEST(app.pid_of("db") != db);
  BOOST_TEST(app.pid_of("web") != web);
  BOOST_TEST(app.pid_of("alone") == alone);
  auto shown = app.ask({"status"});
  BOOST_TEST(shown.out.find("shop.db") != std::string::npos, shown.out);
  BOOST_TEST(shown.out.find("one_for_all") != std::string::npos, shown.out);

  // One more than its intensity, and the master has failed; nothing is left.
  app.crash("db");
  BOOST_TEST(app.finish().code == 1);
}

BOOST_FIXTURE_TEST_CASE(groups_change_around_their_workers, file) {
  const auto pools = pool("db") + pool("web");
  write(pools);
  running app(*this, 2);
  BOOST_TEST(app.groups() == "");
  auto db = app.pid_of("db"), web = app.pid_of("web");
  auto apply = [&](const std::string& text, const std::string& told) {
    write(text);
    BOOST_TEST(app.ask({"plan", path}).out == told);
    auto applied = app.ask({"apply", path});
    BOOST_TEST(applied.code == 0, applied.err);
    BOOST_TEST(applied.out == told);
    BOOST_TEST(app.pid_of("db") == db);
    BOOST_TEST(app.pid_of("web") == web);
    BOOST_TEST(app.ask({"plan", path}).out.starts_with("  "), "there is nothing left to do");
  };
  apply(pools + group("['db', 'web']"),
        "+ group shop: one_for_one of db, web\n  2 pools unchanged\n");
  BOOST_TEST(app.groups_once("shop: db web") == "shop: db web");
  apply(pools + group("['web']", "strategy = 'one_for_all'\n"),
        "~ group shop: goes on otherwise (strategy, members)\n  2 pools unchanged\n");
  apply(pools + pool("jobs") + group("['web', 'jobs']"),
        "~ group shop: goes on otherwise (strategy, members)\n"
        "+ pool jobs: 1 worker of sleep 1000\n  2 pools unchanged\n");
  BOOST_TEST(app.groups() == "shop: web jobs");
  BOOST_TEST(app.pid_of("jobs") > 0);
  apply(pools + group("['web', 'inner']") + "[group.inner]\nmembers = ['db']\n",
        "~ group shop: goes on otherwise (members)\n+ group inner: one_for_one of db\n"
        "- pool jobs: 1 worker leave\n  2 pools unchanged\n");
  BOOST_TEST(app.groups() == "shop: web inner; inner: db");
  BOOST_TEST(app.pid_of("jobs") == 0);
  // HUP does the same.
  write(pools + group("['db']"));
  app.signal(SIGHUP);
  app.wait_for("group.released");
  BOOST_TEST(app.groups_once("shop: db") == "shop: db");
  // A pool gives its name back when it is gone, not before.
  write(pool("db") + "[group.web]\nmembers = ['db']\n");
  auto refused = app.ask({"apply", path});
  BOOST_TEST(refused.code == 10, refused.err);
  BOOST_TEST(refused.err.find("group web has the name of a pool") != std::string::npos);
  BOOST_TEST(app.groups() == "shop: db");
  apply(pools, "- group shop: what stays of it goes on without\n  2 pools unchanged\n");
  BOOST_TEST(app.groups() == "");
  app.end();
}

BOOST_FIXTURE_TEST_CASE(members_stop_from_right_to_left_and_a_scale_of_one_holds, file) {
  write(pool("db") + pool("web", "scale = 'spare:1-2'\nkeep-generations = 3\n") +
        group("['db', 'web']"));
  running app(*this, 2);
  BOOST_TEST(app.ask({"plan", path}).out == "  2 pools unchanged\n");
  BOOST_TEST(app.ask({"reload"}).code == 0);
  BOOST_TEST(app.groups() == "shop: db web");
  app.signal(SIGTERM);
  auto first =
      app.wait_for("worker.stopping", [](auto& e) { return e.at("why").as_string() == "stopped"; });
  BOOST_TEST(first.at("pool").as_string() == "web");
  BOOST_TEST(app.finish().code == 0);
}

BOOST_FIXTURE_TEST_CASE(a_later_apply_ends_the_wait_for_a_tree_that_is_no_more, file) {
  auto never_ready = pool("db");
  never_ready.replace(never_ready.find("alive:10ms"), 10, "notify");
  write(pool("alone") + never_ready + pool("web") + group("['db', 'web']"));
  running app(*this, 1);
  BOOST_TEST(app.pid_of("web") == 0);
  BOOST_TEST(app.groups() == "shop: db=starting web=waiting");
  write(pool("alone") + pool("web") + group("['web']"));
  auto applied = app.ask({"apply", path});
  BOOST_TEST(applied.code == 0, applied.err);
  BOOST_TEST(app.groups() == "shop: web");
  BOOST_TEST(app.pid_of("db") == 0);
  app.end();
}

BOOST_FIXTURE_TEST_CASE(who_needs_what_is_not_there_waits_for_it, file) {
  const std::string later = there / "later";
  write(pool("web", "needs = ['migrate:completed']\n") +
        "[pool.migrate]\ncommand = ['sh', '-c', 'until test -e " + later +
        "; do sleep 0.05; done']\nworkers = 1\nready = 'alive:10ms'\nrestart = ['transient']\n");
  running app(*this, 1);
  auto waiting = app.ask({"status"});
  BOOST_TEST(waiting.code == 5);
  BOOST_TEST(waiting.out.find("for migrate: completed") != std::string::npos, waiting.out);
  BOOST_TEST(app.ask({"apply", path}).code == 0);
  std::ofstream(later) << "";
  app.wait_ready(2);
  app.end();
}

BOOST_FIXTURE_TEST_CASE(a_configuration_with_wrong_groups_changes_nothing, file) {
  write(pool("web") + group("['web']"));
  auto checked = test::prefork({"check", path});
  BOOST_TEST(checked.code == 0, checked.err);
  BOOST_TEST(checked.out == path +
                                " is right; it would run:\n+ group shop: one_for_one of web\n"
                                "+ pool web: 1 worker of sleep 1000\n");
  running app(*this, 1);
  auto web = app.pid_of("web");
  write(pool("web", "needs = ['db']\n") + group("['web', 'mail']"));
  const auto told = path + ":5:10: needs: there is no pool \"db\"; write [pool.db]\n" + path +
                    ":7:19: members: there is no pool or group \"mail\"; write [pool.mail]\n";
  auto wrong = test::prefork({"check", path});
  BOOST_TEST(wrong.code == 2);
  BOOST_TEST(wrong.err == told);
  BOOST_TEST(app.ask({"apply", path}).code == 2);
  app.signal(SIGHUP);
  app.wait_for("handler.failed");
  BOOST_TEST(app.pid_of("web") == web);
  BOOST_TEST(app.groups() == "shop: web");
  app.end();
}

BOOST_AUTO_TEST_SUITE_END()
