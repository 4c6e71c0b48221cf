// Configurations: what they say, and where they are wrong.
#include "config.hpp"

#include <boost/test/unit_test.hpp>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>

#include "kernel/reuseport.hpp"
#include "nearest.hpp"
#include "support/temporary.hpp"

BOOST_AUTO_TEST_SUITE(config)

using namespace std::chrono_literals;
using strings = std::vector<std::string>;

namespace {

app::reading read(const std::string& document) {
  return app::read_configuration(document, app::inspect_alone);
}

/// "LINE:COLUMN: TEXT" of every complaint.
strings complaints(const std::string& document) {
  strings lines;
  for (auto& c : read(document).complaints)
    lines.push_back(std::to_string(c.at.line) + ":" + std::to_string(c.at.column) + ": " + c.text);
  return lines;
}

app::configuration good(const std::string& document) {
  auto got = read(document);
  for (auto& c : got.complaints) BOOST_ERROR(c.at.line << ": " << c.text);
  return got.wanted;
}

std::string contents(const std::string& path) {
  std::ifstream file(path);
  BOOST_REQUIRE(file);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

BOOST_AUTO_TEST_CASE(everything_can_be_said) {
  auto said = good(R"(
[master]
name = "shop"
control = "/tmp/c.sock"
pidfile = "/tmp/p"
drain-delay = 5
log-level = "debug"
log-format = "json"
log-file = "/tmp/l"

[listeners]
http = "localhost:8080"
admin = "unix:/tmp/a.sock"

[pool.web]
command = ["./serve", "--fd", "{fd:http}"]
workers = 7
listeners = ["http"]
graceful-timeout = 1.5
boot-timeout = "500ms"
stop-signal = "QUIT"
stop-then = ["INT:5s", "ABRT:1m"]
user = "nobody"
group = "nogroup"
no-new-privileges = true
umask = "027"
chdir = "/tmp"
env = { A = "1", B = "x=y", C = 3 }
limit.nofile = "100:200"
limit.core = "unlimited"
stdout = "/tmp/out"
stderr = "null"
restart = ["exit=78:give-up", "transient,fixed=2"]
start-rate = "20/50"
scale = "spare:2-4"
max-age = "1h"
recycle-jitter = 0.5
recycle-at-once = 2
fd-store-max = 3
bake-check = "http://127.0.0.1:8080/up"
ready = "alive:0.25"

[pool.all]
command = ["./other"]

[pool.demo]
demo = true
timeout = 30
request-timeout = "90s"
listeners = ["admin", "http"]

[pool.jobs]
command = ["./job"]
listeners = []
)");
  auto& run = said.master.run;
  BOOST_TEST(run.name == "shop");
  BOOST_TEST(run.control == "/tmp/c.sock");
  BOOST_TEST(run.pidfile == "/tmp/p");
  BOOST_CHECK(run.log.level == supervisor::severity::debug);
  BOOST_TEST(run.log.json);
  BOOST_TEST(run.log.file == "/tmp/l");
  BOOST_CHECK(said.master.prefork.drain_delay == 5s);
  auto& listeners = said.master.prefork.listeners;
  BOOST_REQUIRE(listeners.size() == 2u);
  BOOST_TEST(listeners[0].name == "http");
  BOOST_TEST(listeners[0].address() == "127.0.0.1:8080");
  BOOST_TEST(listeners[1].address() == "unix:/tmp/a.sock");

  BOOST_REQUIRE(said.pools.size() == 4u);
  BOOST_TEST(said.pools[0].name == "web");
  auto& web = said.pools[0].said;
  BOOST_TEST(web.prefork.workers == 7u);
  BOOST_TEST(web.what.program == "./serve");
  BOOST_TEST((web.what.arguments == strings{"--fd", "{fd:http}"}));
  BOOST_TEST((web.what.listeners == strings{"http"}));
  BOOST_REQUIRE(web.what.stop.size() == 3u);
  BOOST_CHECK(web.what.stop[0].wait == 1500ms);
  BOOST_TEST(web.what.stop[0].signal == SIGQUIT);
  BOOST_TEST(web.what.stop[1].signal == SIGINT);
  BOOST_CHECK(web.what.stop[2].wait == 1min);
  BOOST_CHECK(web.what.boot_timeout == 500ms);
  BOOST_TEST(web.what.user == "nobody");
  BOOST_TEST(web.what.group == "nogroup");
  BOOST_TEST(web.what.no_new_privileges);
  BOOST_TEST(*web.what.umask == mode_t(027));
  BOOST_TEST(web.what.directory == "/tmp");
  BOOST_REQUIRE(web.what.environment.size() == 3u);
  BOOST_TEST(web.what.environment[1].second == "x=y");
  BOOST_TEST(web.what.environment[2].second == "3");
  BOOST_REQUIRE(web.what.limits.size() == 2u);
  BOOST_TEST(web.what.limits[0].hard == 200u);
  BOOST_TEST(web.what.out.path == "/tmp/out");
  BOOST_CHECK(web.what.err.where == supervisor::output::to::null);
  BOOST_CHECK(web.what.alive_for == 250ms);
  BOOST_CHECK(web.what.restart.type == supervisor::restart_type::transient);
  BOOST_CHECK(web.what.restart.base == 2s);
  BOOST_TEST(web.what.restart.rules.size() == 1u);
  BOOST_TEST(web.what.starts.burst == 50u);
  BOOST_TEST(web.scale == "spare:2-4");
  BOOST_TEST(said.pools[0].size == 2u);
  BOOST_TEST(web.what.recycle.jitter == 0.5);
  BOOST_TEST(web.what.recycle.at_once == 2u);
  BOOST_TEST(web.what.fd_store_max == 3u);
  BOOST_TEST(web.prefork.rollouts.probe.value().path == "/up");

  BOOST_TEST(said.pools[1].name == "all");
  BOOST_TEST((said.pools[1].said.what.listeners == strings{"http", "admin"}));
  BOOST_TEST(said.pools[1].said.prefork.workers == 2u);
  BOOST_TEST(said.pools[2].said.what.is_function());
  BOOST_CHECK(said.pools[2].said.what.request_timeout == 90s);
  BOOST_TEST((said.pools[2].said.what.listeners == strings{"admin", "http"}));
  BOOST_REQUIRE(said.pools[3].said.what.listeners);
  BOOST_TEST(said.pools[3].said.what.listeners->empty());
}

BOOST_AUTO_TEST_CASE(defaults_are_for_what_a_pool_does_not_say) {
  auto said = good(R"(
[pool.a]
command = ["a"]
[pool.b]
command = ["b"]
workers = 5
env = { X = "mine" }
[defaults]
workers = 3
env = { X = "theirs", Y = "1" }
)");
  BOOST_TEST(said.pools[0].said.prefork.workers == 3u);
  BOOST_TEST(said.pools[1].said.prefork.workers == 5u);
  using variables = std::vector<std::pair<std::string, std::string>>;
  BOOST_CHECK((said.pools[0].said.what.environment == variables{{"X", "theirs"}, {"Y", "1"}}));
  BOOST_CHECK((said.pools[1].said.what.environment == variables{{"X", "mine"}, {"Y", "1"}}));
}

BOOST_AUTO_TEST_CASE(mistakes_are_told_with_their_place_and_the_way_out) {
  const std::string web = "[pool.web]\ncommand = ['x']\n";
  struct {
    std::string document;
    strings told;
  } const rows[] = {
      {"", {"1:1: there is no pool; write [pool.web] and, below it, command = [\"PROGRAM\"]"}},
      {"[pool.web]\nworkers = 2\n",
       {"1:7: pool web has no command; write command = [\"PROGRAM\", \"ARGUMENT\"]"}},
      {web + "wokers = 3\n", {"3:1: unknown key \"wokers\"; did you mean workers?"}},
      {web + "[pools.b]\n", {"3:2: unknown table \"pools\"; did you mean pool?"}},
      {web + "[master]\nnmae = 'x'\n", {"4:1: unknown key \"nmae\"; did you mean name?"}},
      {web + "[master]\nworkers = 3\n",
       {"4:1: unknown key \"workers\"; known are name, control, pidfile, die-with-master, "
        "drain-delay, log-level, "
        "log-format, log-file"}},
      {web + "  workers = [3]\n",
       {"3:3: workers is an array; write workers = 5, or workers = \"...\""}},
      {web + "workers = true\n",
       {"3:1: workers is true or false; write workers = 5, or workers = \"...\""}},
      {web + "workers = 0\n", {"3:1: workers: \"0\" is neither auto nor a number from 1 to 10000"}},
      {web + "scale = 'auto'\n",
       {"3:1: scale: \"auto\" is not static, spare:MIN-MAX, demand[:TIME] or backlog[:N]"}},
      {web + "scale = 'spare:5-6'\nworkers = 4\n",
       {"3:1: scale: 5 idle workers are more than the 4 there may be"}},
      {web + "bake-check = 'ping'\ncanary = 0\n",
       {"3:1: bake-check: probe 'ping': write http://ADDR/PATH, tcp://ADDR, exec:PROGRAM "
        "ARGUMENTS, log:TEXT or heartbeat"}},
      {web + "umask = 27\n", {"3:1: umask is a number; write umask = \"27\""}},
      {web + "chdir = 1979-05-27\n", {"3:1: chdir is a date or a time; write chdir = \"...\""}},
      {web + "no-new-privileges = 'yes'\n",
       {"3:1: no-new-privileges is a string; write no-new-privileges = true"}},
      {web + "boot-timeout = 'soon'\n",
       {"3:1: boot-timeout: \"soon\" is no duration; write seconds, or 500ms, 1.5s, 2m"}},
      {web + "boot-timeout = 0\n", {"3:1: boot-timeout: boot_timeout must be more than zero"}},
      {web + "ready = 'alive:2m'\n",
       {"3:1: ready: alive_for is not shorter than boot_timeout: no worker could get ready"}},
      {web + "timeout = 5\n",
       {"3:1: timeout: hang_timeout is for function workers: a program cannot be asked for a sign "
        "of life"}},
      {web + "limit = { nofile = 5, nofiel = 3 }\n",
       {"3:23: limit: unknown limit 'nofiel'; known are nofile, nproc, core, as, cpu, data, fsize, "
        "memlock, stack"}},
      {web + "limit = { nofile = '9:5' }\n", {"3:11: limit: limit nofile: soft 9 is above hard 5"}},
      {web + "env = { A = true }\n", {"3:9: A of env is true or false; write A = \"...\""}},
      {web + "env = 'A=1'\n", {"3:1: env is a string; write env = { NAME = \"...\" }"}},
      {web + "env = { LISTEN_FDS = 3, A = 1 }\n",
       {"3:9: env: environment variable 'LISTEN_FDS' is set by the supervisor"}},
      {web + "stop-then = [\n  'INT:5',\n  'NOPE:5',\n 7]\n",
       {"5:3: stop-then: there is no signal \"NOPE\"; see: kill -l",
        "6:2: an element of stop-then is a number; write stop-then = [\"7\"]"}},
      {"[pool.web]\ncommand = './serve'\n",
       {"1:7: pool web has no command; write command = [\"PROGRAM\", \"ARGUMENT\"]",
        "2:1: command is a string; write command = [\"./serve\"]"}},
      {"[pool.web]\ncommand = []\n",
       {"1:7: pool web has no command; write command = [\"PROGRAM\", \"ARGUMENT\"]"}},
      {"[listeners]\nhttp = ':80'\n[pool.a]\ncommand = ['a', '{fd:htp}']\n",
       {"4:17: command: argument '{fd:htp}' uses listener 'htp', which the workers do not get"}},
      {"[listeners]\nhttp = ':80'\n[pool.a]\ncommand = ['a']\nlisteners = ['htp', 'http', "
       "'http']\n",
       {"5:14: there is no listener \"htp\"; did you mean http?",
        "5:29: listeners: listener 'http' is given twice"}},
      {web + "listeners = ['admin']\n",
       {"3:14: there is no listener \"admin\"; write admin = \"ADDR\" below [listeners]"}},
      {web + "[listeners]\na = ':80'\nb = '*:80'\n",
       {"5:1: listener b has the address of the one in line 4; give it another, or give workers "
        "that one"}},
      {web + "[listeners]\na = '127.0.0.1:0'\nb = '127.0.0.1:0'\n", {}},
      {web + "[listeners]\na = 80\n",
       {"4:1: listener a is a number; write a = \"127.0.0.1:8080\""}},
      {"[listeners]\na = 'example.com:80'\n[pool.web]\ncommand = ['x']\nlisteners = ['a']\n",
       {"2:1: listener 'a=example.com:80': 'example.com' is not a numeric address; names are not "
        "looked up: give the address, localhost, or * for all"}},
      {web + "demo = true\n", {"3:1: demo: the pool has a command; give one of the two"}},
      {"[pool.web]\ndemo = true\n",
       {"2:1: demo: it serves the listener named http; write http = \"ADDR\" below [listeners], "
        "and "
        "give it that"}},
      {"[pool.\"a b\"]\ncommand = ['x']\n[pool.'a.b']\ncommand = ['x']\n",
       {"1:7: pool: \"a b\" is not a name of letters, digits, '-', '_' and '.'",
        "3:7: pool: \"a.b\" is not a name of letters, digits, '-' and '_'"}},
      {"pool = 3\n[listeners.a]\n",
       {"1:1: pool is a number, not a table; write [pool.NAME]",
        "2:12: listener a is a table; write a = \"127.0.0.1:8080\""}},
      {"[pool]\nweb = 'x'\n", {"2:1: web is a string, not a table; write [pool.web]"}},
      {web + "workers = 2\nworkers = 3\n", {"4:11: cannot redefine existing integer 'workers'"}},
      {"[listeners]\na = ':1'\na = ':2'\n" + web, {"3:5: cannot redefine existing string 'a'"}},
      {web + "[pool.web]\n", {"3:1: cannot redefine existing table 'pool.web'"}},
      {web + "[pool.mail\n", {"3:11: expected ']', saw '\\n'"}},
      // All of them, in the order of the file; what is wrong with a default once.
      {"[defaults]\ntimeout = 5\nx = 1\n" + web + "[pool.b]\ncommand = ['y']\nworkers = -1\n" +
           "[master]\nlog-level = 'loud'\n",
       {"2:1: timeout: hang_timeout is for function workers: a program cannot be asked for a sign "
        "of life",
        "3:1: unknown key \"x\"; known are "
        "listeners, command, demo, workers, scale, graceful-timeout, boot-timeout, timeout, "
        "request-timeout, fd-store-max, stop-signal, stop-then, user, group, no-new-privileges, "
        "umask, chdir, "
        "env, limit, stdout, stderr, ready, liveness, liveness-period, liveness-timeout, "
        "liveness-failures, liveness-start, max-requests, max-age, max-memory, "
        "recycle-jitter, recycle-at-once, restart, start-rate, needs, canary, bake, bake-check, "
        "batch, "
        "max-unavailable, progress-deadline, keep-generations",
        "8:1: workers: \"-1\" is neither auto nor a number from 1 to 10000",
        "10:1: log-level: \"loud\" is not debug, info, notice, warning or error"}},
  };
  for (auto& row : rows)
    BOOST_TEST(complaints(row.document) == row.told, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(what_this_machine_has_not_is_told_at_its_key) {
  auto got = app::read_configuration(
      "[pool.web]\ncommand = ['/no/such/program']\nuser = 'nobdy'\nchdir = '/no/such'\n"
      "[pool.mail]\ncommand = ['true']\n",
      app::inspect_here);
  std::vector<app::place> places;
  for (auto& c : got.complaints) places.push_back(c.at);
  BOOST_CHECK((places == std::vector<app::place>{{2, 12}, {3, 1}, {4, 1}}));
}

BOOST_AUTO_TEST_CASE(a_command_has_no_sharded_listener_where_the_kernel_would_lose_connections) {
  auto got = app::read_configuration(
      "[listeners]\nhttp = '127.0.0.1:0,sharded'\nplain = '127.0.0.1:0'\n"
      "[pool.web]\ncommand = ['true']\n"
      "[pool.mail]\nlisteners = ['plain']\ncommand = ['true']\n"
      "[pool.demo]\ndemo = true\n",
      app::inspect_here);
  if (supervisor::kernel::moves_to_others()) {
    BOOST_TEST(got.complaints.empty());
  } else {
    BOOST_REQUIRE(got.complaints.size() == 1u);
    BOOST_CHECK((got.complaints[0].at == app::place{5, 12}));
    BOOST_TEST(got.complaints[0].text.find("net.ipv4.tcp_migrate_req=1") != std::string::npos);
  }
}

BOOST_AUTO_TEST_CASE(files_are_named) {
  test::temporary_directory there;
  auto words_of = [](const std::string& file) -> std::string {
    try {
      app::load_configuration(file, app::inspect_alone);
    } catch (const app::bad_configuration& error) {
      return error.what();
    }
    return "";
  };
  auto file = there / "a.toml";
  BOOST_TEST(words_of(file) == file + ": No such file or directory");
  BOOST_TEST(words_of(there.path()) == there.path() + ": Is a directory");
  std::ofstream(file) << "";
  BOOST_TEST(words_of(file).starts_with(file + ":1:1: there is no pool"));
  std::ofstream(file) << "[pool.web]\ncommand = ['x']\nx = 1\ny = 2\n";
  auto words = words_of(file);
  BOOST_TEST(words.starts_with(file + ":3:1: unknown key"));
  BOOST_TEST(words.find("\n" + file + ":4:1: ") != words.npos);
  std::ofstream(file) << "[pool.web]\ncommand = ['x']\n";
  BOOST_TEST(words_of(file) == "");
}

BOOST_AUTO_TEST_CASE(near_is_what_somebody_may_have_meant) {
  const strings known{"workers", "user", "umask", "env"};
  struct {
    const char* word;
    const char* near;
  } const rows[] = {{"wrokers", "workers"}, {"worker", "workers"}, {"usr", "user"},
                    {"envs", "env"},        {"threads", ""},       {"", ""},
                    {"USER", ""},           {"umaks", "umask"}};
  for (auto& row : rows) BOOST_TEST(app::nearest(row.word, known) == row.near, row.word);
  BOOST_TEST(app::nearest("x", {}) == "");
}

BOOST_AUTO_TEST_CASE(the_reference_has_exactly_the_keys_there_are) {
  auto page = contents(TEST_SOURCE "/libsupervisor/doc/configuration.md");
  for (auto of : {app::setting::subject::pool, app::setting::subject::master}) {
    bool pool = of == app::setting::subject::pool;
    auto from = page.find(pool ? "\n| key of a pool |" : "\n| key of `[master]` |");
    BOOST_REQUIRE(from != page.npos);
    auto table = page.substr(from, page.find("\n\n", from) - from);
    std::set<std::string> told, known;
    const std::regex key("\n\\| `([a-z-]+)`");
    for (std::sregex_iterator it(table.begin(), table.end(), key), end; it != end; ++it)
      told.insert((*it)[1]);
    for (auto& s : app::settings())
      if ((s.of == app::setting::subject::master) != pool) known.insert(s.name);
    BOOST_TEST(told == known, boost::test_tools::per_element());
  }
}

BOOST_AUTO_TEST_CASE(the_example_is_right) {
  auto said = good(contents(TEST_SOURCE "/apps/examples/shop.toml"));
  BOOST_TEST(said.pools.size() == 3u);
}

BOOST_AUTO_TEST_SUITE_END()
