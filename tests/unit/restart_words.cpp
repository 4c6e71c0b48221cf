// Restart policies as they are written on a command line.
#include "restart_words.hpp"

#include <boost/test/unit_test.hpp>
#include <csignal>
#include <stdexcept>

#include "supervisor/spec.hpp"

using namespace supervisor;
using namespace std::chrono_literals;

namespace {

restart_policy read(std::vector<std::string> texts) { return app::restart_of("--restart", texts); }

std::string complaint(const std::string& text) {
  try {
    app::restart_of("--restart", {text});
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return {};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(restart_words)

BOOST_AUTO_TEST_CASE(the_words_and_the_methods_are_the_same) {
  auto what = supervisor::spec::command("./importer");
  what.restart.transient().exponential(1s, 60s).give_up(5, 60s);
  what.restart.on(supervisor::causes::exit_code(78), supervisor::restart_policy().give_up());
  BOOST_TEST(
      (read({"transient,backoff=1s..60s,give-up=5/60s", "exit=78:give-up"}) == what.restart));
  BOOST_TEST((read({"exit=78:give-up", "transient,backoff=1..1m,give-up=5/1m"}) == what.restart));
}

BOOST_AUTO_TEST_CASE(every_word) {
  using policy = restart_policy;
  auto immediately = policy().exponential(1s, 60s);
  immediately.immediate = 4;
  auto jittered = policy();
  jittered.jitter = 0.5;
  struct row {
    const char* text;
    restart_policy meant;
  };
  const std::vector<row> table{{"permanent", policy()},
                               {"transient", policy().transient()},
                               {"temporary", policy().temporary()},
                               {"backoff=500ms..2m", policy().exponential(500ms, 2min)},
                               {"linear=1s..60s", policy().linear(1s, 60s)},
                               {"decorrelated=1s..60s", policy().decorrelated(1s, 60s)},
                               {"fixed=5s", policy().fixed(5s)},
                               {"fixed=0", policy().fixed(0s)},
                               {"immediate=4,backoff=1..60", immediately},
                               {"backoff=1..60,immediate=4", immediately},
                               {"jitter=0.5", jittered},
                               {"healthy=10s", policy().healthy(10s)},
                               {"give-up", policy().give_up()},
                               {"give-up=5/60s", policy().give_up(5, 60s)},
                               {"half-open=5/60s/5m", policy().half_open(5, 60s, 5min)},
                               {"escalate=5/60s", policy().escalate(5, 60s)},
                               {"escalate", policy().escalate()}};
  for (auto& [text, meant] : table) BOOST_TEST((read({text}) == meant), text);
}

BOOST_AUTO_TEST_CASE(every_cause) {
  using set = causes;
  struct row {
    const char* text;
    causes meant;
  };
  const std::vector<row> table{{"exit=70", set::exit_code(70)},
                               {"exit=64..78", set::exit_codes(64, 78)},
                               {"clean", set::clean_exit()},
                               {"signal", set::any_signal()},
                               {"signal=SEGV", set::signal(SIGSEGV)},
                               {"oom", set::of(exit_cause::out_of_memory)},
                               {"hang", set::of(exit_cause::hang)},
                               {"probe", set::of(exit_cause::probe)},
                               {"request-timeout", set::of(exit_cause::request_timeout)},
                               {"boot-timeout", set::of(exit_cause::boot_timeout)},
                               {"launch", set::of(exit_cause::launch_failure)},
                               {"dependency", set::of(exit_cause::dependency)},
                               {"any", set::any()},
                               {"exit=1+exit=3+oom", set::exit_code(1) | set::exit_code(3) |
                                                         set::of(exit_cause::out_of_memory)}};
  for (auto& [text, meant] : table)
    BOOST_TEST((read({std::string(text) + ":temporary"}) ==
                restart_policy().on(meant, restart_policy().temporary())),
               text);
}

BOOST_AUTO_TEST_CASE(the_last_policy_and_all_rules_count) {
  auto both = restart_policy()
                  .fixed(2s)
                  .on(causes::exit_code(1), restart_policy().temporary())
                  .on(causes::exit_code(2), restart_policy().give_up());
  BOOST_TEST((read({"transient", "exit=1:temporary", "fixed=2", "exit=2:give-up"}) == both));
}

BOOST_AUTO_TEST_CASE(mistakes_are_named) {
  for (std::string wrong : {"",
                            "sometimes",
                            "backoff",
                            "backoff=x",
                            "backoff=9..1",
                            "linear=1..",
                            "fixed=-1",
                            "jitter=2",
                            "jitter=nan",
                            "jitter=",
                            "immediate=-1",
                            "healthy",
                            "give-up=5",
                            "give-up=/60s",
                            "give-up=5/0",
                            "give-up=5/60s/1",
                            "half-open=5/60s",
                            "half-open=5/60s/0",
                            "escalate=5",
                            "transient,",
                            ":give-up",
                            "exit:give-up",
                            "exit=256:give-up",
                            "exit=9..3:give-up",
                            "exit=9..:give-up",
                            "signal=NOPE:give-up",
                            "bad:give-up",
                            "oom:",
                            "oom+:give-up"}) {
    auto words = complaint(wrong);
    BOOST_TEST(words.starts_with("--restart: "), wrong << " -> " << words);
  }
  BOOST_TEST(complaint("transient,give-up=x/5") ==
             "--restart: \"give-up=x/5\" in \"transient,give-up=x/5\" is not with a number of "
             "failures first");
}

BOOST_AUTO_TEST_CASE(start_rates) {
  auto rate = [](const std::string& text) { return app::start_rate_of("--start-rate", text); };
  BOOST_TEST(rate("20").per_second == 20);
  BOOST_TEST(rate("20").burst == 0u);
  BOOST_TEST(rate("0.5/50").per_second == 0.5);
  BOOST_TEST(rate("0.5/50").burst == 50u);
  for (std::string wrong : {"", "x", "0", "-1", "20/", "20/0", "20/x", "1e9", "nan"})
    BOOST_CHECK_THROW(rate(wrong), std::invalid_argument);
}

BOOST_AUTO_TEST_SUITE_END()
