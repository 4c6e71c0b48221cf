// The real host with function workers: molds that fail, die and are replaced, and workers that
// hang.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <stdexcept>

#include "process/activity_cells.hpp"
#include "process/timer_queue.hpp"
#include "supervisor/worker.hpp"
#include "support/function_world.hpp"
#include "support/functions.hpp"
#include "support/temporary.hpp"

using supervisor::event_kind;
using supervisor::exit_status;
using supervisor::spec;
namespace asio = boost::asio;
namespace fs = std::filesystem;
namespace kernel = supervisor::kernel;

namespace {

asio::awaitable<void> serve_steadily(supervisor::worker& self) {
  self.ready();
  co_await self.stopping();
}

asio::awaitable<void> work_on(supervisor::worker& self) {
  supervisor::worker::request request(self);
  self.ready();
  co_await self.stopping();
}

asio::awaitable<void> hang(supervisor::worker& self) {
  supervisor::worker::request request(self);
  self.ready();
  for (;;) ::pause();
  co_return;
}

asio::awaitable<void> shout(supervisor::worker&) {
  std::fprintf(stderr, "cannot serve\n");
  std::exit(70);
  co_return;
}

const test::function steady{"host_steady", serve_steadily};
const test::function busy{"host_busy", work_on};
const test::function hung{"host_hung", hang};
const test::function shouting{"host_shouting", shout};
const test::function unloadable{"host_unloadable", [] { throw std::runtime_error("no database"); },
                                serve_steadily};

void pause_for_ever() {
  for (;;) ::pause();
}
const test::function unprepared{"host_unprepared", pause_for_ever, serve_steadily};

using fixture = test::function_world;
using test::options_for;

/// As fixture, with a program that the test may replace on the disk.
struct copied_program {
  test::temporary_directory directory;
  std::string path = directory / "program";
  copied_program() { fs::copy_file("/proc/self/exe", path); }
  /// By something that is no mold, as a deployment would: another file takes the name.
  void replace() {
    fs::copy_file(TEST_CHILD, directory / "new");
    fs::rename(directory / "new", path);
  }
};

struct impatient : fixture {
  impatient() : fixture(options()) {}
  static supervisor::kernel_host_options options() {
    auto options = options_for("/proc/self/exe");
    options.mold_patience = std::chrono::seconds(1);
    return options;
  }
};

struct deployed : copied_program, fixture {
  deployed() : fixture(path) {}
};

}  // namespace

BOOST_AUTO_TEST_SUITE(kernel_host)

BOOST_FIXTURE_TEST_CASE(function_workers_come_from_a_mold, fixture) {
  open(spec("host_steady"));
  BOOST_REQUIRE(opened());
  std::vector<supervisor::child_id> ids;
  for (int i = 0; i < 20; ++i) ids.push_back(start());
  for (auto id : ids) BOOST_REQUIRE(ready(id));
  for (auto id : ids) BOOST_CHECK(!host->signal(id, SIGTERM));
  BOOST_REQUIRE(run_until([&] { return reports.size() == ids.size(); }));
  for (auto id : ids) BOOST_TEST(report(id).status.str() == "exit 0");
  BOOST_TEST(count(event_kind::mold_started) == 1u);
}

BOOST_FIXTURE_TEST_CASE(output_and_status_of_a_function_worker_are_reported, fixture) {
  open(spec("host_shouting"));
  auto id = start();  // before the mold is up: it waits
  BOOST_REQUIRE(run_until([&] { return reported(id); }));
  BOOST_TEST(report(id).status.str() == "exit 70");
  BOOST_TEST(report(id).last_output == "cannot serve\n");
  BOOST_TEST(said(id, "! cannot serve"));
}

BOOST_FIXTURE_TEST_CASE(program_whose_preload_throws_has_failed, fixture) {
  open(spec("host_unloadable"));
  auto id = start();
  BOOST_TEST(!opened());
  BOOST_REQUIRE(program().failed);
  BOOST_TEST(program().failed->str().find("no database") != std::string::npos);
  BOOST_REQUIRE(run_until([&] { return reported(id); }));
  BOOST_CHECK(view(id).failed);
  auto late = start();
  BOOST_REQUIRE(run_until([&] { return reported(late); }));
  BOOST_TEST(count(event_kind::mold_started) == 1u);
}

