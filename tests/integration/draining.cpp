// What clients notice of a reload, a scale-down, a recycle, a stop: nothing. The short form of
// tests/bench/zero_loss.
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <boost/test/unit_test.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <list>
#include <sstream>

#include "bench/load_client.hpp"
#include "support/app.hpp"

BOOST_AUTO_TEST_SUITE(draining)

namespace {

namespace fs = std::filesystem;
using test::master;
using test::strings;

bench::load_options clients_of(master& app, bool keep_alive) {
  bench::load_options options;
  options.port = static_cast<std::uint16_t>(app.port());
  options.keep_alive = keep_alive;
  options.connections = 16;
  options.rate = 400;
  options.patience = std::chrono::seconds(20);
  return options;
}

/// Nobody has noticed anything.
void check_unnoticed(bench::phases all, bool keep_alive) {
  for (auto& [name, counts] : all) {
    BOOST_TEST(counts.failures() == "");
    BOOST_TEST(counts.answered == counts.asked);
    if (keep_alive) BOOST_TEST(counts.closed_by_server() == 0u);
  }
}

/// Does it under load, with connections that are kept and with one a request.
void try_unnoticed(master& app, const std::function<void()>& work) {
  for (bool keep_alive : {true, false}) {
    BOOST_TEST_CONTEXT("keep-alive " << keep_alive) {
      bench::load clients(clients_of(app, keep_alive));
      work();
      check_unnoticed(clients.stop(), keep_alive);
    }
  }
}

/// Connections that the kernel has turned away, in this network namespace.
std::uint64_t dropped() {
  std::ifstream file("/proc/net/netstat");
  std::string names, values, name, value;
  while (std::getline(file, names) && std::getline(file, values)) {
    std::istringstream n(names), v(values);
    std::uint64_t sum = 0;
    bool found = false;
    while (n >> name && v >> value)
      if (name == "ListenDrops") {
        sum += std::stoull(value);
        found = true;
      }
    if (found) return sum;
  }
  throw std::runtime_error("no ListenDrops in /proc/net/netstat");
}

constexpr const char* listeners[] = {"127.0.0.1:0", "127.0.0.1:0,sharded"};

pid_t only_child_of(pid_t parent) {
  auto pid = std::to_string(parent);
  pid_t child = 0;
  std::ifstream("/proc/" + pid + "/task/" + pid + "/children") >> child;
  BOOST_REQUIRE(child > 0);
  return child;
}

void stop(master& app) {
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

/// The example worker, with another line in the place of one of its own.
struct python_worker {
  test::temporary_directory place;
  const std::string file = place / "server";
  void write(const std::string& start, const std::string& line) {
    std::stringstream text;
    text << std::ifstream(std::string(TEST_EXAMPLES) + "/any_language/worker.py").rdbuf();
    auto all = text.str();
    for (auto& [from, to] :
         {std::pair<std::string, std::string>{"    body = f\"process",
                                              "    body = f\"{os.getpid()}\\n\".encode()"},
          {start, line}}) {
      auto at = all.find('\n' + from);
      BOOST_REQUIRE(at != all.npos);
      all.replace(at + 1, all.find('\n', at + 1) - at - 1, to);
    }
    std::ofstream(file) << all;
    fs::permissions(file, fs::perms::owner_all);
  }
};

}  // namespace

BOOST_AUTO_TEST_CASE(reloads_are_not_noticed) {
  for (auto listener : listeners) {
    master app({"-w", "3", "-b", listener});
    app.wait_ready(3);
    try_unnoticed(app, [&] {
      for (int i = 0; i < 5; ++i) BOOST_TEST(app.ask({"reload"}).code == 0);
    });
    stop(app);
  }
}

BOOST_AUTO_TEST_CASE(scaling_down_and_up_is_not_noticed) {
  for (auto listener : listeners) {
    master app({"-w", "8", "-b", listener});
    app.wait_ready(8);
    auto before = dropped();
    try_unnoticed(app, [&] {
      for (int i = 0; i < 3; ++i)
        for (auto size : {"2", "8"}) BOOST_TEST(app.ask({"scale", size}).code == 0);
    });
    BOOST_TEST(dropped() == before);
    stop(app);
  }
}

BOOST_AUTO_TEST_CASE(a_sharded_listener_needs_no_privilege) {
  if (::geteuid() != 0) {
    BOOST_TEST_MESSAGE(
        "skipped: the other tests of sharded listeners are of one without privilege");
    return;
  }
  test::temporary_directory there;
  fs::permissions(there.path(), fs::perms::owner_all | fs::perms::others_exec);
  // A copy, for where the build is may be out of a stranger's reach.
  fs::copy_file(TEST_PREFORK, there / "prefork");
  const std::string as_stranger = there / "as_stranger";
  // Called as `run --control PATH`: the socket's directory is to be the stranger's.
  std::ofstream(as_stranger) << "#!/bin/sh\nchown 65534 \"${3%/*}\"\n"
                                "exec setpriv --reuid=65534 --regid=65534 --clear-groups "
                             << there / "prefork" << " \"$@\"\n";
  fs::permissions(as_stranger, fs::perms::owner_all);
  master app({"-w", "3", "-b", "127.0.0.1:0,sharded"}, as_stranger);
  app.wait_ready(3);
  struct stat whose;
  BOOST_REQUIRE(::stat(("/proc/" + std::to_string(app.pid())).c_str(), &whose) == 0);
  BOOST_TEST(whose.st_uid == 65534u);
  try_unnoticed(app, [&] {
    for (auto size : {"1", "4"}) BOOST_TEST(app.ask({"scale", size}).code == 0);
    BOOST_TEST(app.ask({"reload"}).code == 0);
  });
  stop(app);
}

BOOST_AUTO_TEST_CASE(recycling_is_not_noticed) {
  master app({"-w", "2", "-b", "127.0.0.1:0", "--max-requests", "50"});
  app.wait_ready(2);
  unsigned ready = 2;
  try_unnoticed(app, [&] { app.wait_ready(ready += 4); });
  stop(app);
}

BOOST_FIXTURE_TEST_CASE(an_app_that_boots_slowly_makes_nobody_wait, python_worker) {
  write("listener = take_listener()", "import time; time.sleep(1); listener = take_listener()");
  master app({"-w", "2", "-b", "127.0.0.1:0", "--ready", "notify", "--", file});
  app.wait_ready(2);
  auto options = clients_of(app, false);
  options.rate = 100;
  bench::load clients(options);
  BOOST_TEST(app.ask({"reload"}).code == 0);
  auto counted = clients.stop();
  BOOST_TEST(counted.front().second.percentile(1) < 900);
  check_unnoticed(std::move(counted), false);
  stop(app);
}

BOOST_AUTO_TEST_CASE(a_stop_answers_what_is_in_flight_as_pid_1_too) {
  const strings run{"-w", "2", "-b", "127.0.0.1:0"};
  for (bool inside : {false, true}) {
    BOOST_TEST_CONTEXT("in a pid namespace " << inside) {
      test::temporary_directory place;
      strings command;
      if (inside) command = {"unshare", "--pid", "--fork", "--kill-child", "--mount-proc"};
      auto control = place / "c.sock";
      command.insert(command.end(), {TEST_PREFORK, "run", "-w", "2", "-b", "127.0.0.1:0",
                                     "--control", control, "--log-format", "json"});
      test::process app(command);
      unsigned ready = 0, port = 0;
      while (ready < 2) {
        auto line = app.line();
        if (!line && inside) {
          BOOST_TEST_MESSAGE("no pid namespace to be had: not tried");
          return;
        }
        BOOST_REQUIRE(line);
        if (auto at = line->find("http=127.0.0.1:"); at != line->npos)
          port = static_cast<unsigned>(std::stoul(line->substr(at + 15)));
        ready += line->find("\"worker.ready\"") != line->npos;
      }
      std::list<test::http_request> slow;
      for (int i = 0; i < 8; ++i) slow.emplace_back(port, "/slow?ms=2000");
      // Workers accept in order: when these are answered the slow ones have been accepted.
      for (int i = 0; i < 4; ++i) BOOST_TEST(test::get(port, "/pid").status == 200);
      ::kill(inside ? only_child_of(app.pid()) : app.pid(), SIGTERM);
      for (auto& each : slow) BOOST_TEST(each.answer().status == 200);
      BOOST_TEST(app.finish().code == 0);
    }
  }
  test::await_no_process();
}

BOOST_FIXTURE_TEST_CASE(a_worker_that_asks_for_time_leaves_by_itself, python_worker) {
  write("notify(\"STOPPING=1",
        "notify('STOPPING=1\\nEXTEND_TIMEOUT_USEC=20000000'); select.select([], [], [], 1)");
  master app({"-w", "1", "-b", "127.0.0.1:0", "--ready", "notify", "--graceful-timeout", "300ms",
              "--", file});
  app.wait_ready(1);
  app.signal(SIGTERM);
  BOOST_TEST(app.wait_for("worker.extended").at("next_step_in_s").to_number<double>() > 10);
  BOOST_TEST(app.wait_for("worker.exited").at("status").as_string() == "exit 0");
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(a_drain_that_is_cut_short_is_told_with_what_it_was_at) {
  master app({"-w", "1", "-b", "127.0.0.1:0", "--graceful-timeout", "300ms"});
  app.wait_ready(1);
  test::http_request slow(app.port(), "/slow?ms=600000");
  BOOST_TEST(test::get(app.port(), "/pid").status == 200);  // the slow one was accepted before
  app.signal(SIGTERM);
  auto cut = app.wait_for("worker.escalated");
  BOOST_TEST(cut.at("signal").as_string() == "SIGKILL");
  BOOST_TEST(cut.at("text").as_string().starts_with("GET /slow, "));
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_SUITE_END()
