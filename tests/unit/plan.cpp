// What an apply does: from what runs and what is wanted to the changes, and nothing else.
#include "plan.hpp"

#include <boost/test/unit_test.hpp>

BOOST_AUTO_TEST_SUITE(plan)

using strings = std::vector<std::string>;
using supervisor::listener_spec;

namespace {

const std::string base = R"(
[listeners]
http = "127.0.0.1:8080"
[pool.web]
command = ["serve", "{fd:http}"]
workers = 4
[pool.mail]
command = ["mail"]
listeners = []
workers = 1
)";

app::configuration read(const std::string& document) {
  auto got = app::read_configuration(document, app::inspect_alone);
  for (auto& c : got.complaints) BOOST_FAIL(document << c.at.line << ": " << c.text);
  return got.wanted;
}

std::string with(std::string text, const std::string& old, const std::string& fresh) {
  auto at = text.find(old);
  BOOST_REQUIRE(at != text.npos);
  return text.replace(at, old.size(), fresh);
}

strings changes(const std::string& running, const std::string& wanted) {
  return describe(app::make_plan(read(running), read(wanted)));
}

}  // namespace

BOOST_AUTO_TEST_CASE(only_what_differs_changes) {
  const std::string admin = "admin = \"unix:/run/a.sock\"\n";
  struct {
    std::string old, fresh;
    strings told;
  } const rows[] = {
      {"workers = 4", "workers = 4", {}},
      {"workers = 4", "workers = 6", {"~ pool web: scales 4 -> 6"}},
      {"workers = 4", "workers = 2", {"~ pool web: scales 4 -> 2"}},
      {"workers = 4", "workers = 4\nenv = { A = '1' }", {"~ pool web: rolls (env)"}},
      {"workers = 4",
       "workers = 5\nenv = { A = '1' }\nchdir = '/'",
       {"~ pool web: scales 4 -> 5, rolls (chdir, env)"}},
      {"\"serve\"", "\"serve2\"", {"~ pool web: rolls (command)"}},
      {"[pool.web]",
       "[defaults]\numask = '077'\n[pool.web]",
       {"~ pool web: rolls (umask)", "~ pool mail: rolls (umask)"}},
      {"[pool.mail]",
       "[pool.post]",
       {"+ pool post: 1 worker of mail", "- pool mail: 1 worker leave"}},
      {"[pool.web]",
       admin + "[pool.web]",
       {"+ listener admin: unix:/run/a.sock", "~ pool web: rolls (listeners)"}},
      {"workers = 1\n",
       "workers = 1\n[pool.jobs]\ncommand = ['job', '-x']\nlisteners = []\n",
       {"+ pool jobs: 2 workers of job -x"}},
      {"8080",
       "8081",
       {"~ listener http: moves from 127.0.0.1:8080 to 127.0.0.1:8081",
        "~ pool web: rolls (listener http)"}},
      {"127.0.0.1:8080", "localhost:8080", {}},
      {"127.0.0.1:8080", "127.0.0.1:0", {}},
      {"[pool.web]",
       "[master]\nlog-level = 'debug'\npidfile = '/tmp/p'\n[pool.web]",
       {"! master: pidfile, log-level when it is started again"}},
  };
  for (auto& row : rows) BOOST_TEST_CONTEXT(row.fresh)
  BOOST_TEST(changes(base, with(base, row.old, row.fresh)) == row.told,
             boost::test_tools::per_element());
  // And back again.
  auto more = with(base, "[pool.web]", admin + "[pool.web]");
  BOOST_TEST((changes(more, base) ==
              strings{"- listener admin: unix:/run/a.sock", "~ pool web: rolls (listeners)"}));
}

BOOST_AUTO_TEST_CASE(all_is_new_where_nothing_runs) {
  auto made = app::make_plan({}, read(base));
  BOOST_TEST(render(made) ==
             "+ listener http: 127.0.0.1:8080\n+ pool web: 4 workers of serve {fd:http}\n"
             "+ pool mail: 1 worker of mail\n");
  BOOST_TEST(!made.empty());
}

