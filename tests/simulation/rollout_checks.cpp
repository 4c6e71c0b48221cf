// What says whether a new generation does well: coroutines and probes, asked in the bake.
#include "support/rolling_world.hpp"

using namespace supervisor;
using namespace std::chrono_literals;
namespace asio = boost::asio;
using test::always;
using test::extremes;
using world = test::rolling_world;

namespace {

double error_rate = 0;
asio::awaitable<double> ask_metrics() { co_return error_rate; }

// As in doc/rollout.md.
asio::awaitable<health_verdict> few_errors(::supervisor::pool) {
  auto errors = co_await ask_metrics();
  if (errors < 0.01) co_return true;
  co_return health_verdict::no("more than 1 % errors");
}

asio::awaitable<outcome> deploy(::supervisor::pool web) {
  auto how = rollout_options().canary(2).bake(30s).healthy(few_errors).batch(4);
  auto outcome = co_await web.roll(std::move(how));
  co_return outcome;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(rollout_checks)

BOOST_FIXTURE_TEST_CASE(a_health_check_is_asked_while_the_canary_bakes, world) {
  unsigned asked = 0;
  auto check = [&](::supervisor::pool p) {
    ++asked;
    BOOST_TEST(p.status().rollout->stage == "baking");
    return always(true);
  };
  BOOST_TEST(run(web->roll(rollout_options().bake(10s).healthy(check, 2s))).ok);
  BOOST_TEST(asked == 6u);  // at its beginning, every two seconds, and at its end
  check_all_are(2);
  asked = 0;
  BOOST_TEST(run(web->roll(rollout_options().healthy(check))).ok);
  BOOST_TEST(asked == 1u);  // without a bake: once
}

BOOST_FIXTURE_TEST_CASE(its_first_no_brings_the_old_generation_back, world) {
  unsigned asked = 0;
  auto check = [&](::supervisor::pool) -> asio::awaitable<health_verdict> {
    if (++asked < 3) co_return true;
    co_return health_verdict::no("12 % errors");
  };
  extremes seen(*this);
  auto began = host.now();
  auto rolled = begin(web->roll(rollout_options().bake(1min).healthy(check, 5s)));
  check_failed(rolled, 1, "health check: 12 % errors");
  BOOST_TEST((host.now() - began < 20s));  // at once, not at the end of the bake
  BOOST_TEST(asked == 3u);
  BOOST_TEST(seen.least == 4u);
}

BOOST_FIXTURE_TEST_CASE(what_it_throws_is_a_no, world) {
  auto check = [](::supervisor::pool) -> asio::awaitable<health_verdict> {
    throw std::runtime_error("no route to the metrics");
    co_return true;
  };
  check_failed(begin(web->roll(rollout_options().healthy(check))), 1,
               "health check: no route to the metrics");
  auto mute = [](::supervisor::pool) { return always(false); };
  check_failed(begin(web->roll(rollout_options().healthy(mute))), 1, "health check: it said no");
}

BOOST_FIXTURE_TEST_CASE(it_is_cancelled_when_the_rollout_ends_meanwhile, world) {
  unsigned cancelled = 0, begun = 0;
  auto check = [&](::supervisor::pool) -> asio::awaitable<health_verdict> {
    ++begun;
    bool gone = false;
    try {
      co_await sup->sleep_for(1h);
    } catch (const boost::system::system_error&) {
      gone = true;
    }
    cancelled += gone;
    co_return true;
  };
  auto how = rollout_options().bake(10s).healthy(check);
  auto aborted = begin(web->roll(how));
  BOOST_TEST(await_stage("baking"));
  run(web->abort_rollout());
  BOOST_TEST(cancelled == 1u);
  // A crash, another rollout, the end of the pool.
  bad = [](script& s, unsigned n) {
    if (n == 1) s.exits_after = 5s, s.exit_with = exit_status::exited(1);
  };
  check_failed(begin(web->roll(how)), 1, "exit 1 (crash)");
  host.poll();
  BOOST_TEST(cancelled == 2u);
  auto superseded = begin(web->roll(how));
  BOOST_TEST(await_stage("baking"));
  BOOST_TEST(run(web->roll()).ok);
  BOOST_TEST(cancelled == 3u);
  auto closed = begin(web->roll(how));
  BOOST_TEST(await_stage("baking"));
  run(web->stop());
  BOOST_TEST(begun == 4u);
  BOOST_TEST(cancelled == 4u);
}

BOOST_FIXTURE_TEST_CASE(one_that_never_answers_is_given_up, world) {
  auto check = [&](::supervisor::pool) -> asio::awaitable<health_verdict> {
    co_await sup->sleep_for(100h);
    co_return true;
  };
  auto how = rollout_options().bake(10s).healthy(check).progress_deadline(5min);
  check_failed(begin(web->roll(how)), 1, "no progress for 5 min (baking)");
}

BOOST_FIXTURE_TEST_CASE(the_documents_example, world) {
  BOOST_TEST(run(deploy(*web)).ok);
  error_rate = 0.12;
  check_failed(begin(deploy(*web)), 2, "health check: more than 1 % errors");
}

BOOST_FIXTURE_TEST_CASE(a_probe_is_a_health_check, world) {
  std::vector<std::string> asked;
  std::size_t well = 100;
  host.on_probe = [&](auto, auto& p) {
    asked.push_back(p.str());
    probe_answer answer;
    if (asked.size() > well) answer.result = {false, "500 Internal Server Error"};
    return answer;
  };
  // What all share is asked once; a worker's own address for each new one.
  auto healthz = ::supervisor::probe::http("127.0.0.1:8080", "/healthz");
  BOOST_TEST(run(web->roll(rollout_options().canary(2).bake(3s).healthy(healthz))).ok);
  BOOST_TEST((asked == std::vector<std::string>(4, "http://127.0.0.1:8080/healthz")));
  check_all_are(2);
  asked.clear();
  auto its_own = ::supervisor::probe::tcp("unix:/run/w.{pid}");
  auto rolled = begin(web->roll(rollout_options().canary(2).healthy(its_own)));
  BOOST_TEST(await_stage("baking"));
  std::set<std::string> fresh;
  for (auto id : of(3)) fresh.insert("tcp://unix:/run/w." + std::to_string(host.look(id).pid));
  BOOST_TEST(fresh.size() == 2u);
  await(rolled);
  BOOST_TEST((std::set(asked.begin(), asked.end()) == fresh));
  check_all_are(3);
  // The first no ends it.
  asked.clear();
  well = 3;
  auto began = host.now();
  check_failed(begin(web->roll(rollout_options().bake(1min).healthy(healthz))), 3,
               "health check: slot 0: http://127.0.0.1:8080/healthz: 500 Internal Server Error");
  BOOST_TEST((host.now() - began < 10s));
  BOOST_TEST(asked.size() == 4u);
}

BOOST_AUTO_TEST_SUITE_END()
