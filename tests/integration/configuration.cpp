// Several pools from a file: check, plan, apply, HUP.
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <boost/test/unit_test.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>

#include "kernel/pidfd.hpp"
#include "support/app.hpp"

BOOST_AUTO_TEST_SUITE(configuration)

using test::master;
using test::strings;
namespace fs = std::filesystem;

namespace {

/// A folder with one configuration in it.
struct file {
  test::temporary_directory there;
  std::string path = there / "shop.toml";

  void write(const std::string& text) const { std::ofstream(path) << text; }
  void change(const std::string& old, const std::string& fresh) const {
    std::string text;
    std::getline(std::ifstream(path), text, '\0');
    auto at = text.find(old);
    BOOST_REQUIRE(at != text.npos);
    write(text.replace(at, old.size(), fresh));
  }
};

struct running : master {
  running(const file& f, unsigned workers) : master({"--config", f.path}) { wait_ready(workers); }

  using pool_pids = std::map<std::string, std::vector<std::int64_t>>;
  /// Who stays: a worker that a rollout or a scale took off is on its way out for a while.
  pool_pids pids() const {
    pool_pids all;
    auto now = status();
    for (auto& pool : now["pools"].as_array()) {
      auto& of_pool = all[pool.at("name").as_string().c_str()];
      for (auto& slot : pool.at("slots").as_array())
        if (slot.at("state").as_string() != "stopping")
          of_pool.push_back(slot.at("pid").as_int64());
    }
    return all;
  }
  void end() {
    signal(SIGTERM);
    BOOST_TEST(finish().code == 0);
  }
};

bool has(const std::string& text, const std::string& words) {
  return text.find(words) != text.npos;
}

std::string pool(const std::string& name, const std::string& more = "workers = 1\n") {
  return "[pool." + name + "]\ncommand = ['sleep', '1000']\nready = 'alive:10ms'\n" + more;
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(one_of_fifty_changes_alone, file) {
  std::string text;
  for (int i = 0; i < 50; ++i) text += pool("p" + std::to_string(i), "workers = 1\nenv.A = '1'\n");
  write(text);
  running app(*this, 50);
  auto before = app.pids();
  BOOST_REQUIRE(before.size() == 50u);

  change("[pool.p7]", "[pool.p7]\nenv.B = '2'");
  auto planned = app.ask({"plan", path});
  BOOST_TEST(planned.code == 0, planned.err);
  BOOST_TEST(planned.out == "~ pool p7: rolls (env)\n  49 pools unchanged\n");
  BOOST_TEST((app.pids() == before), "a plan changes nothing");

  auto applied = app.ask({"apply", path, "--why", "B is new"});
  BOOST_TEST(applied.code == 0, applied.err);
  BOOST_TEST(applied.out == planned.out);
  auto after = app.pids();
  for (auto& [name, pids] : before) BOOST_TEST((after[name] == pids) == (name != "p7"), name);

  auto command = app.wait_for("command.received", [](auto& e) {
    return has(e.at("text").as_string().c_str(), "B is new");
  });
  auto rollout = app.wait_for("rollout.started");
  BOOST_TEST(rollout.at("cause").as_int64() == command.at("id").as_int64());
  BOOST_TEST(app.ask({"apply", path}).out == "  50 pools unchanged\n");
  BOOST_TEST((app.pids() == after));
  app.end();
}

BOOST_FIXTURE_TEST_CASE(a_scale_restarts_nobody, file) {
  write(pool("web", "workers = 3\n") + pool("mail"));
  running app(*this, 4);
  auto before = app.pids();
  change("workers = 3", "workers = 5");
  auto applied = app.ask({"apply", path});
  BOOST_TEST(applied.code == 0, applied.err);
  BOOST_TEST(applied.out == "~ pool web: scales 3 -> 5\n  1 pool unchanged\n");
  auto after = app.pids();
  BOOST_REQUIRE(after["web"].size() == 5u);
  after["web"].resize(3);
  BOOST_TEST((after == before));
  // By hand, and back to what the file says.
  BOOST_TEST(app.ask({"scale", "2", "--pool", "web"}).code == 0);
  app.signal(SIGHUP);
  app.wait_ready(9);
  BOOST_TEST(app.pids()["web"].size() == 5u);
  app.end();
}

BOOST_FIXTURE_TEST_CASE(a_pool_follows_its_load_and_no_more_without_a_restart, file) {
  write(pool("web", "workers = 4\nscale = 'spare:2-3'\ncanary = 2\n") + pool("mail"));
  running app(*this, 3);
  auto before = app.pids();
  BOOST_REQUIRE(before["web"].size() == 2u);
  BOOST_TEST(app.ask({"plan", path}).out == "  2 pools unchanged\n");

  change("scale = 'spare:2-3'", "scale = 'static'");
  auto fixed = app.ask({"apply", path});
  BOOST_TEST(fixed.code == 0, fixed.err);
  BOOST_TEST(fixed.out ==
             "~ pool web: follows its load no more, scales 2 -> 4\n  1 pool unchanged\n");
  auto after = app.pids();
  BOOST_REQUIRE(after["web"].size() == 4u);
  after["web"].resize(2);
  BOOST_TEST((after == before));

  // Nobody is busy: two of four are too many idle ones, one of them leaves.
  change("scale = 'static'", "scale = 'spare:1-3'");
  app.signal(SIGHUP);
  app.wait_for("pool.resized", [](auto& e) { return e.at("target").as_int64() == 3; });
  app.wait_for("worker.exited");
  BOOST_TEST(app.ask({"plan", path}).out == "  2 pools unchanged\n");
  BOOST_TEST((app.pids()["mail"] == before["mail"]));
  app.end();
}

BOOST_FIXTURE_TEST_CASE(HUP_applies_the_file_as_it_is_now, file) {
  write(pool("web") + pool("mail"));
  running app(*this, 2);
  auto before = app.pids();
  change("[pool.mail]", "[pool.mail]\nchdir = '/'");
  app.signal(SIGHUP);
  auto committed = app.wait_for("rollout.committed");
  BOOST_TEST(committed.at("pool").as_string() == "mail");
  auto after = app.pids();
  BOOST_TEST((after["web"] == before["web"]));
  BOOST_TEST((after["mail"] != before["mail"]));

  change("chdir = '/'", "chdir = '/no/such'\nwrokers = 1");
  app.signal(SIGHUP);
  auto refused = app.wait_for("handler.failed");
  std::string words = refused.at("message").as_string().c_str();
  BOOST_TEST(has(words, path + ":6:1: chdir: the directory '/no/such'"), words);
  BOOST_TEST(has(words, "nothing was changed"), words);
  BOOST_TEST((app.pids() == after));
  app.end();
}

BOOST_FIXTURE_TEST_CASE(WINCH_drains_all_and_HUP_brings_them_back, file) {
  write(pool("web") + pool("mail"));
  running app(*this, 2);
  app.signal(SIGWINCH);
  app.wait_for("worker.exited");
  app.wait_for("worker.exited");
  app.signal(SIGHUP);
  app.wait_ready(4);
  app.end();
}

BOOST_FIXTURE_TEST_CASE(pools_and_listeners_come_and_go, file) {
  auto old_socket = there / "old.sock", new_socket = there / "new.sock";
  write("[listeners]\nhttp = 'unix:" + old_socket + "'\n[pool.web]\ndemo = true\nworkers = 1\n");
  running app(*this, 1);
  BOOST_TEST(test::http_request(old_socket, "/pid").answer().status == 200);
  auto web = app.pids()["web"];

  change("[pool.web]",
         "admin = 'unix:" + there / "admin.sock" + "'\n[pool.web]\nlisteners = ['http']");
  change("[listeners]", pool("jobs", "workers = 2\nlisteners = ['admin']\n") + "[listeners]");
  auto applied = app.ask({"apply", path});
  BOOST_TEST(applied.code == 0, applied.err);
  BOOST_TEST(has(applied.out, "+ listener admin: unix:"), applied.out);
  BOOST_TEST(has(applied.out, "+ pool jobs: 2 workers of sleep 1000\n  1 pool unchanged"),
             applied.out);
  BOOST_TEST(fs::exists(there / "admin.sock"));
  BOOST_TEST((app.pids()["web"] == web), "it gets the same listeners as before");

  change(old_socket, new_socket);
  applied = app.ask({"apply", path});
  BOOST_TEST(applied.code == 0, applied.err);
  BOOST_TEST(has(applied.out, "~ pool web: rolls (listener http)"), applied.out);
  BOOST_TEST(test::http_request(new_socket, "/pid").answer().status == 200);
  auto refused = test::http_request(old_socket, "/pid").answer();
  BOOST_TEST(has(refused.body, "connect: "), "nobody waits where nobody serves: " << refused.body);

  // Another name for the same address, under which another pool takes over.
  write("[listeners]\nhttp = 'unix:" + new_socket + "'\n[pool.www]\ndemo = true\nworkers = 1\n");
  applied = app.ask({"apply", path});
  BOOST_TEST(applied.code == 0, applied.err);
  BOOST_TEST(has(applied.out, "- listener admin"), applied.out);
  BOOST_TEST(has(applied.out, "- pool web: 1 worker leave"), applied.out);
  auto now = app.pids();
  BOOST_TEST(now.size() == 1u);
  BOOST_TEST(test::http_request(new_socket, "/pid").answer().status == 200);
  BOOST_TEST(!fs::exists(there / "admin.sock"));
  app.end();
  BOOST_TEST(!fs::exists(new_socket));
}

BOOST_FIXTURE_TEST_CASE(an_address_in_use_changes_nothing, file) {
  write(pool("web"));
  running app(*this, 1);
  auto before = app.pids();
  auto a = there / "a.sock";
  write("[listeners]\na = 'unix:" + a + "'\nb = 'unix:" + app.control() + "'\n" +
        pool("web", "workers = 3\n") + pool("more"));
  auto applied = app.ask({"apply", path});
  BOOST_TEST(applied.code == 10, applied.out);
  BOOST_TEST(has(applied.err, app.control() + ": Address already in use"), applied.err);
  BOOST_TEST((app.pids() == before));
  BOOST_TEST(!fs::exists(a), "what was opened on the way is closed again");
  app.end();
}

BOOST_FIXTURE_TEST_CASE(a_broken_program_is_rolled_back, file) {
  write(pool("web") + pool("mail") + pool("old"));
  running app(*this, 3);
  auto before = app.pids();
  write(pool("web", "workers = 1\nenv.A = '1'\n") +
        "[pool.mail]\ncommand = ['false']\nready = 'notify'\nworkers = 1\n");
  auto applied = app.ask({"apply", path});
  BOOST_TEST(applied.code == 9, applied.err);
  BOOST_TEST(has(applied.err, "pool mail: slot 0: exit 1"), applied.err);
  auto after = app.pids();
  BOOST_TEST((after["mail"] == before["mail"]));
  BOOST_TEST((after["web"] != before["web"]));
  BOOST_TEST((after["old"] == before["old"]), "what is to go stays until all else is well");
  BOOST_TEST(has(app.ask({"plan", path}).out, "~ pool mail: rolls (command, ready)\n- pool old"));

  write(pool("web", "workers = 1\nenv.A = '1'\n") + pool("mail"));
  BOOST_TEST(app.ask({"apply", path}).code == 0);
  after = app.pids();
  BOOST_TEST((after["mail"] == before["mail"]));
  BOOST_TEST(!after.contains("old"));
  app.end();
}

BOOST_FIXTURE_TEST_CASE(a_pool_that_does_not_get_ready_is_told, file) {
  write(pool("web"));
  running app(*this, 1);
  write(pool("web") + "[pool.bad]\ncommand = ['false']\nready = 'notify'\n");
  auto applied = app.ask({"apply", path});
  BOOST_TEST(applied.code == 5, applied.err);
  BOOST_TEST(has(applied.err, "pool bad: slot 0 is backing off: exit 1"), applied.err);
  app.end();
}

BOOST_FIXTURE_TEST_CASE(a_later_apply_takes_the_place_of_one_that_waits, file) {
  write(pool("web") + pool("mail"));
  running app(*this, 2);
  write(pool("web") + "[pool.slow]\ncommand = ['sleep', '1000']\nready = 'notify'\n");
  test::process waiting({TEST_PREFORK, "apply", path, "--control", app.control()});
  app.wait_for("pool.opened");
  write(pool("web") + pool("mail"));
  auto later = app.ask({"apply", path});
  BOOST_TEST(later.code == 0, later.err);
  BOOST_TEST(waiting.finish().code == 10);
  BOOST_TEST(app.pids().size() == 2u);
  app.end();
}

BOOST_FIXTURE_TEST_CASE(a_stop_answers_an_apply_that_waits, file) {
  write(pool("web"));
  running app(*this, 1);
  write("[pool.slow]\ncommand = ['sleep', '1000']\nready = 'notify'\n");
  test::process waiting({TEST_PREFORK, "apply", path, "--control", app.control()});
  app.wait_for("pool.opened");
  app.signal(SIGTERM);
  BOOST_TEST(waiting.finish().code == 10);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_FIXTURE_TEST_CASE(a_client_that_leaves_changes_nothing_for_the_apply, file) {
  write(pool("web"));
  running app(*this, 1);
  write("[pool.next]\ncommand = ['sleep', '1000']\nready = 'alive:1s'\n");
  BOOST_TEST(app.ask({"apply", path, "--timeout", "50ms"}).code == 6);
  app.wait_for("pool.stopped");
  BOOST_TEST(app.pids().contains("next"));
  app.end();
}

BOOST_FIXTURE_TEST_CASE(check_says_what_it_would_run, file) {
  write("[master]\nname = 'shop'\ndrain-delay = 5\n[listeners]\nhttp = ':8080'\n" +
        pool("web", "workers = 2\n"));
  auto right = test::prefork({"check", path});
  BOOST_TEST(right.code == 0, right.err);
  BOOST_TEST(right.out == path +
                              " is right; it would run:\n+ listener http: *:8080\n"
                              "+ pool web: 2 workers of sleep 1000\n");
}

BOOST_FIXTURE_TEST_CASE(a_wrong_file_is_told_of_by_every_verb, file) {
  write(pool("web", "workers = 0\nwrokers = 1\n"));
  auto told = path + ":4:1: workers: \"0\" is neither auto nor a number from 1 to 10000\n" + path +
              ":5:1: unknown key \"wrokers\"; did you mean workers?\n";
  for (auto& verb :
       {strings{"check"}, strings{"plan"}, strings{"apply"}, strings{"run", "--config"}}) {
    auto arguments = verb;
    arguments.push_back(path);
    auto end = test::prefork(arguments);
    BOOST_TEST(end.code == 2, verb[0]);
    BOOST_TEST(end.err == told, verb[0]);
    BOOST_TEST(end.out.empty());
  }
  BOOST_TEST(test::prefork({"check", there / "none"}).code == 2);
}

BOOST_FIXTURE_TEST_CASE(the_file_names_the_master, file) {
  write("[master]\ncontrol = '" + there / "c.sock" + "'\n" + pool("web"));
  auto none = test::prefork({"plan", path});
  BOOST_TEST(none.code == 3);
  BOOST_TEST(has(none.err, there / "c.sock"), none.err);
  test::process app({TEST_PREFORK, "run", "--config", path});
  while (auto line = app.line())
    if (has(*line, "ready")) break;
  auto planned = test::prefork({"plan", path});
  BOOST_TEST(planned.code == 0, planned.err);
  BOOST_TEST(planned.out == "  1 pool unchanged\n");
  change("[master]", "[master]\nlog-level = 'debug'");
  planned = test::prefork({"plan", path});
  BOOST_TEST(planned.out == "! master: log-level when it is started again\n  1 pool unchanged\n");
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_FIXTURE_TEST_CASE(the_master_looks_at_the_machine, file) {
  write(pool("web"));
  running app(*this, 1);
  auto before = app.pids();
  change("'sleep'", "'/no/such/program'");
  for (auto* verb : {"plan", "apply"}) {
    auto end = app.ask({verb, path});
    BOOST_TEST(end.code == 2);
    BOOST_TEST(has(end.err, path + ":2:12: command: the command '/no/such/program'"), end.err);
  }
  BOOST_TEST((app.pids() == before));
  app.end();
}

BOOST_FIXTURE_TEST_CASE(what_was_not_applied_waits_when_the_master_dies, file) {
  write(pool("a", "workers = 2\n") + pool("b") + pool("c"));
  running app(*this, 4);
  BOOST_TEST(app.ask({"scale", "3", "--pool", "a"}).code == 0);
  auto before = app.pids();
  write(pool("a", "workers = 1\nenv.A = '1'\n") + pool("b"));
  for (auto pid : supervisor::kernel::children_of(app.pid())) ::kill(pid, SIGKILL);
  app.wait_for("supervisor.started");
  BOOST_TEST((app.pids() == before));
  auto applied = app.ask({"apply", path});
  BOOST_TEST(applied.code == 0, applied.err);
  BOOST_TEST(has(applied.out, "~ pool a: scales 3 -> 1, rolls (env)"), applied.out);
  BOOST_TEST(has(applied.out, "- pool c: 1 worker leave"), applied.out);
  auto now = app.pids();
  BOOST_TEST(now.size() == 2u);
  BOOST_TEST(now["a"].size() == 1u);
  BOOST_TEST((now["b"] == before["b"]));
  app.end();
}

BOOST_AUTO_TEST_SUITE_END()