BOOST_AUTO_TEST_CASE(a_port_that_the_kernel_chose_is_where_it_was_wanted) {
  auto running = read(with(base, "8080", "0"));
  auto wanted = running;
  running.master.prefork.listeners[0].port = 43211;
  BOOST_TEST(app::make_plan(running, wanted).empty());
}

BOOST_AUTO_TEST_CASE(a_drained_pool_comes_back) {
  auto running = read(base);
  running.pools[1].drained = true;
  auto made = app::make_plan(running, read(base));
  BOOST_TEST(render(made) == "~ pool mail: comes back from its drain\n  1 pool unchanged\n");
}

BOOST_AUTO_TEST_CASE(nothing_to_do_is_told_too) {
  auto made = app::make_plan(read(base), read(base));
  BOOST_TEST(made.empty());
  BOOST_TEST(render(made) == "  2 pools unchanged\n");
}

// How a pool rolls is no reason to roll it.
BOOST_AUTO_TEST_CASE(how_it_rolls_changes_for_the_next_time) {
  std::string before = "[pool.web]\ncommand = ['x']\n";
  for (auto& s : app::settings()) {
    if (s.of != app::setting::subject::rollout) continue;
    BOOST_TEST_CONTEXT(s.name) {
      bool check = s.name == std::string("bake-check");
      auto line = std::string(s.name) + (check ? " = 'tcp://127.0.0.1:7'\n" : " = 7\n");
      auto made = app::make_plan(read(before), read(before + line));
      auto& change = made.pools.at(0);
      BOOST_TEST(!change.rolls);
      BOOST_TEST(change.rollouts == std::vector<std::string>{s.name});
      BOOST_TEST(!made.empty());
    }
  }
  auto made = app::make_plan(read(before), read(before + "canary = 2\nbake = 9\n"));
  BOOST_TEST(render(made) == "~ pool web: rolls otherwise from now on (canary, bake)\n");
}

// When a worker is started is supervision's, and nothing that a worker is made of.
BOOST_AUTO_TEST_CASE(what_it_needs_is_no_reason_to_roll) {
  auto needing = [](const std::string& what) {
    return with(base, "workers = 4", "workers = 4\nneeds = [" + what + "]");
  };
  BOOST_TEST(
      (changes(base, needing("'mail'")) == strings{"~ pool web: needs mail:ready from now on"}));
  BOOST_TEST((changes(needing("'mail'"), needing("'mail:ready'")) == strings{}));
  BOOST_TEST((changes(needing("'mail'"), needing("'mail:started'")) ==
              strings{"~ pool web: needs mail:started from now on"}));
  BOOST_TEST(
      (changes(needing("'mail'"), base) == strings{"~ pool web: needs no other pool any more"}));
  auto both = with(needing("'mail'"), "workers = 4", "workers = 4\numask = '077'");
  BOOST_TEST(
      (changes(base, both) == strings{"~ pool web: needs mail:ready from now on, rolls (umask)"}));
  BOOST_TEST(!app::make_plan(read(base), read(needing("'mail'"))).empty());
}

// How many there are, whoever says it, restarts nobody.
BOOST_AUTO_TEST_CASE(how_it_scales_is_no_reason_to_roll) {
  struct {
    std::string old, fresh;
    strings told;
  } const rows[] = {
      {"", "scale = 'static'\n", {}},
      {"",
       "scale = 'spare:2-3'\n",
       {"~ pool web: follows its load from now on (spare:2-3, at most 4)"}},
      {"scale = 'spare:2-3'\n", "scale = 'spare:2-3'\n", {}},
      {"scale = 'spare:2-3'\n",
       "scale = 'demand'\n",
       {"~ pool web: follows its load from now on (demand, at most 4)"}},
      {"scale = 'spare:2-3'\n", "", {"~ pool web: follows its load no more, scales 2 -> 4"}},
      {"scale = 'spare:2-3'\n",
       "scale = 'spare:2-3'\numask = '077'\n",
       {"~ pool web: rolls (umask)"}},
  };
  auto document = [](const std::string& more) {
    return "[pool.web]\ncommand = ['x']\nworkers = 4\n" + more;
  };
  for (auto& row : rows) BOOST_TEST_CONTEXT(row.old << "->" << row.fresh)
  BOOST_TEST(changes(document(row.old), document(row.fresh)) == row.told,
             boost::test_tools::per_element());
  auto more = "[pool.web]\ncommand = ['x']\nworkers = 8\nscale = 'demand'\n";
  BOOST_TEST((changes(document("scale = 'demand'\n"), more) ==
              strings{"~ pool web: follows its load from now on (demand, at most 8)"}));
  BOOST_TEST(render(app::make_plan({}, read(more))) ==
             "+ pool web: 0 workers of x, then by load (demand, at most 8)\n");
}