BOOST_AUTO_TEST_CASE(missing_program_is_told) {
  fixture world("/nonexistent/program");
  world.open(spec("host_steady"));
  BOOST_TEST(!world.opened());
  BOOST_REQUIRE(world.program().failed);
  BOOST_TEST(world.program().failed->error == ENOENT);
}

BOOST_FIXTURE_TEST_CASE(mold_that_dies_is_replaced_from_the_pinned_program, deployed) {
  struct stat original{};
  BOOST_REQUIRE(::stat(path.c_str(), &original) == 0);
  open(spec("host_steady"));
  BOOST_REQUIRE(opened());
  auto before = start();
  BOOST_REQUIRE(ready(before));
  replace();
  auto first = mold();
  signal_mold(SIGKILL);
  BOOST_REQUIRE(run_until([&] { return count(event_kind::mold_started) == 2; }));
  BOOST_TEST(count(event_kind::mold_exited) == 1u);
  BOOST_TEST(mold() != first);
  auto after = start();
  BOOST_REQUIRE(ready(after));
  struct stat running{};
  auto exe = "/proc/" + std::to_string(view(after).pid) + "/exe";
  BOOST_REQUIRE(::stat(exe.c_str(), &running) == 0);
  BOOST_TEST(running.st_ino == original.st_ino);
  BOOST_CHECK(!view(before).over());
  BOOST_TEST(program().open);
  // The next generation is what lies on the disk now, and that is no mold of ours.
  open(spec("host_steady"), 2);
  BOOST_TEST(!opened(2));
  BOOST_CHECK(program(2).failed);
}

BOOST_FIXTURE_TEST_CASE(order_in_a_mold_that_dies_fails, fixture) {
  open(spec("host_steady"));
  BOOST_REQUIRE(opened());
  signal_mold(SIGSTOP);
  auto id = start();
  signal_mold(SIGKILL);
  BOOST_REQUIRE(run_until([&] { return reported(id); }));
  BOOST_REQUIRE(view(id).failed);
  BOOST_TEST(view(id).failed->stage == "mold");
  BOOST_TEST(view(id).failed->error == ECANCELED);  // no fault of the program's
  auto next = start();
  BOOST_REQUIRE(ready(next));
}

BOOST_FIXTURE_TEST_CASE(worker_that_nobody_was_told_of_is_reaped, fixture) {
  // The mold is killed while it forks: sooner or later between the clone and its answer.
  open(spec("host_steady"));
  BOOST_REQUIRE(opened());
  for (unsigned round = 1; round <= 20; ++round) {
    auto first = start(), second = start(), third = start();
    BOOST_REQUIRE(run_until([&] { return view(first).pid || view(first).over(); }));
    signal_mold(SIGKILL);
    BOOST_REQUIRE(run_until([&] { return count(event_kind::mold_started) == round + 1; }));
    for (auto id : {second, third})
      BOOST_REQUIRE(run_until([&] { return view(id).pid || view(id).over(); }));
    BOOST_REQUIRE(ready(start()));
  }
  std::size_t known = 1;  // the mold
  for (auto id : launched) known += view(id).pid && !view(id).over();
  std::function<void()> tick = [&] {
    host->call_at(host->now() + std::chrono::milliseconds(1), tick);
  };
  tick();
  BOOST_TEST(run_until([&] { return kernel::children_of(::getpid()).size() == known; }));
}

BOOST_AUTO_TEST_CASE(orphans_are_reaped_when_no_mold_owes_an_answer) {
  auto options = test::options_for("/proc/self/exe");
  options.reaps_orphans = true;
  fixture world(std::move(options));
  world.open(spec("host_steady"));
  BOOST_REQUIRE(world.opened());
  world.signal_mold(SIGSTOP);
  auto id = world.start();
  auto orphan = ::fork();
  BOOST_REQUIRE(orphan >= 0);
  if (orphan == 0) ::_exit(0);
  world.come_to_rest();  // which is longer than until the next look for orphans
  world.come_to_rest();
  siginfo_t info{};
  BOOST_TEST(::waitid(P_PID, static_cast<id_t>(orphan), &info, WEXITED | WNOWAIT) == 0);
  world.signal_mold(SIGCONT);
  BOOST_REQUIRE(world.ready(id));
  std::function<void()> tick = [&] {
    world.host->call_at(world.host->now() + std::chrono::milliseconds(1), tick);
  };
  tick();
  // The mold and its worker.
  BOOST_TEST(world.run_until([] { return kernel::children_of(::getpid()).size() == 2; }));
}

