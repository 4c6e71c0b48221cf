// Deaths: told at once, as they were, whatever else is wrong.
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/test/unit_test.hpp>
#include <fstream>
#include <optional>

#include "kernel/descriptors.hpp"
#include "process/reaper.hpp"
#include "support/kernel_world.hpp"
#include "support/temporary.hpp"

using supervisor::exit_status;
namespace kernel = supervisor::kernel;

namespace {

using fixture = test::kernel_world;

/// A pid that the child printed as "WORD PID".
pid_t printed_pid(test::kernel_world& world, supervisor::child_id id, const std::string& word) {
  for (auto& line : world.output(id))
    if (line.starts_with(word + ' ')) return std::stoi(line.substr(word.size() + 1));
  return 0;
}

/// Another process, ended and reaped with its scope.
class helper {
 public:
  template <typename Body>
  explicit helper(Body body) : pid_(::fork()) {
    if (pid_ == 0) {
      body();
      ::_exit(0);
    }
  }
  helper(const helper&) = delete;
  ~helper() {
    auto fd = kernel::open_pidfd(pid_);
    kernel::send_signal(fd.get(), SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

 private:
  pid_t pid_;
};

/// Whether a process that is not our child ends; who inherited it reaps it, or not.
bool ends(pid_t pid) {
  kernel::unique_fd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  return !fd || kernel::wait_readable(fd.get(), std::chrono::seconds(20));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(reap)

BOOST_FIXTURE_TEST_CASE(exit_nine_is_not_sigkill, fixture) {
  BOOST_CHECK(run(script({"exit", "9"})).status == exit_status::exited(9));
  BOOST_CHECK(run(script({"raise", "9"})).status == exit_status::signalled(9));
  BOOST_CHECK(run(script({"exit", "0"})).status.success());
}

BOOST_FIXTURE_TEST_CASE(report_is_complete, fixture) {
  auto id = launch(script({"print", "last words", "exit", "5"}));
  BOOST_REQUIRE(run_until([&] { return view(id).exited.has_value(); }));
  BOOST_CHECK(*view(id).exited == exit_status::exited(5));
  BOOST_REQUIRE(run_until([&] { return reported(id); }));
  BOOST_TEST(report(id).pid == view(id).pid);
  BOOST_CHECK(!report(id).launch);
  BOOST_CHECK(report(id).uptime > supervisor::duration{});
  BOOST_TEST(report(id).max_rss_kib > 0);
  BOOST_TEST(report(id).last_output == "last words\n");
}

BOOST_FIXTURE_TEST_CASE(many_deaths_at_once_are_all_told, fixture) {
  std::vector<supervisor::child_id> ids;
  for (int i = 0; i < 100; ++i) ids.push_back(launch(script({"sleep"})));
  for (auto id : ids) BOOST_CHECK(!host->signal(id, SIGKILL));
  BOOST_REQUIRE(run_until([&] { return reports.size() == ids.size(); }));
  for (auto id : ids) BOOST_CHECK(report(id).status == exit_status::signalled(SIGKILL));
}

BOOST_FIXTURE_TEST_CASE(the_dead_are_cleared_away_behind_what_their_deaths_set_off, fixture) {
  std::vector<supervisor::child_id> ids;
  for (int i = 0; i < 4; ++i) ids.push_back(launch(script({"sleep"})));
  BOOST_REQUIRE(run_until(
      [&] { return std::ranges::all_of(ids, [&](auto id) { return view(id).pid > 0; }); }));
  std::vector<kernel::unique_fd> deaths;
  unsigned answered = 0, early = 0;
  for (auto id : ids) {
    deaths.push_back(kernel::open_pidfd(view(id).pid));
    host->watch(id, [&, id] {
      if (!view(id).exited) return;
      // As a slot does: it wakes, and what it then orders is sent in a turn of its own.
      boost::asio::post(context, [&] { boost::asio::post(context, [&] { ++answered; }); });
    });
  }
  host->on_report([&](auto& key, auto report) {
    early += answered < ids.size();
    reports[key.slot_id] = report;
  });
  for (auto id : ids) BOOST_CHECK(!host->signal(id, SIGKILL));
  // Dead before the loop looks.
  for (auto& fd : deaths) BOOST_REQUIRE(kernel::wait_readable(fd.get(), std::chrono::seconds(20)));
  BOOST_REQUIRE(run_until([&] { return reports.size() == ids.size(); }));
  BOOST_TEST(early == 0u);
}

BOOST_FIXTURE_TEST_CASE(what_is_left_of_the_group_is_killed, fixture) {
  auto id = launch(script({"daughter", "exit", "0"}));
  BOOST_REQUIRE(run_until([&] { return reported(id); }));
  auto daughter = printed_pid(*this, id, "left");
  BOOST_REQUIRE(daughter > 0);
  BOOST_TEST(ends(daughter));
}

BOOST_FIXTURE_TEST_CASE(runaway_that_holds_stdout_delays_nothing_beyond_the_deadline, fixture) {
  auto id = launch(script({"runaway", "print", "bye", "exit", "3"}));
  BOOST_REQUIRE(run_until([&] { return view(id).exited.has_value(); }));
  BOOST_CHECK(!reported(id));  // the death is told before the last output is collected
  auto died = host->now();
  BOOST_REQUIRE(run_until([&] { return reported(id); }));
  BOOST_CHECK(host->now() - died < std::chrono::seconds(10));
  BOOST_TEST(said(id, "bye"));
  BOOST_CHECK(report(id).status == exit_status::exited(3));
  auto runaway = printed_pid(*this, id, "left");
  BOOST_REQUIRE(runaway > 0);
  // A session of its own is beyond the group's signal.
  auto fd = kernel::open_pidfd(runaway);
  BOOST_CHECK(!kernel::send_signal(fd.get(), SIGKILL));
}

BOOST_FIXTURE_TEST_CASE(traced_child_does_not_stall_the_loop, fixture) {
  auto id = launch(script({"print", "up", "sleep"}));
  BOOST_REQUIRE(run_until([&] { return said(id, "up"); }));
  auto to_tracer = kernel::make_channel();
  auto pid = view(id).pid;
  char byte = 0;
  {
    helper tracer([&, fd = to_tracer.theirs.get()] {
      bool seized = ::ptrace(PTRACE_SEIZE, pid, nullptr, nullptr) == 0;
      char answer = seized ? 's' : 'n';
      if (::write(fd, &answer, 1) != 1) ::_exit(1);
      siginfo_t info{};
      // The death is the tracer's first; it keeps it until told.
      ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT | __WALL);
      if (::write(fd, "d", 1) != 1) ::_exit(1);
      if (::read(fd, &answer, 1) != 1) ::_exit(1);
      ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | __WALL);
      ::pause();
    });
    auto heard = [&] { return ::read(to_tracer.ours.get(), &byte, 1) == 1; };
    auto tick = [&] {
      bool ticked = false;
      host->call_at(host->now() + std::chrono::milliseconds(1), [&] { ticked = true; });
      return run_until([&] { return ticked; });
    };
    while (!heard()) BOOST_REQUIRE(tick());
    BOOST_REQUIRE(byte == 's');
    BOOST_CHECK(!host->signal(id, SIGKILL));
    while (!heard()) BOOST_REQUIRE(tick());
    for (int i = 0; i < 20; ++i) BOOST_REQUIRE(tick());
    BOOST_CHECK(!view(id).exited);
    BOOST_REQUIRE(::write(to_tracer.ours.get(), "l", 1) == 1);
    BOOST_REQUIRE(run_until([&] { return reported(id); }));
  }
  BOOST_CHECK(report(id).status == exit_status::signalled(SIGKILL));
}

BOOST_FIXTURE_TEST_CASE(stray_that_is_claimed_keeps_its_status_for_who_claims_it, test::leftovers) {
  boost::asio::io_context context{1};
  supervisor::timer_queue timers(context.get_executor());
  supervisor::reaper reaper(context.get_executor(), timers, std::chrono::seconds(10));
  auto gate = kernel::make_channel();
  auto fork_one = [&] {
    auto pid = ::fork();
    BOOST_REQUIRE(pid >= 0);
    char byte = 0;
    if (pid == 0) ::_exit(::read(gate.theirs.get(), &byte, 1) == 1 ? 7 : 8);
    return pid;
  };
  auto held = [&](pid_t pid) {
    return supervisor::held_process(context.get_executor(), pid, kernel::open_pidfd(pid));
  };
  auto claimed = fork_one(), unclaimed = fork_one();
  std::vector<pid_t> gone;
  for (auto pid : {claimed, unclaimed}) reaper.adopt(held(pid), [&, pid] { gone.push_back(pid); });
  supervisor::reaper::key key = 0;
  std::optional<exit_status> died, reaped;
  key = reaper.hold(held(claimed), {[&](exit_status status) {
                                      died = status;
                                      reaper.bury(key);
                                    },
                                    [&](const kernel::obituary& last) { reaped = last.status; }});
  for (int i = 0; i < 2; ++i) BOOST_REQUIRE(::write(gate.ours.get(), "x", 1) == 1);
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!reaped || reaper.holds(unclaimed)) BOOST_REQUIRE(context.run_one_until(deadline) == 1u);
  BOOST_CHECK(died == exit_status::exited(7));
  BOOST_CHECK(reaped == exit_status::exited(7));
  BOOST_TEST(gone == std::vector{unclaimed}, boost::test_tools::per_element());
  BOOST_TEST(kernel::children_of(::getpid()).empty());
}

BOOST_FIXTURE_TEST_CASE(dead_orphan_stays_while_its_owner_may_still_be_told_of_it,
                        test::leftovers) {
  boost::asio::io_context context{1};
  supervisor::timer_queue timers(context.get_executor());
  supervisor::reaper reaper(context.get_executor(), timers, std::chrono::seconds(10));
  auto dead = [](int code) {
    auto pid = ::fork();
    BOOST_REQUIRE(pid >= 0);
    if (pid == 0) ::_exit(code);
    siginfo_t info{};
    BOOST_REQUIRE(::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT) == 0);
    return pid;
  };
  auto status_of = [&](pid_t pid) {
    std::optional<exit_status> reaped;
    supervisor::reaper::key key = 0;
    key = reaper.hold({context.get_executor(), pid, kernel::open_pidfd(pid)},
                      {[&](exit_status) { reaper.bury(key); },
                       [&](const kernel::obituary& last) { reaped = last.status; }});
    auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!reaped) BOOST_REQUIRE(context.run_one_until(deadline) == 1u);
    return *reaped;
  };
  auto expected = reaper.expect();
  auto worker = dead(7), orphan = dead(8);
  reaper.adopt_strangers({worker, orphan});
  // The kernel tells of deaths in their order: both are seen by the time this one is.
  BOOST_CHECK(status_of(dead(9)) == exit_status::exited(9));
  BOOST_CHECK(status_of(worker) == exit_status::exited(7));
  BOOST_TEST(kernel::children_of(::getpid()).size() == 1u);
  expected.reset();
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (reaper.holds(orphan)) BOOST_REQUIRE(context.run_one_until(deadline) == 1u);
  BOOST_TEST(kernel::children_of(::getpid()).empty());
}

