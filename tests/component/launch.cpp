// Making a child: what it gets, what it does not, and what happens when it cannot be made.
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>

#include "support/kernel_world.hpp"
#include "support/temporary.hpp"

using supervisor::exit_status;
using supervisor::spec;

namespace {

/// Static, as in any host program: it would run in a child that leaves by exit(3).
struct static_witness {
  ~static_witness() {
    if (::getpid() != owner) std::ofstream(path) << "ran";
  }
  pid_t owner = ::getpid();
  std::string path;
} witness;

struct fixture : test::kernel_world {
  test::temporary_directory directory;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(launch)

BOOST_FIXTURE_TEST_CASE(exec_of_what_is_no_program_says_why, fixture) {
  auto missing = directory / "missing";
  auto plain = directory / "plain";
  std::ofstream(plain) << "not a program";
  witness.path = directory / "destructors";
  struct {
    std::string path;
    int error;
  } cases[] = {{missing, ENOENT}, {directory.path(), EACCES}, {plain, EACCES}};
  for (auto& each : cases) {
    auto id = launch(spec::command(each.path));
    BOOST_REQUIRE(run_until([&] { return reported(id); }));
    auto& failed = view(id).failed;
    BOOST_REQUIRE(failed);
    BOOST_TEST(failed->stage == "exec");
    BOOST_TEST(failed->error == each.error);
    BOOST_TEST(failed->what == each.path);
    BOOST_TEST(view(id).pid == 0);
    BOOST_CHECK(!view(id).exited);
    BOOST_CHECK(report(id).launch);
  }
  BOOST_TEST(::access(witness.path.c_str(), F_OK) < 0);
}

BOOST_FIXTURE_TEST_CASE(program_is_looked_up_in_the_childs_path, fixture) {
  ::symlink(TEST_CHILD, (directory / "known").c_str());
  auto what = spec::command("known", {"print", "found", "exit", "3"}).env("PATH", directory.path());
  auto& report = run(what);
  BOOST_CHECK(report.status == exit_status::exited(3));
  BOOST_TEST(report.last_output == "found\n");
  auto& missing = run(spec::command("unknown").env("PATH", directory.path()));
  BOOST_REQUIRE(missing.launch);
  BOOST_TEST(missing.launch->str().find("unknown") != std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(what_replaces_a_program_is_for_later_generations, fixture) {
  namespace fs = std::filesystem;
  auto file = directory / "server", next = directory / "next";
  fs::copy_file(TEST_CHILD, file);
  BOOST_TEST(run(spec::command(file, {"print", "old"})).last_output == "old\n");
  // Once more of the first generation.
  auto run_again = [&, n = 1u]() mutable {
    supervisor::launch_request request;
    request.key = {"test", 1, ++n};
    request.slot = 1;
    request.generation = 1;
    reports.erase(1);
    launched.push_back(host->launch(request, {}));
    BOOST_REQUIRE(run_until([&] { return reports.contains(1); }));
    return reports.at(1)->last_output;
  };
  fs::copy_file("/bin/false", next);
  fs::rename(next, file);
  BOOST_TEST(run_again() == "old\n");
  fs::remove(file);
  BOOST_TEST(run_again() == "old\n");
  // A later one takes what is there; a script is run by its path, whatever that holds.
  std::ofstream(file) << "#!/bin/sh\necho new\n";
  fs::permissions(file, fs::perms::owner_all);
  BOOST_TEST(run(spec::command(file)).last_output == "new\n");
  BOOST_TEST(run_again() == "old\n");
}

BOOST_FIXTURE_TEST_CASE(child_has_only_the_descriptors_it_was_given, fixture) {
  // Leaky ones, below and above what the host itself opens.
  int low = ::open("/dev/null", O_RDONLY);
  int high = ::fcntl(low, F_DUPFD, 900);
  auto listener = supervisor::listener_spec::parse("web=127.0.0.1:0");
  host->listen(listener);
  auto& report = run(script({"descriptors", "environment", "LISTEN_FDS", "environment",
                             "LISTEN_FDNAMES", "environment", "LISTEN_PID", "pid"}));
  ::close(low);
  ::close(high);
  BOOST_CHECK(report.status.success());
  auto pid = std::to_string(report.pid);
  BOOST_TEST(report.last_output == "fds 0 1 2 3\nLISTEN_FDS=1\nLISTEN_FDNAMES=web\nLISTEN_PID=" +
                                       pid + "\npid " + pid + "\n");
}

BOOST_FIXTURE_TEST_CASE(listeners_are_in_the_order_asked_for, fixture) {
  for (auto name : {"a=127.0.0.1:0", "b=127.0.0.1:0", "c=127.0.0.1:0"})
    host->listen(supervisor::listener_spec::parse(name));
  auto what = script({"descriptors", "print", "{fd:a} {fd:c}", "environment", "LISTEN_FDNAMES"});
  what.listeners = {"c", "a"};
  BOOST_TEST(run(what).last_output == "fds 0 1 2 3 4\n4 3\nLISTEN_FDNAMES=(unset)\n");
  what.listeners = {"d"};
  BOOST_REQUIRE(run(what).launch);
}

BOOST_FIXTURE_TEST_CASE(no_listeners_are_as_good_as_some, fixture) {
  host->listen(supervisor::listener_spec::parse("a=127.0.0.1:0"));
  auto what = script({"descriptors", "environment", "LISTEN_FDS"});
  what.listeners.emplace();
  BOOST_TEST(run(what).last_output == "fds 0 1 2\nLISTEN_FDS=(unset)\n");
}

BOOST_FIXTURE_TEST_CASE(a_generation_keeps_the_sockets_it_began_with, fixture) {
  using supervisor::listener_spec;
  auto path = directory / "a.sock", other = directory / "b.sock";
  auto exists = [](const std::string& file) { return ::access(file.c_str(), F_OK) == 0; };
  host->listen(listener_spec::parse("web=unix:" + path));
  auto id = launch(script({"print", "up", "sleep"}));
  BOOST_REQUIRE(run_until([&] { return said(id, "up"); }));

  // A name that moves, and comes back to what is still open.
  host->listen(listener_spec::parse("web=unix:" + other));
  BOOST_TEST(host->listeners().at(0).address() == "unix:" + other);
  BOOST_TEST((exists(path) && exists(other)));
  host->listen(listener_spec::parse("web=unix:" + path));
  BOOST_TEST(!exists(other), "nobody has it");
  // The same socket under another name.
  host->listen(listener_spec::parse("www=unix:" + path));
  host->close_listener("web");
  host->close_listener("never heard of");
  BOOST_REQUIRE(host->listeners().size() == 1u);
  BOOST_TEST(host->listeners().at(0).name == "www");
  host->close_listener("www");
  BOOST_TEST(exists(path), "the generation that is open has it");
  host->close_program("test", 1);
  BOOST_TEST(!exists(path));
  BOOST_TEST(run(script({"descriptors"})).last_output == "fds 0 1 2\n");
}

BOOST_FIXTURE_TEST_CASE(a_listener_that_cannot_move_stays, fixture) {
  using supervisor::listener_spec;
  auto first = host->listen(listener_spec::parse("web=127.0.0.1:0"));
  BOOST_TEST(host->listen(listener_spec::parse("web=127.0.0.1:0")).port == first.port);
  BOOST_CHECK_THROW(host->listen(listener_spec::parse("web=unix:/no/such/folder/s")),
                    boost::system::system_error);
  BOOST_TEST(host->listeners().at(0).address() == first.address());
}

BOOST_FIXTURE_TEST_CASE(signals_are_clean_although_ours_are_not, fixture) {
  sigset_t some, before;
  sigemptyset(&some);
  sigaddset(&some, SIGTERM);
  sigaddset(&some, SIGRTMIN + 3);
  ::pthread_sigmask(SIG_BLOCK, &some, &before);
  auto ignored = std::signal(SIGPIPE, SIG_IGN);
  auto handled = std::signal(SIGUSR1, [](int) {});
  auto what = script({"status", "SigBlk", "status", "SigIgn", "status", "SigCgt", "group"});
  auto output = run(what).last_output;
  std::signal(SIGPIPE, ignored);
  std::signal(SIGUSR1, handled);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  const std::string zero = "\t0000000000000000\n";
  // A sanitizer's runtime catches signals of its own in the child; without one there are none.
  auto expected = "SigBlk:" + zero + "SigIgn:" + zero;
  BOOST_TEST(output.substr(0, expected.size()) == expected);
  BOOST_TEST(output.find("leads its group") != std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(signal_before_the_child_is_set_up_does_not_reach_us, fixture) {
  // A child borrows our memory until it executes: a handler of ours run there would count here.
  static volatile std::sig_atomic_t count = 0;
  count = 0;
  auto before = std::signal(SIGUSR2, [](int) { count = count + 1; });
  pid_t shooter = ::fork();
  if (shooter == 0) {
    // Every child of our parent but ourselves, as fast as they appear; until the parent ends us.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;)
      for (pid_t pid : supervisor::kernel::children_of(::getppid()))
        if (pid != ::getpid()) ::kill(pid, SIGUSR2);
  }
  unsigned shot = 0;
  for (int i = 0; i < 200; ++i) {
    auto& report = run(script({"sleep"}));
    shot += report.status.signal() == SIGUSR2;
  }
  auto fd = supervisor::kernel::open_pidfd(shooter);
  supervisor::kernel::send_signal(fd.get(), SIGKILL);
  ::waitpid(shooter, nullptr, 0);
  std::signal(SIGUSR2, before);
  BOOST_TEST(shot == 200u);
  BOOST_TEST(count == 0);
}

BOOST_FIXTURE_TEST_CASE(surroundings_are_as_the_spec_asks, fixture) {
  auto what = script({"directory", "umask", "limit", "status", "NoNewPrivs", "environment",
                      "COLOUR", "environment", "LISTEN_FDS", "error", "to stderr"});
  what.directory = directory.path();
  what.umask = 027;
  what.limits = {{"nofile", 77, 78}};
  what.no_new_privileges = true;
  what.env("COLOUR", "blue");
  auto id = launch(what);
  BOOST_REQUIRE(run_until([&] { return reported(id); }));
  for (auto line : {"in " + directory.path(), std::string("umask 23"), std::string("nofile 77"),
                    std::string("NoNewPrivs:\t1"), std::string("COLOUR=blue"),
                    std::string("LISTEN_FDS=(unset)"), std::string("! to stderr")})
    BOOST_TEST(said(id, line), line);
}

BOOST_AUTO_TEST_CASE(descriptor_limit_is_the_one_from_before_ours_was_raised) {
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  rlimit lower{std::min<rlim_t>(before.rlim_max, 512), before.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &lower);
  {
    test::kernel_world world;
    rlimit raised{};
    ::getrlimit(RLIMIT_NOFILE, &raised);
    BOOST_TEST(raised.rlim_cur == before.rlim_max);
    BOOST_TEST(world.run(world.script({"limit"})).last_output == "nofile 512\n");
  }
  ::setrlimit(RLIMIT_NOFILE, &before);
}

BOOST_FIXTURE_TEST_CASE(credentials_are_dropped_with_their_groups, fixture) {
  if (::geteuid() != 0) {
    BOOST_TEST_MESSAGE("skipped: not root");
    return;
  }
  test::public_child child;
  std::vector<std::string> actions{"status", "Uid", "status", "Gid", "status", "Groups"};
  auto what = supervisor::spec::command(child.program(), actions);
  what.user = "nobody";
  auto id = launch(what);
  BOOST_REQUIRE(run_until([&] { return reported(id); }));
  BOOST_TEST(said(id, "Uid:\t65534\t65534\t65534\t65534"));
  BOOST_TEST(said(id, "Gid:\t65534\t65534\t65534\t65534"));
  BOOST_TEST(said(id, "Groups:\t65534 "));
}

BOOST_FIXTURE_TEST_CASE(what_cannot_be_prepared_is_named, fixture) {
  struct {
    const char* stage;
    std::function<void(spec&)> spoil;
  } cases[] = {
      {"credentials", [](spec& s) { s.user = "nobody-knows-me"; }},
      {"credentials", [](spec& s) { s.group = "nobody-knows-me"; }},
      {"limit", [](spec& s) { s.limits = {{"lifetime", 1, 1}}; }},
      {"limit", [](spec& s) { s.limits = {{"nofile", 2, 1}}; }},
      {"chdir", [this](spec& s) { s.directory = directory / "missing"; }},
      {"listener", [](spec& s) { s.arg("{fd:missing}"); }},
  };
  for (auto& each : cases) {
    auto what = script({"exit", "0"});
    each.spoil(what);
    auto& report = run(what);
    BOOST_REQUIRE(report.launch);
    BOOST_TEST(report.launch->stage == each.stage);
  }
}

BOOST_FIXTURE_TEST_CASE(fifo_without_a_reader_is_an_error_at_once, fixture) {
  auto fifo = directory / "fifo";
  BOOST_REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  auto what = script({"print", "lost"});
  what.out = {supervisor::output::to::file, fifo};
  auto& report = run(what);
  BOOST_REQUIRE(report.launch);
  BOOST_TEST(report.launch->stage == "stdio");
  BOOST_TEST(report.launch->error == ENXIO);
  BOOST_TEST(report.launch->what == fifo);
}

BOOST_FIXTURE_TEST_CASE(output_goes_to_a_file, fixture) {
  auto file = directory / "out";
  auto what = script({"print", "line", "error", "gone"});
  what.out = {supervisor::output::to::file, file};
  what.err = {supervisor::output::to::null, {}};
  run(what);
  run(what);
  std::ifstream in(file);
  std::string text(std::istreambuf_iterator<char>(in), {});
  BOOST_TEST(text == "line\nline\n");
}

BOOST_FIXTURE_TEST_CASE(without_a_descriptor_there_is_no_child, fixture) {
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  // A launch needs some eight descriptors: with each smaller number it fails at another place.
  int next = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::close(next);
  bool failed = false, worked = false;
  for (int room = 0; room < 12; ++room) {
    rlimit tight{static_cast<rlim_t>(next + room), before.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &tight);
    auto id = launch(script({"exit", "4"}));
    ::setrlimit(RLIMIT_NOFILE, &before);
    BOOST_REQUIRE(run_until([&] { return reported(id); }));
    host->close_program("test", launched.size());  // holds a descriptor too
    if (auto& error = view(id).failed) {
      failed = true;
      BOOST_TEST(error->error == EMFILE, error->str());
    } else {
      worked = true;
      BOOST_CHECK(report(id).status == exit_status::exited(4));
    }
  }
  BOOST_TEST(failed);
  BOOST_TEST(worked);
}

BOOST_AUTO_TEST_CASE(without_room_for_a_process_there_is_no_child) {
  // Root has no RLIMIT_NPROC, so a helper that is nobody tries.
  if (::geteuid() != 0) {
    BOOST_TEST_MESSAGE("skipped: not root");
    return;
  }
  test::leftovers nothing;
  pid_t helper = ::fork();
  if (helper == 0) {
    int code = 1;
    // Dumpable again: or else its own /proc/self/fd is closed to it.
    if (::setgid(65534) == 0 && ::setuid(65534) == 0 && ::prctl(PR_SET_DUMPABLE, 1) == 0) {
      rlimit none{0, 0};
      ::setrlimit(RLIMIT_NPROC, &none);
      test::kernel_world world;
      auto id = world.launch(test::kernel_world::script({"exit", "0"}));
      bool told = world.run_until([&] { return world.reported(id); });
      auto& failed = world.view(id).failed;
      code = told && failed && failed->stage == "clone" && failed->error == EAGAIN ? 0 : 2;
      if (!supervisor::kernel::children_of(::getpid()).empty()) code = 3;
    }
    ::_exit(code);
  }
  int status = 0;
  ::waitpid(helper, &status, 0);
  BOOST_TEST(status == 0);
}

BOOST_FIXTURE_TEST_CASE(launching_a_key_again_yields_the_child_that_is_there, fixture) {
  auto id = launch(script({"sleep"}));
  auto key = view(id).key;
  BOOST_TEST(host->find(key) == id);
  supervisor::launch_request again;
  again.key = key;
  again.generation = key.slot_id;
  BOOST_TEST(host->launch(again, {}) == id);
  auto pid = view(id).pid;
  BOOST_TEST(pid > 0);
  BOOST_CHECK(!host->signal(id, SIGTERM));
  BOOST_REQUIRE(run_until([&] { return reported(id); }));
  BOOST_TEST(report(id).pid == pid);
  BOOST_TEST(host->signal(id, SIGTERM).value() == ESRCH);
  host->forget(id);
  launched.clear();
  BOOST_TEST(host->find(key) == 0u);
}

BOOST_AUTO_TEST_SUITE_END()