BOOST_FIXTURE_TEST_CASE(without_a_descriptor_there_is_no_worker, fixture) {
  open(spec("host_steady"));
  BOOST_REQUIRE(opened());
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  unsigned failed = 0, worked = 0;
  for (unsigned room = 0; room < 10; ++room) {
    int next = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    ::close(next);
    rlimit tight{static_cast<rlim_t>(next) + room, before.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &tight);
    auto id = start();
    bool told = run_until([&] { return view(id).pid || view(id).over(); });
    ::setrlimit(RLIMIT_NOFILE, &before);
    BOOST_REQUIRE(told);
    ++(view(id).failed ? failed : worked);
    if (view(id).failed) BOOST_TEST(view(id).failed->error == EMFILE);
  }
  BOOST_TEST(failed > 0u);
  BOOST_TEST(worked > 0u);
}

BOOST_FIXTURE_TEST_CASE(facts_only_grow, fixture) {
  open(spec("host_steady"));
  BOOST_REQUIRE(opened());
  for (int i = 0; i < 100; ++i) {
    auto id = start();
    bool in_order = true;
    host->watch(id, [&] { in_order &= !view(id).ready || view(id).pid; });
    BOOST_REQUIRE(ready(id));
    BOOST_TEST(in_order);
    BOOST_TEST(view(id).pid > 0);
  }
}

BOOST_FIXTURE_TEST_CASE(closing_a_program_leaves_its_workers, fixture) {
  open(spec("host_steady"));
  BOOST_REQUIRE(opened());
  auto id = start();
  BOOST_REQUIRE(ready(id));
  host->close_program("pool", 1);
  BOOST_REQUIRE(run_until([&] { return count(event_kind::mold_exited) == 1; }));
  BOOST_CHECK(!view(id).over());
  BOOST_TEST(!program().open);
  BOOST_TEST(count(event_kind::mold_started) == 1u);
  BOOST_CHECK(!host->signal(id, SIGTERM));
  BOOST_REQUIRE(run_until([&] { return reported(id); }));
  BOOST_TEST(report(id).status.str() == "exit 0");
}

BOOST_FIXTURE_TEST_CASE(closed_mold_that_nobody_uses_is_reaped, fixture) {
  for (unsigned generation = 1; generation <= 5; ++generation) {
    open(spec("host_steady"), generation);
    BOOST_REQUIRE(opened(generation));
    host->close_program("pool", generation);
  }
  BOOST_REQUIRE(run_until([&] { return count(event_kind::mold_exited) == 5; }));
  BOOST_TEST(run_until([] { return kernel::children_of(::getpid()).empty(); }));
  auto& ended = last(event_kind::mold_exited);
  BOOST_CHECK(supervisor::severity_of(ended) == supervisor::severity::info);
  BOOST_TEST(describe(ended, host->now()).ends_with("mold ended, no longer needed"));
}

BOOST_FIXTURE_TEST_CASE(mold_that_is_stopped_is_replaced, impatient) {
  open(spec("host_steady"));
  BOOST_REQUIRE(opened());
  auto before = start();
  BOOST_REQUIRE(ready(before));
  signal_mold(SIGSTOP);
  auto id = start();
  BOOST_REQUIRE(run_until([&] { return reported(id); }));
  BOOST_REQUIRE(view(id).failed);
  BOOST_TEST(view(id).failed->stage == "mold");
  BOOST_REQUIRE(run_until([&] { return count(event_kind::mold_exited) == 1; }));
  BOOST_CHECK(last(event_kind::mold_exited).why == supervisor::exit_cause::hang);
  BOOST_REQUIRE(ready(start()));
  BOOST_TEST(count(event_kind::mold_started) == 2u);
  BOOST_CHECK(!view(before).over());
}

BOOST_FIXTURE_TEST_CASE(stopped_mold_with_nothing_to_answer_is_left_alone, impatient) {
  open(spec("host_steady"));
  BOOST_REQUIRE(opened());
  BOOST_REQUIRE(ready(start()));
  signal_mold(SIGSTOP);
  come_to_rest();
  BOOST_TEST(context.run_for(std::chrono::milliseconds(1200)) == 0u);
  signal_mold(SIGCONT);
  BOOST_REQUIRE(ready(start()));
  BOOST_TEST(count(event_kind::mold_started) == 1u);
}

