// What a supervisor leaves alone in the program around it, and what it survives there.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <filesystem>
#include <map>

#include "door/host_program.hpp"
#include "kernel/descriptors.hpp"
#include "supervisor/errc.hpp"

namespace asio = boost::asio;
namespace kernel = supervisor::kernel;
using namespace test;
using supervisor::errc;

namespace {

/// Puts a signal's action in place for as long as it lives.
class action {
 public:
  action(int number, void (*handler)(int), int flags = 0) : number_(number) {
    struct sigaction wanted{};
    wanted.sa_handler = handler;
    wanted.sa_flags = flags;
    ::sigaction(number, &wanted, &before_);
  }
  ~action() { ::sigaction(number_, &before_, nullptr); }
  action(const action&) = delete;

 private:
  int number_;
  struct sigaction before_;
};

/// What a program has set up for itself, and its library must not touch.
struct settings {
  settings() {
    for (int number = 1; number < _NSIG; ++number) {
      struct sigaction present{};
      if (::sigaction(number, nullptr, &present) == 0)
        actions[number] = {present.sa_handler, present.sa_flags & ~restorer};
    }
    ::pthread_sigmask(SIG_BLOCK, nullptr, &mask);
    for (int number = 1; number < _NSIG; ++number)
      if (::sigismember(&mask, number) == 1) blocked.push_back(number);
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    descriptors = files.rlim_cur;
  }
  friend bool operator==(const settings& a, const settings& b) {
    return a.actions == b.actions && a.blocked == b.blocked && a.descriptors == b.descriptors;
  }