BOOST_AUTO_TEST_CASE(kill_that_the_kernel_counts_is_for_want_of_memory) {
  test::temporary_directory directory;
  const std::string file = directory / "memory.events";
  auto count = [&](int kills) {
    std::ofstream(file) << "low 0\noom 3\noom_kill " << kills << "\noom_group_kill 0\n";
  };
  count(1);
  supervisor::kernel_host_options options;
  options.memory_events = file;
  test::kernel_world world(std::move(options));
  auto killed = [&](auto how) {
    auto id = world.launch(test::kernel_world::script({"sleep"}));
    BOOST_REQUIRE(world.run_until([&] { return world.view(id).pid || world.view(id).over(); }));
    how(id);
    BOOST_REQUIRE(world.run_until([&] { return world.reported(id); }));
    return world.view(id).out_of_memory;
  };
  auto from_outside = [&](auto id) {
    auto fd = kernel::open_pidfd(world.view(id).pid);
    BOOST_CHECK(!kernel::send_signal(fd.get(), SIGKILL));
  };
  BOOST_TEST(!killed(from_outside));
  count(2);
  BOOST_TEST(killed(from_outside));
  BOOST_TEST(!killed(from_outside));
  count(4);  // two at once
  BOOST_TEST(killed(from_outside));
  BOOST_TEST(killed(from_outside));
  BOOST_TEST(!killed(from_outside));
  count(3);
  BOOST_TEST(!killed([&](auto id) { world.host->signal(id, SIGKILL); }));
}

