// Broken deploys of every kind under load, and the verbs of a rollout.
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <boost/test/unit_test.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "support/app.hpp"
#include "support/load.hpp"

BOOST_AUTO_TEST_SUITE(rolling)

namespace {

namespace fs = std::filesystem;
using test::load;
using test::master;
using test::strings;

/// The example worker, deployed as a file that is replaced by rename.
struct deployed {
  test::temporary_directory place;
  const std::string file = place / "server";
  std::string good;

  deployed() {
    std::stringstream text;
    text << std::ifstream(std::string(TEST_EXAMPLES) + "/any_language/worker.py").rdbuf();
    good = text.str();
    deploy(good);
  }
  void deploy(const std::string& text) {
    auto next = file + ".next";
    std::ofstream(next) << text;
    fs::permissions(next, fs::perms::owner_all);
    fs::rename(next, file);
  }
  /// The good one with `line` in the place of the line that begins with `start`.
  std::string with(const std::string& start, const std::string& line) const {
    auto text = good;
    auto at = text.find('\n' + start);
    BOOST_REQUIRE(at != text.npos);
    return text.replace(at + 1, text.find('\n', at + 1) - at - 1, line);
  }
  strings run(strings options) const {
    strings all{"-w", "3", "-b", "127.0.0.1:0", "--ready", "notify"};
    all.insert(all.end(), options.begin(), options.end());
    all.insert(all.end(), {"--", file});
    return all;
  }
};

boost::json::object pool_of(const master& app) {
  return app.status()["pools"].as_array().at(0).as_object();
}

void check_old_ones_serve(master& app, const std::vector<pid_t>& before) {
  BOOST_TEST((app.workers() == before));
  auto pool = pool_of(app);
  BOOST_TEST(pool["generation"].as_int64() == 1);
  BOOST_TEST(pool["ready"].as_int64() == 3);
  BOOST_TEST(pool["rollout"].is_null());
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(no_broken_deploy_loses_a_request_or_replaces_a_worker, deployed) {
  const std::string listener = "listener = take_listener()", ready = "notify(\"READY=1";
  const struct {
    const char* kind;
    std::string text, reason;
  } rows[] = {
      {"exec fails", "#!/no/such/interpreter\n", "No such file or directory"},
      {"exits at boot", with(listener, "sys.exit(70)"), "exit 70"},
      {"leaves at boot", with(listener, "sys.exit(0)"), "exit 0"},
      {"never ready", with(ready, ""), "boot_timeout"},
      {"crashes when it is ready",
       with(ready, "notify('READY=1'); os.kill(os.getpid(), signal.SIGSEGV)"), "SIGSEGV"},
      // Between two requests: whoever dies in one takes it along.
      {"crashes in the bake",
       with("while told not in",
            "for left in range(20, -1, -1):\n"
            "    if not left: os.kill(os.getpid(), signal.SIGALRM)\n"
            "    if told in select.select([told, listener], [], [])[0]: break"),
       "SIGALRM"},
  };
  master app(run({"--boot-timeout", "10", "--bake", "1h"}));
  app.wait_ready(3);
  auto before = app.workers();
  load requests(app.port());
  for (auto& row : rows) {
    BOOST_TEST_CONTEXT(row.kind) {
      deploy(row.text);
      auto reload = app.ask({"reload"});
      BOOST_TEST(reload.code == 9, reload.err);
      BOOST_TEST(reload.err.find(row.reason) != std::string::npos, reload.err);
      check_old_ones_serve(app, before);
    }
  }
  // One that serves, and says at an address of its own that it is not well.
  deploy(with("listener = take_listener()",
              "import http.server, socketserver, threading\n"
              "class Ill(http.server.BaseHTTPRequestHandler):\n"
              "    def do_GET(self): self.send_error(500)\n"
              "    def log_message(self, *_): pass\n"
              "own = socketserver.UnixStreamServer('" +
                  place.path() +
                  "/w.%d' % os.getpid(), Ill)\n"
                  "threading.Thread(target=own.serve_forever, daemon=True).start()\n"
                  "listener = take_listener()"));
  auto ill = app.ask({"reload", "--bake-check", "http://unix:" + (place / "w.{pid}") + ":/up"});
  BOOST_TEST(ill.code == 9, ill.err);
  BOOST_TEST(ill.err.find("500 Internal Server Error") != std::string::npos, ill.err);
  check_old_ones_serve(app, before);
  deploy(rows[2].text);
  // HUP is gated by the same options.
  app.signal(SIGHUP);
  app.wait_for("rollout.baking");
  app.wait_for("rollout.failed");
  // And one that works goes through.
  deploy(good);
  auto reload = app.ask({"reload", "--bake", "200ms", "--canary", "2", "--batch", "2"});
  BOOST_TEST(reload.code == 0, reload.err);
  requests.stop();
  for (auto& failure : requests.failures) BOOST_ERROR(failure);
  BOOST_TEST(requests.answered > 0u);
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_FIXTURE_TEST_CASE(one_that_fails_late_is_taken_back_from_every_slot, deployed) {
  master app(run({}));
  app.wait_ready(3);
  // The third to come up fails.
  auto mark = place / "mark";
  deploy(with("listener = take_listener()",
              "listener = take_listener()\n"
              "nth = [n for n in '1234567' if not os.path.exists('" +
                  mark +
                  "' + n)][0]\n"
                  "open('" +
                  mark +
                  "' + nth, 'w')\n"
                  "if nth == '3': sys.exit(71)"));
  load requests(app.port());
  auto reload = app.ask({"reload"});
  BOOST_TEST(reload.code == 9, reload.err);
  BOOST_TEST(reload.err.find("slot 2: exit 71") != std::string::npos, reload.err);
  requests.stop();
  for (auto& failure : requests.failures) BOOST_ERROR(failure);
  auto pool = pool_of(app);
  BOOST_TEST(pool["ready"].as_int64() == 3);
  for (auto& slot : pool["slots"].as_array()) BOOST_TEST(slot.at("generation").as_int64() == 1);
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(the_verbs_of_a_rollout) {
  master app({"-w", "2", "-b", "127.0.0.1:0"});
  app.wait_ready(2);
  for (auto verb : {"pause", "resume", "abort"}) {
    auto none = app.ask({"rollout", verb});
    BOOST_TEST(none.code == 1);
    BOOST_TEST(none.err == "prefork: no rollout is under way\n");
  }
  auto nothing = app.ask({"rollout", "undo"});
  BOOST_TEST(nothing.code == 1);
  BOOST_TEST(nothing.err == "prefork: no generation before this one is kept\n");

  test::process reload({TEST_PREFORK, "reload", "--bake", "1h", "--control", app.control()});
  app.wait_for("rollout.baking");
  BOOST_TEST(app.ask({"rollout", "pause"}).code == 0);
  auto baking = app.ask({"rollout", "status"});
  BOOST_TEST(baking.code == 0);
  BOOST_TEST(baking.out.starts_with("web: generation 2: baking, paused, "), baking.out);
  BOOST_TEST(app.ask({"status"}).out.find("baking, paused") != std::string::npos);
  app.signal(SIGTTIN);  // served meanwhile
  app.wait_for("pool.resized");
  BOOST_TEST(app.ask({"scale", "2"}).code == 0);  // without waiting for the rollout
  auto abort = app.ask({"rollout", "abort", "--why", "too many errors"});
  BOOST_TEST(abort.code == 0, abort.err);
  auto ended = reload.finish();
  BOOST_TEST(ended.code == 9);
  BOOST_TEST(ended.err == "prefork: aborted: too many errors\n");

  BOOST_TEST(app.ask({"reload"}).code == 0);
  BOOST_TEST(pool_of(app)["generation"].as_int64() == 3);
  auto settled = app.ask({"rollout", "status"});
  BOOST_TEST(settled.out ==
             "web: generation 3 serves, no rollout is under way; undo can go back to 1\n");
  BOOST_TEST(app.ask({"rollout", "undo"}).code == 0);
  BOOST_TEST(pool_of(app)["generation"].as_int64() == 1);
  BOOST_TEST(test::get(app.port(), "/pid").status == 200);
  auto refused = app.ask({"rollout", "undo", "--to", "2"});
  BOOST_TEST(refused.code == 1);
  BOOST_TEST(refused.err == "prefork: generation 2 is not kept; kept: 3\n");
  auto history = app.ask({"rollout", "history"});
  for (auto words : {"committed", "aborted", "too many errors", "function demo"})
    BOOST_TEST(history.out.find(words) != std::string::npos, history.out);
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_SUITE_END()