BOOST_FIXTURE_TEST_CASE(program_whose_preload_does_not_end_has_failed, fixture) {
  auto what = spec("host_unprepared");
  what.boot_timeout = std::chrono::milliseconds(300);
  open(what);
  BOOST_TEST(!opened());
  BOOST_REQUIRE(program().failed);
  BOOST_TEST(program().failed->error == ETIMEDOUT);
  BOOST_TEST(run_until([] { return kernel::children_of(::getpid()).empty(); }));
}

BOOST_FIXTURE_TEST_CASE(activity_cells_of_workers_never_made_are_given_again, fixture) {
  auto what = spec("host_unprepared");
  what.boot_timeout = std::chrono::hours(1);
  open(what);
  for (std::size_t i = 0; i <= supervisor::activity_cells::count; ++i) {
    auto id = start();
    launched.pop_back();
    host->signal(id, SIGTERM);
    BOOST_REQUIRE(view(id).failed);
    BOOST_REQUIRE(view(id).failed->error == ECANCELED);
    host->forget(id);
    context.restart();
    context.poll();
  }
}

BOOST_FIXTURE_TEST_CASE(child_told_to_leave_before_its_mold_is_up_is_never_made, fixture) {
  open(spec("host_steady"));
  auto id = start();
  BOOST_TEST(host->signal(id, SIGTERM).value() == ESRCH);
  BOOST_REQUIRE(run_until([&] { return reported(id); }));
  BOOST_CHECK(view(id).failed);
  BOOST_TEST(view(id).pid == 0);
}

BOOST_FIXTURE_TEST_CASE(worker_that_does_not_answer_is_hung, fixture) {
  auto what = spec("host_hung");
  what.hang_timeout = std::chrono::milliseconds(100);
  open(what);
  auto id = start();
  BOOST_REQUIRE(run_until([&] { return view(id).hung; }));
  BOOST_CHECK(!view(id).over());
}

BOOST_FIXTURE_TEST_CASE(worker_that_answers_is_not_hung_however_long_it_takes, fixture) {
  auto what = spec("host_busy");
  what.hang_timeout = std::chrono::milliseconds(500);
  open(what);
  auto id = start();
  BOOST_REQUIRE(ready(id));
  bool later = false;
  host->call_at(host->now() + 4 * what.hang_timeout, [&] { later = true; });
  BOOST_REQUIRE(run_until([&] { return later; }));
  BOOST_CHECK(!view(id).hung);
}

BOOST_FIXTURE_TEST_CASE(watching_for_hangs_costs_an_idle_worker_nothing, fixture) {
  auto what = spec("host_steady");
  what.hang_timeout = std::chrono::milliseconds(20);
  open(what);
  auto id = start();
  BOOST_REQUIRE(ready(id));
  come_to_rest();
  BOOST_TEST(context.run_for(std::chrono::milliseconds(300)) == 0u);
}

BOOST_FIXTURE_TEST_CASE(timers_come_in_order_and_not_when_cancelled, fixture) {
  std::string order;
  auto now = host->now();
  auto at = [&](int ms, char name) {
    return host->call_at(now + std::chrono::milliseconds(ms), [&order, name] { order += name; });
  };
  at(20, 'c');
  at(10, 'b');
  at(10, 'B');
  at(-5, 'a');
  auto never_run = at(15, 'x');
  host->cancel(never_run);
  host->cancel(never_run);
  BOOST_REQUIRE(run_until([&] { return order.size() == 4; }));
  BOOST_TEST(order == "abBc");
  context.restart();
  BOOST_TEST(context.run_for(std::chrono::milliseconds(50)) == 0u);
}

BOOST_FIXTURE_TEST_CASE(forgotten_child_lives_on_and_is_found, fixture) {
  open(spec("host_steady"));
  auto id = start();
  BOOST_REQUIRE(ready(id));
  auto key = view(id).key;
  host->forget(id);
  BOOST_TEST(host->find(key) == id);
  unsigned told = 0;
  host->watch(id, [&] { ++told; });
  BOOST_CHECK(!host->signal(id, SIGTERM));
  BOOST_REQUIRE(run_until([&] { return told > 0; }));
  launched.clear();
  BOOST_REQUIRE(run_until([&] { return reports.contains(key.slot_id); }));
  BOOST_TEST(host->find(key) == 0u);
}

BOOST_AUTO_TEST_SUITE_END()