BOOST_FIXTURE_TEST_CASE(status_taken_by_somebody_else_is_lost_and_nothing_more, fixture) {
  auto id = launch(script({"exit", "7"}));
  // A program that waits for any child of its own.
  BOOST_REQUIRE(::waitpid(-1, nullptr, 0) == view(id).pid);
  BOOST_REQUIRE(run_until([&] { return reported(id); }));
  BOOST_CHECK(view(id).exited->how() == exit_status::kind::lost);
  BOOST_CHECK(report(id).status == exit_status::lost());
  BOOST_CHECK(run(script({"exit", "7"})).status == exit_status::exited(7));
}

BOOST_FIXTURE_TEST_CASE(ignored_sigchld_loses_the_status_only, fixture) {
  auto before = std::signal(SIGCHLD, SIG_IGN);
  auto id = launch(script({"exit", "7"}));
  bool told = run_until([&] { return reported(id); });
  std::signal(SIGCHLD, before);
  BOOST_REQUIRE(told);
  BOOST_CHECK(report(id).status == exit_status::lost());
}

BOOST_FIXTURE_TEST_CASE(number_used_again_is_never_signalled, fixture) {
  auto id = launch(script({"print", "up", "sleep"}));
  BOOST_REQUIRE(run_until([&] { return said(id, "up"); }));
  auto pid = view(id).pid;
  // Its death is not seen yet - the loop stands still - when the number goes to a stranger.
  BOOST_CHECK(!host->signal(id, SIGKILL));
  BOOST_REQUIRE(::waitpid(pid, nullptr, 0) == pid);
  struct {
    std::uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
        set_tid_size;
  } arguments{};
  arguments.exit_signal = SIGCHLD;
  arguments.set_tid = reinterpret_cast<std::uint64_t>(&pid);
  arguments.set_tid_size = 1;
  auto stranger = static_cast<pid_t>(::syscall(SYS_clone3, &arguments, sizeof arguments));
  if (stranger == 0) {
    ::setpgid(0, 0);
    for (;;) ::pause();
  }
  if (stranger < 0) {
    BOOST_TEST_MESSAGE("skipped: clone3 with set_tid is not permitted");
    return;
  }
  BOOST_TEST(stranger == pid);
  ::setpgid(stranger, stranger);
  BOOST_CHECK(host->signal(id, SIGTERM));
  BOOST_REQUIRE(run_until([&] { return reported(id); }));
  BOOST_CHECK(report(id).status == exit_status::lost());
  host->forget(id);
  launched.clear();
  context.restart();
  context.poll();
  // Our own signal is what ends it: none came before.
  auto fd = kernel::open_pidfd(stranger);
  kernel::send_signal(fd.get(), SIGUSR1);
  int status = 0;
  ::waitpid(stranger, &status, 0);
  BOOST_TEST(WTERMSIG(status) == SIGUSR1);
}

