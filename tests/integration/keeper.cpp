// prefork and its keeper, the main process: who is who, and what is left when it is killed.
#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/json/array.hpp>
#include <boost/test/unit_test.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "support/app.hpp"

using test::master;
using test::strings;

namespace {

std::string file_of(pid_t pid, const std::string& name) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/" + name);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

pid_t master_of(const master& app) {
  auto status = app.status();
  return status["master"].as_object()["pid"].to_number<pid_t>();
}

// A feature g++ 12 asks for by a macro, and clang by __has_feature.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool sanitized = true;
#elif !defined(__has_feature)
constexpr bool sanitized = false;
#elif __has_feature(address_sanitizer)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif

/// Reads "Pss:   123 kB".
unsigned pss_of(pid_t pid) {
  std::istringstream lines(file_of(pid, "smaps_rollup"));
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("Pss:")) return static_cast<unsigned>(std::stoul(line.substr(4)));
  return 0;
}

bool can_listen(unsigned port) {
  test::unique_fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  int yes = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return ::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
         ::listen(fd.get(), 1) == 0;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(keeper)

BOOST_AUTO_TEST_CASE(the_main_process_is_a_small_one_beside_the_master) {
  master app({"-w", "2", "-b", "127.0.0.1:0"});
  app.wait_ready(2);
  auto status = app.status();
  BOOST_TEST(status["master"].as_object()["main_pid"].to_number<pid_t>() == app.pid());
  auto second = master_of(app);
  BOOST_TEST(second != app.pid());
  BOOST_TEST(file_of(app.pid(), "comm") == "prefork-keeper\n");
  BOOST_TEST(file_of(app.pid(), "cmdline").starts_with("prefork: keeper run --control "));
  BOOST_TEST(file_of(second, "comm") == "prefork-master\n");
  if (!sanitized) BOOST_TEST(pss_of(app.pid()) < 512u);  // as it ships: doc/keeper.md
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(a_signal_to_the_master_itself_counts_too) {
  master app({"-w", "1", "-b", "127.0.0.1:0"});
  app.wait_ready(1);
  BOOST_TEST(::kill(master_of(app), SIGTTIN) == 0);
  app.wait_ready(2);
  BOOST_TEST(::kill(master_of(app), SIGTERM) == 0);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(a_killed_keeper_takes_all_along_whatever_they_do) {
  const std::pair<const char*, const char*> kinds[] = {
      {"idle", "exec sleep 1000"},
      {"busy", "while :; do :; done"},
      {"stopped", "kill -STOP $$"},
      {"a daemon of its own",
       "setsid sh -c 'exec 1>&- 2>&-; trap \"\" TERM HUP; sleep 1000' & exec sleep 1000"},
      {"ignores signals", "trap '' TERM INT HUP QUIT; while :; do sleep 1; done"}};
  for (auto& [kind, what] : kinds) {
    BOOST_TEST_CONTEXT(kind) {
      test::temporary_directory place;
      master app({"-w", "2", "-b", "127.0.0.1:0", "-b", "local=unix:" + (place / "s"), "--", "sh",
                  "-c", what});
      app.wait_ready(2);
      auto port = app.port();
      auto second = master_of(app);
      app.signal(SIGKILL);
      BOOST_TEST(app.finish().signal == SIGKILL);
      BOOST_TEST(::kill(second, 0) == -1);
      BOOST_TEST(can_listen(port));
      BOOST_TEST(std::filesystem::is_empty(place.path()));
    }
  }
}

BOOST_AUTO_TEST_CASE(a_killed_keeper_takes_workers_of_another_user_along,
                     *boost::unit_test::precondition([](auto) { return ::getuid() == 0; })) {
  master app({"-w", "2", "-b", "127.0.0.1:0", "--user", "nobody"});
  app.wait_ready(2);
  app.signal(SIGKILL);
  BOOST_TEST(app.finish().signal == SIGKILL);
}

BOOST_AUTO_TEST_CASE(orphans_of_workers_are_reaped) {
  // Each second-born outlives its parent, and ends: nobody else waits for it.
  master app({"-w", "1", "-b", "127.0.0.1:0", "--log-level", "debug", "--", "sh", "-c",
              "for i in 1 2 3 4 5; do sh -c 'sh -c \"exit 0\" & exit 0'; done; exec sleep 1000"});
  app.wait_ready(1);
  auto second = master_of(app);
  auto number = std::to_string(second);
  auto children = [&] {
    std::ifstream list("/proc/" + number + "/task/" + number + "/children");
    return std::distance(std::istream_iterator<pid_t>(list), {});
  };
  auto deadline = std::chrono::steady_clock::now() + test::patience;
  while (children() > 1 && std::chrono::steady_clock::now() < deadline) app.status();
  BOOST_TEST(children() == 1);
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_SUITE_END()
