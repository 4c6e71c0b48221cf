// What a worker shows of its work, how it begins and ends, through the real host.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/test/unit_test.hpp>
#include <csignal>
#include <cstdio>
#include <stdexcept>
#include <thread>

#include "supervisor/prefork.hpp"
#include "supervisor/worker.hpp"
#include "support/functions.hpp"
#include "support/kernel_world.hpp"

namespace asio = boost::asio;
using asio::awaitable;
using supervisor::exit_status;
using supervisor::scoreboard;
using supervisor::spec;
using supervisor::worker;
using supervisor::worker_function;
using namespace std::chrono_literals;

namespace {

void say(const char* words) {
  std::puts(words);
  std::fflush(stdout);
}

awaitable<void> serve_two(worker& self) {
  const worker::request slow(self, "GET /slow");
  const worker::request fast(self, "GET /fast");
  self.ready();
  co_await self.stopping();
}
const test::function two{"work.two", serve_two};

awaitable<void> serve_and_crash(worker& self) {
  const worker::request slow(self, "GET /slow");
  {
    const worker::request done(self, "GET /done");
  }
  const worker::request last(self, "GET /crash");
  std::raise(SIGKILL);  // no core is written, nothing is flushed
  co_return;
}
const test::function crash{"work.crash", serve_and_crash};

/// The requests begin and end in any order.
awaitable<void> serve_in_disorder(worker& self) {
  std::vector<std::unique_ptr<worker::request>> open;
  for (int i = 0; i < 50; ++i)
    open.push_back(std::make_unique<worker::request>(self, std::to_string(i)));
  for (int i : {0, 49, 25, 1, 48, 2}) open[static_cast<unsigned>(i)].reset();
  self.ready();
  co_await self.stopping();
}
const test::function disorder{"work.disorder", serve_in_disorder};

awaitable<void> serve_one_for_ever(worker& self) {
  self.ready();
  const worker::request endless(self, "GET /endless");
  for (;;) {
    const worker::request brief(self, "GET /brief");
    asio::steady_timer timer(self.executor(), 10ms);
    co_await timer.async_wait(asio::use_awaitable);
  }
}
const test::function endless{"work.endless", serve_one_for_ever};

awaitable<void> serve_briefly(worker& self) {
  self.ready();
  while (!self.draining()) {
    const worker::request brief(self, "GET /brief");
    asio::steady_timer timer(self.executor(), 10ms);
    co_await timer.async_wait(asio::use_awaitable);
  }
}
const test::function brief{"work.brief", serve_briefly};

awaitable<void> serve_idly(worker& self) {
  {
    const worker::request one(self);
  }
  self.ready();
  co_await self.stopping();
}
const test::function idle{"work.idle", serve_idly};

awaitable<int> return_three(worker& self) {
  self.ready();
  co_return 3;
}
const test::function three{"work.three", return_three};

awaitable<void> fail(worker&) {
  throw std::runtime_error("no way");
  co_return;
}
const test::function failing{"work.failing", fail};

void refuse(worker&) { throw std::runtime_error("no database"); }
const test::function unborn{worker_function("work.unborn", serve_idly).after_clone(refuse)};

void tell_birth(worker& self) { say(("born in slot " + std::to_string(self.slot())).c_str()); }
void fail_last(worker& self) {
  say(self.draining() ? "leaves" : "stays");
  throw std::runtime_error("cannot flush");
}
awaitable<void> say_when_stopped(worker& self) {
  co_await self.stopping();
  say("task done");
}
awaitable<void> serve_with_hooks(worker& self) {
  say("serves");
  self.spawn(say_when_stopped(self));
  self.ready();
  co_await self.stopping();
}
const test::function hooked{worker_function("work.hooked", serve_with_hooks)
                                .after_clone(tell_birth)
                                .before_exit(fail_last)};

std::optional<asio::thread_pool> threads;
void start_threads(worker&) {
  const supervisor::signals_blocked in_them;  // the mask is inherited
  threads.emplace(4);
}
void join_threads(worker&) { threads->join(); }

awaitable<void> serve_with_threads(worker& self) {
  std::atomic<int> done = 0;
  asio::steady_timer all_done(self.executor(), asio::steady_timer::time_point::max());
  for (int i = 0; i < 100; ++i)
    asio::post(*threads, [&] {
      if (++done == 100) asio::post(self.executor(), [&] { all_done.cancel(); });
    });
  boost::system::error_code ignored;
  co_await all_done.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  self.status(std::to_string(done) + " done by others");
  self.ready();
  co_await self.stopping();
}
const test::function threaded{worker_function("work.threaded", serve_with_threads)
                                  .after_clone(start_threads)
                                  .before_exit(join_threads)};
const test::function too_early{
    worker_function("work.too_early", serve_idly).preload([] { std::thread(pause).detach(); })};

awaitable<void> reopen_on_usr1(worker& self) {
  auto on_usr1 = [](supervisor::signal_event) -> awaitable<void> {
    say("reopened");
    co_return;
  };
  auto kept = self.signals().on(SIGUSR1, on_usr1);
  self.ready();
  co_await self.stopping();
}
const test::function reopening{"work.reopening", reopen_on_usr1};

struct fixture : test::kernel_world {
  fixture() : kernel_world(options()) {}
  static supervisor::kernel_host_options options() {
    supervisor::kernel_host_options how;
    how.program = "/proc/self/exe";
    how.arguments = {"test"};
    return how;
  }
  supervisor::child_id start(const spec& what) {
    auto id = launch(what);
    BOOST_REQUIRE(run_until([&] { return view(id).ready || view(id).over(); }));
    BOOST_REQUIRE(view(id).ready);
    return id;
  }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(work, fixture)

BOOST_AUTO_TEST_CASE(a_worker_shows_what_it_does) {
  auto id = start(spec("work.two"));
  auto seen = host->sample(id);
  BOOST_REQUIRE(seen);
  BOOST_TEST((seen->now == scoreboard::phase::serving));
  BOOST_TEST(seen->requests == 2u);
  BOOST_TEST(seen->in_flight == 2u);
  BOOST_TEST(seen->oldest.what == "GET /slow");
  BOOST_TEST(seen->latest.what == "GET /fast");
  host->signal(id, SIGTERM);
  BOOST_REQUIRE(run_until([&] { return reported(id); }));
  BOOST_TEST(report(id).last_work.empty());
}

BOOST_AUTO_TEST_CASE(a_command_shows_nothing) {
  auto id = launch(script({"pause"}));
  BOOST_REQUIRE(run_until([&] { return view(id).pid > 0; }));
  BOOST_TEST(!host->sample(id));
  BOOST_TEST(!host->sample(id + 1));
}

BOOST_AUTO_TEST_CASE(a_dead_worker_is_known_by_the_request_it_died_in) {
  auto id = launch(spec("work.crash"));
  BOOST_REQUIRE(run_until([&] { return view(id).over(); }));
  BOOST_TEST(host->sample(id)->latest.what == "GET /crash");
  BOOST_REQUIRE(run_until([&] { return reported(id); }));
  BOOST_TEST(host->sample(id)->oldest.what == "GET /slow");  // its page may be another's by now
  auto last = report(id).last_work;
  BOOST_TEST(last.starts_with("GET /crash, "), last);
  BOOST_TEST(last.ends_with(" in; 1 more in flight"), last);
}

BOOST_AUTO_TEST_CASE(requests_may_end_in_any_order) {
  auto seen = host->sample(start(spec("work.disorder")));
  BOOST_TEST(seen->requests == 50u);
  BOOST_TEST(seen->in_flight == 44u);
  BOOST_TEST(seen->oldest.what == "3");
  BOOST_TEST(seen->latest.what == "");  // of the 48th, for which there was no note left
}

BOOST_AUTO_TEST_CASE(a_request_that_does_not_end_is_overdue_though_the_loop_answers) {
  auto what = spec("work.endless");
  what.request_timeout = 100ms;
  what.hang_timeout = 10s;
  auto id = start(what);
  BOOST_REQUIRE(run_until([&] { return view(id).overdue; }));
  BOOST_TEST(!view(id).hung);
  BOOST_TEST(!view(id).over());
  BOOST_TEST((host->sample(id)->oldest.age >= what.request_timeout));
  host->signal(id, SIGKILL);
  BOOST_REQUIRE(run_until([&] { return reported(id); }));
  BOOST_TEST(report(id).last_work.starts_with("GET /endless, "), report(id).last_work);
}

BOOST_AUTO_TEST_CASE(requests_that_end_in_time_are_not_overdue) {
  auto what = spec("work.brief");
  what.request_timeout = 5s;
  auto id = start(what);
  BOOST_REQUIRE(run_until([&] { return host->sample(id)->requests > 20; }));
  BOOST_TEST(!view(id).overdue);
}

BOOST_AUTO_TEST_CASE(watching_over_requests_costs_an_idle_worker_nothing) {
  auto what = spec("work.idle");
  what.request_timeout = 20ms;
  auto id = start(what);
  BOOST_TEST(host->sample(id)->requests == 1u);
  bool looked = false;  // the end of the busy period is seen once
  host->call_at(host->now() + 200ms, [&] { looked = true; });
  BOOST_REQUIRE(run_until([&] { return looked; }));
  context.restart();
  context.poll();
  BOOST_TEST(context.run_for(300ms) == 0u);
}

BOOST_AUTO_TEST_CASE(what_a_worker_function_returns_is_the_exit_code) {
  BOOST_TEST((run(spec("work.three")).status == exit_status::exited(3)));
}

BOOST_AUTO_TEST_CASE(an_exception_is_exit_70_and_in_the_report) {
  auto& end = run(spec("work.failing"));
  BOOST_TEST((end.status == exit_status::exited(70)));
  BOOST_TEST(end.failure == "no way");
  BOOST_TEST(end.last_output == "worker function: no way\n");
}

BOOST_AUTO_TEST_CASE(a_worker_whose_after_clone_fails_does_not_serve) {
  auto& end = run(spec("work.unborn"));
  BOOST_TEST((end.status == exit_status::exited(70)));
  BOOST_TEST(end.failure == "no database");
  BOOST_TEST(end.last_output == "after_clone: no database\n");
}

BOOST_AUTO_TEST_CASE(hooks_come_first_and_last) {
  auto id = start(spec("work.hooked"));
  host->signal(id, SIGTERM);
  BOOST_REQUIRE(run_until([&] { return reported(id); }));
  BOOST_TEST(report(id).status.success());
  const std::vector<std::string> expected{"born in slot 1", "serves", "task done", "leaves",
                                          "! before_exit: cannot flush"};
  BOOST_TEST(output(id) == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_worker_may_have_threads) {
  auto id = start(spec("work.threaded"));
  BOOST_TEST(view(id).status == "100 done by others");
  host->signal(id, SIGTERM);
  BOOST_REQUIRE(run_until([&] { return reported(id); }));
  BOOST_TEST(report(id).status.success());
}

BOOST_AUTO_TEST_CASE(a_preload_may_not_start_a_thread) {
  auto id = launch(spec("work.too_early"));
  BOOST_REQUIRE(run_until([&] { return view(id).over(); }));
  BOOST_REQUIRE(view(id).failed);
  auto words = view(id).failed->str();
  BOOST_TEST(words.find("start threads in the worker function") != words.npos, words);
}

BOOST_FIXTURE_TEST_CASE(usr1_is_passed_on_to_a_workers_own_handler, test::leftovers) {
  int ends[2];
  BOOST_REQUIRE(::pipe(ends) == 0);
  supervisor::kernel::unique_fd ours(ends[0]), theirs(ends[1]);
  pid_t pid = ::fork();
  BOOST_REQUIRE(pid >= 0);
  if (pid == 0) {
    ::alarm(60);
    ::dup2(theirs.get(), STDERR_FILENO);
    theirs.reset();
    ours.reset();
    char name[] = "/proc/self/exe";
    char* argv[] = {name, nullptr};
    auto decide = [](supervisor::supervisor& self) {
      return supervisor::prefork(self, "web", spec("work.reopening"), {});
    };
    ::_exit(supervisor::run(1, argv, decide, test::functions()));
  }
  theirs.reset();
  std::string log;
  auto count = [&](const std::string& words) {
    unsigned n = 0;
    for (auto at = log.find(words); at != log.npos; at = log.find(words, at + 1)) ++n;
    return n;
  };
  auto read_until = [&](const std::string& words, unsigned times) {
    char part[4096];
    while (count(words) < times) {
      auto size = ::read(ours.get(), part, sizeof part);
      if (size <= 0) break;
      log.append(part, static_cast<std::size_t>(size));
    }
    BOOST_TEST(count(words) == times, log);
  };
  read_until(" ready (", 2);
  ::kill(pid, SIGUSR1);
  read_until("| reopened", 2);
  ::kill(pid, SIGTERM);
  int status = 0;
  BOOST_REQUIRE(::waitpid(pid, &status, 0) == pid);
  BOOST_TEST((WIFEXITED(status) && WEXITSTATUS(status) == 0), log);
}

BOOST_AUTO_TEST_SUITE_END()