  static constexpr int restorer = 0x04000000;  // glibc's own, sigreturn(2)
  std::map<int, std::pair<void (*)(int), int>> actions;
  sigset_t mask;
  std::vector<int> blocked;
  rlim_t descriptors = 0;
};

/// Ends a child that nobody keeps any more.
void end(pid_t pid) {
  ::kill(pid, SIGKILL);
  int status = 0;
  BOOST_TEST(::waitpid(pid, &status, 0) == pid);
  BOOST_TEST((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
}

bool lives(pid_t pid) { return ::kill(pid, 0) == 0; }

bool refused(const asio::any_io_executor& executor) {
  try {
    supervisor::supervisor sup(executor);
  } catch (const boost::system::system_error& e) {
    std::string words = e.what();
    return e.code() == errc::statuses_lost && words.find("SIG_DFL") != words.npos;
  }
  return false;
}

/// One in a program with a thread of its own for launching, which then ends.
pid_t launch_from_a_thread_that_ends(host_program& program, supervisor::supervisor& sup) {
  program.run(1);
  auto web = get(sup.async_pool("web", worker(), 1, use_future));
  BOOST_TEST(get(web.async_settled(use_future)).ok);
  auto pid = only_pid(get(web.async_status(use_future)));
  program.context.stop();
  program.join();
  return pid;
}

asio::awaitable<unsigned> handle_signals(supervisor::supervisor& sup, std::promise<void>& set_up) {
  unsigned handled = 0;
  std::optional<supervisor::signal_dispatcher::registration> counting(
      sup.signals().on(SIGUSR1, [&](auto) -> asio::awaitable<void> {
        ++handled;
        co_return;
      }));
  set_up.set_value();
  const std::vector<int> last{SIGUSR2};
  co_await sup.signals().wait(last);
  counting.reset();
  co_return handled;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(surroundings)

BOOST_FIXTURE_TEST_CASE(signals_masks_and_limits_stay, host_program) {
  action pipe(SIGPIPE, SIG_DFL);
  settings before;
  std::promise<settings> inside;
  {
    supervisor::supervisor sup(context.get_executor(), options());
    run();
    auto web = get(sup.async_pool("web", worker({"print", "hello", "sleep"}), 3, use_future));
    BOOST_TEST(get(web.async_settled(use_future)).ok);
    BOOST_CHECK(settings() == before);
    asio::post(sup.executor(), [&] { inside.set_value(settings()); });
    BOOST_CHECK(get(inside.get_future()) == before);
    get(sup.async_stop(false, use_future));
    BOOST_CHECK(settings() == before);
  }
  join();
  BOOST_CHECK(settings() == before);
}

BOOST_FIXTURE_TEST_CASE(descriptors_are_close_on_exec, host_program) {
  auto open = [] {
    std::map<int, bool> all;
    for (auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
      int fd = std::stoi(entry.path().filename().string());
      int flags = ::fcntl(fd, F_GETFD);
      if (flags >= 0) all[fd] = flags & FD_CLOEXEC;
    }
    return all;
  };
  auto before = open();
  run();
  supervisor::supervisor sup(context.get_executor(), options());
  get(sup.async_listen(supervisor::listener_spec::parse("127.0.0.1:0"), use_future));
  auto web = get(sup.async_pool("web", worker(), 2, use_future));
  BOOST_TEST(get(web.async_settled(use_future)).ok);
  for (auto [fd, close_on_exec] : open())
    BOOST_TEST((before.contains(fd) || close_on_exec), "descriptor " << fd);
  get(sup.async_stop(false, use_future));
}

BOOST_FIXTURE_TEST_CASE(log_line_that_nobody_reads_is_lost_and_nothing_more, leftovers) {
  action pipe(SIGPIPE, SIG_DFL);
  auto both = kernel::make_output_pipe();
  both.ours.reset();
  BOOST_TEST(!kernel::write_now(both.theirs.get(), "helpers: ...\n"));
}

BOOST_FIXTURE_TEST_CASE(ignored_sigchld_is_refused, host_program) {
  {
    action ignored(SIGCHLD, SIG_IGN);
    BOOST_TEST(refused(context.get_executor()));
  }
  {
    action not_waited_for(SIGCHLD, SIG_DFL, SA_NOCLDWAIT);
    BOOST_TEST(refused(context.get_executor()));
  }
  action handled(SIGCHLD, [](int) {}, SA_RESTART);
  BOOST_TEST(!refused(context.get_executor()));
  run(1);
}

BOOST_FIXTURE_TEST_CASE(sigchld_ignored_later_costs_the_status_only, host_program) {
  run();
  supervisor::supervisor sup(context.get_executor(), options());
  auto web = get(sup.async_pool("web", worker(), 1, use_future));
  BOOST_TEST(get(web.async_settled(use_future)).ok);
  {
    action ignored(SIGCHLD, SIG_IGN);
    get(web.async_signal(0, SIGKILL, use_future));
    BOOST_TEST(book.await({"web.0", "status lost"}));
    BOOST_TEST(get(web.async_settled(use_future)).ok);
  }
  BOOST_TEST(get(web.async_status(use_future)).ready == 1u);
  get(sup.async_stop(false, use_future));
}

BOOST_FIXTURE_TEST_CASE(status_that_the_program_took_costs_nothing_else, host_program) {
  run();
  supervisor::supervisor sup(context.get_executor(), options());
  auto web = get(sup.async_pool("web", worker(), 1, use_future));
  BOOST_TEST(get(web.async_settled(use_future)).ok);
  auto pid = only_pid(get(web.async_status(use_future)));
  // Nobody runs the loop while the program waits for any child of its own.
  context.stop();
  join();
  ::kill(pid, SIGKILL);
  int status = 0;
  BOOST_TEST(::waitpid(-1, &status, 0) == pid);
  run();
  BOOST_TEST(book.await({"web.0", "status lost"}));
  BOOST_TEST(get(web.async_settled(use_future)).ok);
  BOOST_TEST(only_pid(get(web.async_status(use_future))) != pid);
  get(sup.async_stop(false, use_future));
}

BOOST_FIXTURE_TEST_CASE(worker_outlives_the_thread_that_launched_it, host_program) {
  supervisor::supervisor sup(context.get_executor(), options());
  auto pid = launch_from_a_thread_that_ends(*this, sup);
  run();
  auto all = get(sup.async_status(use_future));
  BOOST_TEST(only_pid(all.front()) == pid);
  BOOST_TEST(all.front().ready == 1u);
  BOOST_TEST(lives(pid));
  BOOST_TEST(book.count({"exited"}) == 0u);
  get(sup.async_stop(false, use_future));
}

BOOST_FIXTURE_TEST_CASE(worker_ends_with_that_thread_where_it_is_asked_to, host_program) {
  auto bound = options();
  bound.end_with_thread = true;
  supervisor::supervisor sup(context.get_executor(), std::move(bound));
  launch_from_a_thread_that_ends(*this, sup);
  run();
  BOOST_TEST(book.await({"web.0", "exited: SIGKILL"}));
  get(sup.async_stop(false, use_future));
}

BOOST_FIXTURE_TEST_CASE(two_supervisors_with_pools_of_one_name, host_program) {
  run();
  supervisor::supervisor a(context.get_executor(), options("a"));
  supervisor::supervisor b(context.get_executor(), options("b"));
  auto of_a = get(a.async_pool("web", worker(), 1, use_future));
  auto of_b = get(b.async_pool("web", worker(), 2, use_future));
  BOOST_TEST(get(of_a.async_settled(use_future)).ok);
  BOOST_TEST(get(of_b.async_settled(use_future)).ok);
  get(a.async_stop(false, use_future));
  BOOST_TEST(book.count({"a: web", "stopped, no worker"}) == 1u);
  BOOST_TEST(book.count({"b: web", "stopped, no worker"}) == 0u);
  BOOST_TEST(get(of_b.async_status(use_future)).ready == 2u);
  get(b.async_stop(false, use_future));
}

BOOST_FIXTURE_TEST_CASE(signals_are_dispatched_where_asked_for, host_program) {
  settings before;
  run();
  {
    supervisor::supervisor sup(context.get_executor(), options());
    std::promise<void> set_up;
    auto handling = asio::co_spawn(sup.executor(), handle_signals(sup, set_up), use_future);
    get(set_up.get_future());
    ::kill(::getpid(), SIGUSR1);
    BOOST_TEST(book.await({"received SIGUSR1"}));
    ::kill(::getpid(), SIGUSR2);
    BOOST_TEST(get(std::move(handling)) == 1u);
    get(sup.async_stop(false, use_future));
  }
  join();
  BOOST_CHECK(settings() == before);
}

BOOST_FIXTURE_TEST_CASE(destroyed_while_workers_live_it_says_so_and_lets_them_be, host_program) {
  run();
  std::optional<supervisor::supervisor> sup(std::in_place, context.get_executor(), options());
  auto web = get(sup->async_pool("web", worker(), 1, use_future));
  BOOST_TEST(get(web.async_settled(use_future)).ok);
  auto pid = only_pid(get(web.async_status(use_future)));
  sup.reset();
  auto name = "web.0 pid " + std::to_string(pid);
  BOOST_TEST(book.await({"destroyed without a stop", name, "async_stop"}));
  BOOST_TEST(lives(pid));
  BOOST_CHECK(get(web.async_resize(3, use_future)).error == errc::pool_closed);
  join();
  end(pid);
}

BOOST_FIXTURE_TEST_CASE(destroyed_it_answers_who_still_waits, host_program) {
  run();
  auto stubborn = worker({"ignore", "15", "notify", "READY=1", "sleep"});
  stubborn.ready = supervisor::readiness::notify;
  std::optional<supervisor::supervisor> sup(std::in_place, context.get_executor(), options());
  auto web = get(sup->async_pool("web", stubborn, 1, use_future));
  BOOST_TEST(get(web.async_settled(use_future)).ok);
  auto pid = only_pid(get(web.async_status(use_future)));
  auto resizing = web.async_resize(0, use_future);
  auto stopping = code([&](auto token) { sup->async_stop(false, token); });
  BOOST_TEST(book.await({"told to leave"}));
  sup.reset();
  BOOST_TEST(!get(std::move(resizing)).ok);
  BOOST_CHECK(get(std::move(stopping)) == asio::error::operation_aborted);
  join();
  end(pid);
}

BOOST_FIXTURE_TEST_CASE(destroyed_after_its_loop_has_ended_it_leaves_nothing, leftovers) {
  pid_t pid = 0;
  {
    asio::io_context context;
    std::optional<supervisor::supervisor> sup(std::in_place, context.get_executor());
    std::optional<supervisor::pool> web;
    std::optional<supervisor::pool_status> status;
    sup->async_pool("web", worker(), 1, [&](std::exception_ptr, supervisor::pool opened) {
      web = opened;
      web->async_settled([&](auto) { web->async_status([&](auto now) { status = now; }); });
    });
    while (!status) context.run_one();
    pid = only_pid(*status);
    // This one is under way for ever.
    web->async_resize(0, [](auto) {});
    sup.reset();
  }
  end(pid);
}

#ifndef NDEBUG
BOOST_FIXTURE_TEST_CASE(wrong_thread_is_loud_in_a_debug_build, leftovers) {
  asio::io_context context;
  auto child = ::fork();
  BOOST_REQUIRE(child >= 0);
  if (child == 0) {
    ::close(STDERR_FILENO);
    std::signal(SIGABRT, SIG_DFL);
    const rlimit none{};
    ::setrlimit(RLIMIT_CORE, &none);
    supervisor::supervisor sup(context.get_executor());
    sup.pools();
    ::_exit(0);
  }
  int status = 0;
  BOOST_TEST(::waitpid(child, &status, 0) == child);
  BOOST_TEST((WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT));
}
#endif

BOOST_AUTO_TEST_SUITE_END()
