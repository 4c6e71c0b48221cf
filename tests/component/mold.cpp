// The mold, with real processes.
#include <dirent.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include <boost/asio/awaitable.hpp>
#include <boost/test/unit_test.hpp>
#include <csignal>
#include <cstdio>
#include <set>
#include <stdexcept>
#include <thread>

#include "kernel/descriptors.hpp"
#include "kernel/pidfd.hpp"
#include "supervisor/worker.hpp"
#include "support/functions.hpp"
#include "support/mold_process.hpp"

using supervisor::spec;
using test::mold_process;
namespace asio = boost::asio;

namespace {

int preloads = 0;
const void* preloaded = nullptr;

std::string descriptors() {
  std::string list;
  std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir("/proc/self/fd"), closedir);
  std::set<int> numbers;
  while (const dirent* entry = readdir(directory.get()))
    if (entry->d_name[0] != '.') numbers.insert(std::atoi(entry->d_name));
  numbers.erase(dirfd(directory.get()));
  for (int number : numbers) {
    char target[256]{};
    const std::string link = "/proc/self/fd/" + std::to_string(number);
    if (readlink(link.c_str(), target, sizeof target - 1) < 0) continue;
    std::string text = target;
    list += std::to_string(number) + "=" + text.substr(0, text.find('[')) + " ";
  }
  return list;
}

asio::awaitable<void> serve_nothing(supervisor::worker& self) {
  self.ready();
  co_await self.stopping();
}

const test::function idle{"idle", [] { preloaded = &preloads, ++preloads; }, serve_nothing};
const test::function throwing{"throwing", [] { throw std::runtime_error("no database"); },
                              serve_nothing};
const test::function threaded{"threaded", [] { std::thread([] { pause(); }).detach(); },
                              serve_nothing};
const test::function preload_exits{"preload_exits", [] { _exit(3); }, serve_nothing};

asio::awaitable<void> tell(supervisor::worker& self) {
  std::printf("preloads %d pool %s slot %u generation %llu\n", preloads, self.pool().c_str(),
              self.slot(), static_cast<unsigned long long>(self.generation()));
  std::printf("parent %d group %d session %d\n", getppid(), getpgrp() == getpid(), getsid(0));
  std::printf("descriptors %s\n", descriptors().c_str());
  std::printf("environment %s|%s\n", getenv("GREETING"), getenv(supervisor::mold_variable));
  std::fflush(stdout);
  co_return;
}
const test::function teller{"teller", [] { ++preloads; }, tell};

asio::awaitable<void> pause_forever(supervisor::worker& self) {
  self.ready();
  for (;;) pause();
  co_return;
}
void touch_much() {
  static std::vector<std::string> kept;
  for (int piece = 0; piece < 64 * 1024; ++piece) kept.emplace_back(1000, 'x');
}
const test::function large{"large", touch_much, serve_nothing};
const test::function paused{"paused", pause_forever};

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != text.npos;
}

/// kB of anonymous huge pages.
long huge_pages_of(pid_t pid) {
  const std::string text = test::read_file("/proc/" + std::to_string(pid) + "/smaps_rollup");
  const auto at = text.find("AnonHugePages:");
  return at == text.npos ? 0 : std::stol(text.substr(at + 14));
}

/// Does the kernel know MADV_COLLAPSE, and does the administrator want huge pages?
boost::test_tools::assertion_result has_huge_pages(boost::unit_test::test_unit_id) {
  const std::string setting = test::read_file("/sys/kernel/mm/transparent_hugepage/enabled");
  utsname system{};
  int major = 0, minor = 0;
  return uname(&system) == 0 && std::sscanf(system.release, "%d.%d", &major, &minor) == 2 &&
         (major > 6 || (major == 6 && minor >= 1)) && !setting.empty() &&
         !contains(setting, "[never]");
}

}  // namespace

BOOST_AUTO_TEST_SUITE(mold)