BOOST_FIXTURE_TEST_CASE(idle_host_has_no_timer, fixture) {
  auto id = launch(script({"print", "up", "sleep"}));
  BOOST_REQUIRE(run_until([&] { return said(id, "up"); }));
  context.restart();
  context.poll();
  // Nothing is due however long one waits: were a timer armed, this would run it.
  BOOST_TEST(context.run_for(std::chrono::milliseconds(300)) == 0u);
}

BOOST_AUTO_TEST_CASE(child_does_not_survive_its_supervisor) {
  test::leftovers nothing;
  test::public_child child;
  auto pipe = kernel::make_output_pipe();
  pid_t orphan = 0;
  {
    helper supervisor([fd = pipe.theirs.get(), program = child.program()] {
      test::kernel_world world;
      std::vector<std::string> actions{"print", "up", "sleep"};
      auto what = supervisor::spec::command(program, actions);
      if (::geteuid() == 0) what.user = "nobody";  // credentials would clear what kills it
      auto id = world.launch(what);
      if (!world.run_until([&] { return world.said(id, "up"); })) ::_exit(1);
      pid_t pid = world.view(id).pid;
      if (::write(fd, &pid, sizeof pid) != sizeof pid) ::_exit(1);
      ::pause();
    });
    BOOST_REQUIRE(kernel::wait_readable(pipe.ours.get(), std::chrono::seconds(20)));
    BOOST_REQUIRE(::read(pipe.ours.get(), &orphan, sizeof orphan) == sizeof orphan);
  }
  BOOST_TEST(ends(orphan));
}

BOOST_AUTO_TEST_CASE(host_that_goes_reaps_the_dead_and_leaves_the_living) {
  test::leftovers nothing;
  boost::asio::io_context context;
  supervisor::journal log(
      [] { return std::pair(supervisor::time_point{}, supervisor::wall_time{}); });
  pid_t living = 0;
  {
    auto host = supervisor::make_kernel_host(context.get_executor(), log, {});
    auto what = std::make_shared<const supervisor::spec>(test::kernel_world::script({"sleep"}));
    host->open_program("test", 1, what, {});
    supervisor::launch_request request;
    request.generation = 1;
    request.key = {"test", 1, 1};
    living = host->look(host->launch(request, {})).pid;
    request.key = {"test", 2, 1};
    host->signal(host->launch(request, {}), SIGKILL);
  }
  auto left = kernel::children_of(::getpid());
  BOOST_CHECK(left == std::vector<pid_t>{living});
  auto fd = kernel::open_pidfd(living);
  kernel::send_signal(fd.get(), SIGKILL);
  int status = 0;
  BOOST_TEST(::waitpid(living, &status, 0) == living);
  BOOST_TEST(WIFSIGNALED(status));
}

BOOST_AUTO_TEST_SUITE_END()