// Each setting of a pool makes it roll under its own name.
BOOST_AUTO_TEST_CASE(each_setting_is_a_reason_of_its_own) {
  const std::pair<const char*, const char*> values[] = {
      {"command", "['other']"},   {"graceful-timeout", "7"},
      {"boot-timeout", "7"},      {"stop-signal", "'INT'"},
      {"stop-then", "['INT:1']"}, {"user", "'nobody'"},
      {"group", "'nogroup'"},     {"no-new-privileges", "true"},
      {"umask", "'077'"},         {"chdir", "'/'"},
      {"env", "{ A = '1' }"},     {"limit", "{ nofile = 9 }"},
      {"stdout", "'null'"},       {"stderr", "'null'"},
      {"ready", "'notify'"},      {"listeners", "[]"},
      {"timeout", "7"},           {"request-timeout", "7"},
      {"demo", "true"},           {"restart", "['transient']"},
      {"start-rate", "20"},       {"recycle-jitter", "0.5"},
      {"max-requests", "9"},      {"max-age", "'9h'"},
      {"max-memory", "'9M'"},     {"recycle-at-once", "9"},
      {"fd-store-max", "9"},      {"liveness", "['heartbeat']"},
      {"liveness-period", "9"},   {"liveness-timeout", "9"},
      {"liveness-failures", "9"}, {"liveness-start", "9"},
  };
  for (auto& s : app::settings()) {
    if (s.of != app::setting::subject::pool) continue;
    BOOST_TEST_CONTEXT(s.name) {
      auto row = std::ranges::find(values, std::string_view(s.name),
                                   [](auto& v) { return std::string_view(v.first); });
      BOOST_REQUIRE(row != std::end(values));
      bool of_demo = std::string_view(s.name).ends_with("timeout") &&
                     row->second == std::string("7") &&
                     !std::string_view(s.name).starts_with("graceful") &&
                     !std::string_view(s.name).starts_with("boot");
      of_demo |= s.name == std::string("max-requests");
      bool of_a_probe = std::string_view(s.name).starts_with("liveness-");
      std::string listeners = "[listeners]\nhttp = ':80'\n[pool.web]\n";
      std::string before = listeners + (of_demo ? "demo = true\n" : "command = ['x']\n") +
                           (of_a_probe ? "liveness = ['heartbeat']\n" : "");
      auto line = std::string(s.name) + " = " + row->second + "\n";
      bool instead = s.name == std::string("command") || s.name == std::string("demo");
      auto made = app::make_plan(read(before), read((instead ? listeners : before) + line));
      auto& change = made.pools.at(0);
      BOOST_TEST(change.rolls);
      BOOST_TEST(std::ranges::count(change.differing, s.name) == 1);
    }
  }
}

BOOST_AUTO_TEST_CASE(one_that_goes_on_changes_nothing_that_runs) {
  auto wanted = with(base, "workers = 4", "workers = 6\nenv = { A = '1' }\nbatch = 3");
  wanted = with(wanted, "127.0.0.1:8080", "127.0.0.1:8081");
  wanted = with(wanted, "[pool.mail]", "[pool.news]") + "[pool.more]\ncommand = ['more']\n";
  auto made = without_changes(app::make_plan(read(base), read(wanted)));
  auto told = describe(made);
  auto expected = strings{"~ pool web: rolls otherwise from now on (batch)",
                          "+ pool news: 1 worker of mail", "+ pool more: 2 workers of more"};
  BOOST_TEST(told == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_SUITE_END()