BOOST_AUTO_TEST_CASE(workers_are_children_of_the_supervisor_with_a_clean_state) {
  spec what("teller");
  what.env("GREETING", "hello");
  mold_process mold(what);
  mold.start();
  BOOST_REQUIRE(mold.ready);
  auto& worker = mold.launch(true);
  const std::string text = worker.output();
  BOOST_TEST_INFO(text);
  BOOST_TEST(contains(text, "preloads 1 pool web slot 0 generation 3\n"));
  BOOST_TEST_INFO(text);
  BOOST_TEST(contains(text, "parent " + std::to_string(getpid()) + " group 1 "));
  BOOST_TEST(contains(text, "environment hello|(null)\n"));
  BOOST_TEST(mold.end(worker).success());
}

BOOST_AUTO_TEST_CASE(no_descriptor_leaks_into_a_worker) {
  mold_process mold(spec("teller"));
  mold.start();
  mold.launch(true).output();  // descriptors of an order must not reach the next worker
  const std::string text = mold.launch(true).output();
  BOOST_TEST_INFO(text);
  // Stdio, the channel, and what the worker's own loop and signals need.
  std::istringstream words(text.substr(text.find("descriptors ") + 12));
  int pipes = 0, sockets = 0, others = 0;
  for (std::string word; words >> word && word.find('=') != word.npos;) {
    const std::string target = word.substr(word.find('=') + 1);
    if (target.starts_with("socket:"))
      ++sockets;
    else if (target.starts_with("pipe:"))
      ++pipes;
    else if (!target.starts_with("anon_inode:") && target != "/dev/null")
      ++others;
  }
  BOOST_TEST(sockets == 1);
  BOOST_TEST(pipes == 4);  // stdout, stderr; both ends of Asio's signal pipe
  BOOST_TEST(others == 0);
}

BOOST_AUTO_TEST_CASE(signals_are_clean_and_titles_tell_who_is_who) {
  mold_process mold(spec("paused"));
  mold.start();
  auto& worker = mold.launch_ready();
  BOOST_TEST(test::status_of(worker.pid, "SigBlk") == "0000000000000000");
  // PIPE by the mold; INT and USR1 by the worker kit.
  BOOST_TEST(test::status_of(worker.pid, "SigIgn") == "0000000000001202");
  BOOST_TEST(test::status_of(worker.pid, "Name") == "prefork-worker");
  BOOST_TEST(test::status_of(mold.pid, "Name") == "prefork-mold");
  const auto title = [](pid_t pid) {
    return test::read_file("/proc/" + std::to_string(pid) + "/cmdline");
  };
  BOOST_TEST(title(worker.pid).c_str() == "test_mold: worker web.0 gen 3");
  BOOST_TEST(title(worker.pid).size() <= std::string("test_mold: worker web.0 gen 3").size() + 1);
  BOOST_TEST(title(mold.pid).c_str() == "test_mold: mold web gen 3");
}

BOOST_AUTO_TEST_CASE(much_preloaded_is_on_huge_pages,
                     *boost::unit_test::precondition(has_huge_pages)) {
  mold_process mold(spec("large"));
  mold.start();
  BOOST_REQUIRE(mold.ready);
  const long all = 64 * 1000;
  BOOST_TEST(huge_pages_of(mold.pid) > all / 2);
  auto& worker = mold.launch_ready();
  BOOST_TEST(huge_pages_of(worker.pid) > all / 2);
}

BOOST_AUTO_TEST_CASE(preload_runs_once) {
  mold_process mold(spec("teller"));
  mold.start();
  for (int i = 0; i < 3; ++i) BOOST_TEST(contains(mold.launch(true).output(), "preloads 1 "));
}

BOOST_AUTO_TEST_CASE(an_unknown_function_is_refused_with_the_known_ones) {
  mold_process mold(spec("nope"));
  mold.start();
  BOOST_REQUIRE(mold.refused.has_value());
  BOOST_TEST(mold.refused->stage == "function");
  BOOST_TEST(contains(mold.refused->what, "no worker function 'nope'"));
  BOOST_TEST(contains(mold.refused->what, "teller"));
  mold.until([&] { return mold.closed; });
}

BOOST_AUTO_TEST_CASE(a_preload_that_throws_is_refused_with_its_words) {
  mold_process mold(spec("throwing"));
  mold.start();
  BOOST_REQUIRE(mold.refused.has_value());
  BOOST_TEST(mold.refused->stage == "preload");
  BOOST_TEST(mold.refused->what == "no database");
}

BOOST_AUTO_TEST_CASE(threads_are_refused) {
  mold_process mold(spec("threaded"));
  mold.start();
  BOOST_REQUIRE(mold.refused.has_value());
  BOOST_TEST(mold.refused->stage == "threads");
  BOOST_TEST(contains(mold.refused->what, "threads_in_mold_role"));
}

BOOST_AUTO_TEST_CASE(bad_surroundings_are_refused) {
  spec no_directory("idle"), no_user("idle"), no_limit("idle");
  no_directory.directory = "/does/not/exist";
  no_user.user = "nobody-of-that-name";
  no_limit.limits.push_back({"nofiles", 1, 1});
  const std::pair<spec, std::string> cases[] = {
      {no_directory, "chdir"}, {no_user, "user"}, {no_limit, "limits"}};
  for (const auto& [what, stage] : cases) {
    mold_process mold(what);
    mold.start();
    BOOST_REQUIRE(mold.refused.has_value());
    BOOST_TEST(mold.refused->stage == stage);
  }
}

BOOST_AUTO_TEST_CASE(a_mold_that_dies_fails_its_open_orders) {
  mold_process mold(spec("idle"));
  mold.start();
  BOOST_REQUIRE(kill(mold.pid, SIGSTOP) == 0);
  auto& first = mold.order();
  auto& second = mold.order();
  BOOST_REQUIRE(kill(mold.pid, SIGKILL) == 0);
  mold.until([&] { return mold.closed; });
  BOOST_TEST((first.settled && second.settled));
  BOOST_TEST(first.error.value().stage == "mold");
}

BOOST_AUTO_TEST_CASE(a_mold_that_dies_in_preload_is_told) {
  mold_process mold(spec("preload_exits"));
  mold.start();
  BOOST_TEST(mold.closed);
  BOOST_TEST((test::reap(std::exchange(mold.pid, 0)) == supervisor::exit_status::exited(3)));
}

BOOST_AUTO_TEST_CASE(signals_do_not_end_a_mold_but_its_closed_socket_does) {
  mold_process mold(spec("idle"));
  mold.start();
  for (int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGTTIN, SIGWINCH})
    BOOST_REQUIRE(kill(mold.pid, number) == 0);
  auto& worker = mold.launch_ready();
  mold.client.reset();
  BOOST_TEST((test::reap(std::exchange(mold.pid, 0)) == supervisor::exit_status::exited(0)));
  BOOST_REQUIRE(kill(worker.pid, SIGTERM) == 0);  // a worker outlives its mold
  BOOST_TEST(worker.word() == "STOPPING=1");
  BOOST_TEST(mold.end(worker).success());
}

BOOST_AUTO_TEST_CASE(a_worker_that_is_reaped_before_it_is_told_of_is_no_other_process) {
  mold_process mold(spec("idle"));
  mold.start();
  auto& worker = mold.order();
  mold.until([&] { return test::kernel::children_of(getpid()).size() == 2; });
  pid_t made = 0;
  for (pid_t pid : test::kernel::children_of(getpid()))
    if (pid != mold.pid) made = pid;
  BOOST_REQUIRE(kill(made, SIGKILL) == 0);
  test::reap(made);
  mold.until([&] { return worker.settled; });
  BOOST_TEST(std::exchange(worker.pid, 0) == made);
  BOOST_REQUIRE(worker.pidfd);
  BOOST_TEST(test::kernel::wait_readable(worker.pidfd.get(), {}));
}

BOOST_AUTO_TEST_CASE(orders_may_be_pipelined) {
  mold_process mold(spec("idle"));
  mold.start();
  std::vector<test::worker_process*> workers;
  for (int i = 0; i < 200; ++i) workers.push_back(&mold.order());
  mold.until([&] { return std::ranges::all_of(workers, &test::worker_process::settled); });
  std::set<pid_t> pids;
  for (auto* worker : workers) {
    BOOST_REQUIRE(worker->pid > 0);
    pids.insert(worker->pid);
    BOOST_TEST(worker->word() == "READY=1");
  }
  BOOST_TEST(pids.size() == 200u);
  for (auto* worker : workers) BOOST_REQUIRE(kill(worker->pid, SIGTERM) == 0);
  for (auto* worker : workers) BOOST_TEST(mold.end(*worker).success());
}

BOOST_AUTO_TEST_CASE(orders_whose_descriptors_find_no_room_fail_and_later_ones_do_not) {
  mold_process mold(spec("idle"));
  mold.start();
  const rlimit few{16, 16};
  BOOST_REQUIRE(prlimit(mold.pid, RLIMIT_NOFILE, &few, nullptr) == 0);
  std::vector<test::worker_process*> workers;
  for (int i = 0; i < 8; ++i) workers.push_back(&mold.order(true));
  mold.until([&] { return std::ranges::all_of(workers, &test::worker_process::settled); });
  for (auto* worker : workers) {
    BOOST_REQUIRE(worker->error);
    BOOST_TEST(worker->error->error == EMFILE);
  }
  for (int i = 0; i < 3; ++i) {  // nothing of the others is left in the mold
    auto& worker = mold.launch_ready();
    BOOST_REQUIRE(kill(worker.pid, SIGTERM) == 0);
    BOOST_TEST(mold.end(worker).success());
  }
}

BOOST_AUTO_TEST_CASE(a_dead_worker_s_pipe_ends_with_it_whoever_was_ordered_beside_it) {
  mold_process mold(spec("paused"));
  mold.start();
  auto& first = mold.order(true);
  auto& second = mold.order(true);
  mold.until([&] { return first.settled && second.settled; });
  BOOST_REQUIRE((first.pid > 0 && second.pid > 0));
  BOOST_REQUIRE(kill(first.pid, SIGKILL) == 0);
  BOOST_TEST(first.output() == "");  // to its end: neither the mold nor the other worker has it
  BOOST_TEST((mold.end(first) == supervisor::exit_status::signalled(SIGKILL)));
}

BOOST_AUTO_TEST_CASE(short_turns_are_the_mold_s_and_not_its_workers_) {
  mold_process mold(spec("idle"));
  mold.start();
  auto& worker = mold.launch_ready();
  auto own = test::turn_of(getpid());
  BOOST_TEST(test::turn_of(worker.pid) == own);
  // Before Linux 6.12 there are no turns; with a negative nice value the mold leaves them alone.
  bool asks = own > 0 && getpriority(PRIO_PROCESS, 0) >= 0;
  if (asks) BOOST_TEST(test::turn_of(mold.pid) < own);
  BOOST_REQUIRE(kill(worker.pid, SIGTERM) == 0);
  BOOST_TEST(mold.end(worker).success());
}

BOOST_AUTO_TEST_CASE(limits_identity_and_umask_are_the_worker_s_own) {
  if (geteuid() != 0) return;
  spec what("paused");
  what.user = "nobody";
  what.umask = 027;
  what.no_new_privileges = true;
  what.limits.push_back({"core", 0, 0});
  mold_process mold(what);
  mold.start();
  auto& worker = mold.launch_ready();
  BOOST_TEST(test::status_of(worker.pid, "Uid").starts_with("65534\t65534"));
  BOOST_TEST(test::status_of(worker.pid, "Gid").starts_with("65534\t65534"));
  BOOST_TEST(test::status_of(worker.pid, "Umask") == "0027");
  BOOST_TEST(test::status_of(worker.pid, "NoNewPrivs") == "1");
  BOOST_TEST(test::status_of(mold.pid, "Uid").starts_with("0\t"));
}

BOOST_AUTO_TEST_SUITE_END()
