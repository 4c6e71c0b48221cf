// Listeners with a socket a slot: who gets what comes, whoever dies or leaves.
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <csignal>
#include <cstring>
#include <fstream>
#include <map>
#include <set>

#include "kernel/accept_queue.hpp"
#include "kernel/descriptors.hpp"
#include "kernel/reuseport.hpp"
#include "kernel/sockets.hpp"
#include "process/watched_fd.hpp"
#include "supervisor/worker.hpp"
#include "support/function_world.hpp"
#include "support/functions.hpp"
#include "support/serve_pid.hpp"

namespace asio = boost::asio;
namespace kernel = supervisor::kernel;
using kernel::unique_fd;
using supervisor::child_id;
using supervisor::listener_spec;

namespace {

const test::function by_name{"sharding.name", test::serve_pid};

unique_fd connect_to(std::uint16_t port) {
  unique_fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  BOOST_REQUIRE(::connect(client.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) == 0);
  return client;
}

/// How many of `clients` connections each socket has; they are taken from it.
std::vector<unsigned> share_out(const std::vector<unique_fd>& sockets, std::uint16_t port,
                                unsigned clients) {
  std::vector<unique_fd> held;
  for (unsigned i = 0; i < clients; ++i) held.push_back(connect_to(port));
  std::vector<unsigned> counts;
  for (auto& socket : sockets) {
    unsigned n = 0;
    while (unique_fd taken{::accept4(socket.get(), nullptr, nullptr, SOCK_CLOEXEC)}) ++n;
    counts.push_back(n);
  }
  return counts;
}

struct sharded_world : test::function_world {
  explicit sharded_world(
      supervisor::kernel_host_options options = test::options_for("/proc/self/exe"),
      const std::string& address = "127.0.0.1:0,sharded")
      : function_world(std::move(options)) {
    where = host->listen(listener_spec::parse(address));
    open(supervisor::spec("sharding.name"));
    BOOST_REQUIRE(opened());
  }
  /// Starts a worker of this slot, and waits until it serves.
  child_id serve(unsigned slot) {
    supervisor::launch_request request;
    request.key = {"pool", ++made, 1};
    request.slot = slot;
    request.generation = 1;
    launched.push_back(host->launch(request, [this] { ++changes; }));
    BOOST_REQUIRE(ready(launched.back()));
    host->serves(launched.back());
    return launched.back();
  }
  /// Kills one, as its slot learns of it.
  void lose(child_id id) {
    host->signal(id, SIGKILL);
    BOOST_REQUIRE(run_until([&] { return view(id).over(); }));
    BOOST_REQUIRE(run_until([&] { return reported(id); }));
    std::erase(launched, id);
    host->forget(id);
  }
  /// Looks now and then, where nothing is heard of it in the loop.
  bool comes_to(const std::function<bool()>& what) {
    struct ticking {
      explicit ticking(supervisor::host& h) : outside(h) { next(); }
      ~ticking() { outside.cancel(timer); }
      void next() {
        timer = outside.call_at(outside.now() + std::chrono::milliseconds(20), [this] { next(); });
      }
      supervisor::host& outside;
      supervisor::timer_id timer = 0;
    } ticks(*host);
    return run_until(what);
  }
  std::string name_of(child_id id) { return std::to_string(view(id).pid); }
  /// Runs the loop meanwhile: what is passed on goes through it.
  std::string answer(const unique_fd& client) {
    bool answered = false;
    supervisor::watched_fd news(context.get_executor(), kernel::duplicate(client.get()),
                                [&] { answered = true; });
    BOOST_REQUIRE(run_until([&] { return answered; }));
    char text[32];
    auto size = ::recv(client.get(), text, sizeof text, MSG_DONTWAIT);
    BOOST_REQUIRE(size > 0);
    return {text, static_cast<std::size_t>(size)};
  }
  std::map<std::string, unsigned> ask(unsigned times) {
    std::map<std::string, unsigned> by;
    for (unsigned i = 0; i < times; ++i) ++by[answer(connect_to(where.port))];
    return by;
  }
  listener_spec where;
  unsigned made = 0;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(sharding)

BOOST_AUTO_TEST_CASE(connections_go_to_the_sockets_that_are_not_passed_over) {
  auto where = listener_spec::parse("127.0.0.1:0,sharded");
  std::vector<unique_fd> sockets;
  sockets.push_back(kernel::open_listener(where));
  for (int i = 1; i < 4; ++i) sockets.push_back(kernel::join_listener(sockets[0].get(), 4096));
  BOOST_REQUIRE(kernel::steer(sockets[0].get(), 4, {}) == 0);
  for (auto count : share_out(sockets, where.port, 200)) BOOST_TEST(count > 20u);

  for (const auto& none : {std::vector<unsigned>{0}, {1, 2}, {0, 3}, {0, 1, 2}, {1, 2, 3}}) {
    BOOST_REQUIRE(kernel::steer(sockets[2].get(), 4, none) == 0);
    auto counts = share_out(sockets, where.port, 100);
    for (unsigned i = 0; i < 4; ++i)
      BOOST_TEST((counts[i] == 0) == (std::ranges::count(none, i) == 1));
  }
  BOOST_TEST(kernel::steer(sockets[0].get(), 4, std::vector<unsigned>{0, 1, 2, 3}) == EINVAL);

  // The last one takes the place of one that leaves.
  kernel::leave_listener(sockets[1].get());
  sockets[1] = std::move(sockets[3]);
  sockets.pop_back();
  BOOST_REQUIRE(kernel::steer(sockets[0].get(), 3, std::vector<unsigned>{0, 2}) == 0);
  BOOST_TEST(share_out(sockets, where.port, 50)[1] == 50u);
}

BOOST_AUTO_TEST_CASE(to_steer_needs_no_privilege) {
  if (::geteuid() != 0) return;  // then the case before has shown it
  pid_t stranger = ::fork();
  BOOST_REQUIRE(stranger >= 0);
  if (stranger == 0) {
    int failed = EPERM;
    try {
      auto where = listener_spec::parse("127.0.0.1:0,sharded");
      if (::setgid(65534) == 0 && ::setuid(65534) == 0) {
        auto first = kernel::open_listener(where);
        auto second = kernel::join_listener(first.get(), 4096);
        failed = kernel::steer(first.get(), 2, std::vector<unsigned>{0});
      }
    } catch (const boost::system::system_error& e) {
      failed = e.code().value();
    }
    ::_exit(failed);
  }
  int status = -1;
  BOOST_REQUIRE(::waitpid(stranger, &status, 0) == stranger);
  BOOST_REQUIRE(WIFEXITED(status));
  BOOST_TEST(WEXITSTATUS(status) == 0);
}

BOOST_AUTO_TEST_CASE(nobody_else_can_share_the_address) {
  auto where = listener_spec::parse("127.0.0.1:0,sharded");
  auto first = kernel::open_listener(where);
  auto again = where;
  BOOST_CHECK_EXCEPTION(kernel::open_listener(again), boost::system::system_error,
                        [](auto& e) { return e.code().value() == EADDRINUSE; });
}

BOOST_FIXTURE_TEST_CASE(each_worker_has_connections_of_its_own, sharded_world) {
  for (unsigned slot = 0; slot < 3; ++slot) serve(slot);
  auto by = ask(90);
  BOOST_TEST(by.size() == 3u);
  for (auto& [name, count] : by) BOOST_TEST(count > 5u);
}

BOOST_FIXTURE_TEST_CASE(what_a_killed_worker_had_queued_is_served_by_its_replacement,
                        sharded_world) {
  auto first = serve(0);
  BOOST_REQUIRE(kill(view(first).pid, SIGSTOP) == 0);
  std::vector<unique_fd> waiting;
  for (int i = 0; i < 10; ++i) waiting.push_back(connect_to(where.port));
  lose(first);
  auto second = serve(0);
  for (auto& each : waiting) BOOST_TEST(answer(each) == name_of(second));
}

BOOST_FIXTURE_TEST_CASE(an_empty_slot_swallows_nothing, sharded_world) {
  auto stays = serve(0);
  auto goes = serve(1);
  BOOST_REQUIRE(kill(view(goes).pid, SIGSTOP) == 0);
  // Of these, some wait at the socket of the one that is killed.
  std::vector<unique_fd> waiting;
  for (int i = 0; i < 40; ++i) waiting.push_back(connect_to(where.port));
  lose(goes);
  for (auto& each : waiting) BOOST_TEST(answer(each) == name_of(stays));
  BOOST_TEST((ask(40) == std::map<std::string, unsigned>{{name_of(stays), 40}}));
}

BOOST_FIXTURE_TEST_CASE(one_that_is_to_leave_has_nothing_sent_its_way, sharded_world) {
  auto stays = serve(0);
  auto goes = serve(1);
  host->tell_terms(goes, {supervisor::never, true});
  BOOST_TEST((ask(40) == std::map<std::string, unsigned>{{name_of(stays), 40}}));
  // It serves on until it is told, and what it has is answered.
  host->signal(goes, SIGTERM);
  BOOST_TEST((ask(40) == std::map<std::string, unsigned>{{name_of(stays), 40}}));
  BOOST_TEST(run_until([&] { return view(goes).over(); }));
  BOOST_TEST(view(goes).exited->success());
}

BOOST_FIXTURE_TEST_CASE(who_waits_for_connections_sees_those_of_a_slot_that_came_later,
                        sharded_world) {
  auto former = serve(0);
  unsigned woken = 0;
  host->watch_queue({{where.name}}, [&] { ++woken; });
  auto given_up = host->watch_queue({{where.name}}, [&] { woken += 100; });
  auto latter = serve(1);
  host->cancel_watch(given_up);
  host->tell_terms(former, {supervisor::never, true});  // what comes is for the other one
  BOOST_REQUIRE(kill(view(latter).pid, SIGSTOP) == 0);
  BOOST_TEST(woken == 0u);
  auto client = connect_to(where.port);
  BOOST_REQUIRE(run_until([&] { return woken > 0; }));
  BOOST_TEST(woken == 1u);
  BOOST_REQUIRE(kill(view(latter).pid, SIGCONT) == 0);
  BOOST_TEST(answer(client) == name_of(latter));
}

BOOST_FIXTURE_TEST_CASE(two_of_one_slot_share_its_socket, sharded_world) {
  auto former = serve(0);
  auto latter = serve(0);  // as in a rollout
  host->tell_terms(former, {supervisor::never, true});
  host->signal(former, SIGTERM);
  BOOST_TEST(run_until([&] { return view(former).over(); }));
  BOOST_TEST((ask(20) == std::map<std::string, unsigned>{{name_of(latter), 20}}));
}

/// The settings of TCP, for this test alone. Without the right to have them there is nothing to
/// test.
struct own_network {
  own_network() : before(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)) {
    BOOST_REQUIRE(before);
    made = ::unshare(CLONE_NEWNET) == 0;
    if (!made) return;
    unique_fd any(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq up{};
    std::strcpy(up.ifr_name, "lo");
    up.ifr_flags = IFF_UP;
    BOOST_REQUIRE(::ioctl(any.get(), SIOCSIFFLAGS, &up) == 0);
  }
  ~own_network() {
    if (made) BOOST_CHECK(::setns(before.get(), CLONE_NEWNET) == 0);
  }
  bool set(const char* name, int value) const {
    if (made) std::ofstream(std::string("/proc/sys/net/ipv4/") + name) << value;
    int now = -1;
    std::ifstream(std::string("/proc/sys/net/ipv4/") + name) >> now;
    if (made && now == value) return true;
    BOOST_TEST_MESSAGE("not tried: no " << name << " of our own");
    return false;
  }
  unique_fd before;
  bool made = false;
};
struct own_sharded_world : own_network, sharded_world {};

unsigned listening_sockets() {
  std::ifstream all("/proc/self/net/tcp");
  unsigned count = 0;
  for (std::string line; std::getline(all, line);) count += line.find(" 0A ") != line.npos;
  return count;
}

BOOST_FIXTURE_TEST_CASE(a_slot_that_is_no_more_has_no_socket_either, own_sharded_world) {
  for (unsigned slot = 0; slot < 3; ++slot) serve(slot);
  if (!set("tcp_synack_retries", 0)) return;
  BOOST_TEST(listening_sockets() == 3u);
  lose(launched[1]);
  // Not before a handshake that had begun has ended.
  BOOST_TEST(listening_sockets() == 3u);
  BOOST_REQUIRE(comes_to([] { return listening_sockets() == 2; }));
  BOOST_TEST(ask(60).size() == 2u);
  auto again = serve(1);
  BOOST_TEST(listening_sockets() == 3u);
  BOOST_TEST(ask(90)[name_of(again)] > 5u);
}

/// Whoever keeps the sockets, should this process end: each by its name and place.
struct kept_sockets {
  static ino_t identity(int socket) {
    struct stat info;
    BOOST_REQUIRE(::fstat(socket, &info) == 0);
    return info.st_ino;
  }
  supervisor::kernel_host_options options() {
    auto all = test::options_for("/proc/self/exe");
    all.on_listener = [this](auto& name, unsigned place, int socket) {
      sockets.erase({name, place});
      if (socket >= 0) sockets[{name, place}] = identity(socket);
    };
    return all;
  }
  std::map<std::pair<std::string, unsigned>, ino_t> sockets;
};
struct told_world : own_network, kept_sockets, sharded_world {
  told_world() : sharded_world(options()) {}
};

BOOST_FIXTURE_TEST_CASE(whoever_keeps_them_is_told_of_every_socket_and_of_its_place, told_world) {
  for (unsigned slot = 0; slot < 3; ++slot) serve(slot);
  BOOST_REQUIRE(sockets.size() == 3u);
  const auto last = sockets.at({"http", 2});
  if (!set("tcp_synack_retries", 0)) return;
  lose(launched[1]);
  BOOST_REQUIRE(comes_to([&] { return sockets.size() == 2; }));
  // The last has its place, as in the kernel.
  BOOST_TEST(sockets.at({"http", 1}) == last);
  host->close_listener("http");
  BOOST_TEST(sockets.empty());
}

struct sharded_commands : own_network, test::kernel_world {
  child_id serve(unsigned slot) {
    supervisor::launch_request request;
    request.key = {"pool", slot + 1, 1};
    request.slot = slot;
    request.generation = 1;
    launched.push_back(host->launch(request, [] {}));
    host->serves(launched.back());
    return launched.back();
  }
  void open() {
    where = host->listen(listener_spec::parse("127.0.0.1:0,sharded"));
    auto what = std::make_shared<const supervisor::spec>(script({"sleep", "3600"}));
    host->open_program("pool", 1, what, [] {});
  }
  listener_spec where;
};

BOOST_FIXTURE_TEST_CASE(what_a_command_leaves_behind_goes_to_the_others_where_the_kernel_does_it,
                        sharded_commands) {
  if (!set("tcp_migrate_req", 1)) return;
  open();
  auto stays = serve(0);
  auto goes = serve(1);
  BOOST_REQUIRE(run_until([&] { return view(stays).pid && view(goes).pid; }));
  std::vector<unique_fd> waiting;
  for (int i = 0; i < 40; ++i) waiting.push_back(connect_to(where.port));
  BOOST_TEST(host->queued(std::nullopt) == 40u);
  host->signal(goes, SIGKILL);
  BOOST_REQUIRE(run_until([&] { return reported(goes); }));
  std::erase(launched, goes);
  host->forget(goes);
  BOOST_REQUIRE(run_until([&] { return listening_sockets() == 1; }));
  BOOST_TEST(host->queued(std::nullopt) == 40u);
}

BOOST_FIXTURE_TEST_CASE(a_command_has_no_shard_where_what_it_leaves_would_be_lost,
                        sharded_commands) {
  if (!set("tcp_migrate_req", 0)) return;
  open();
  auto refused = serve(0);
  BOOST_REQUIRE(run_until([&] { return reported(refused); }));
  BOOST_REQUIRE(view(refused).failed);
  BOOST_TEST(view(refused).failed->stage == "listener");
  BOOST_TEST(view(refused).failed->what.find("net.ipv4.tcp_migrate_req=1") != std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(a_listener_that_was_passed_to_us_can_be_sharded, test::leftovers) {
  auto where = listener_spec::parse("127.0.0.1:0");
  auto options = test::options_for("/proc/self/exe");
  auto socket = kernel::open_listener(where);
  options.inherited.push_back({where, std::move(socket)});
  sharded_world world(std::move(options), where.address() + ",sharded");
  for (unsigned slot = 0; slot < 2; ++slot) world.serve(slot);
  BOOST_TEST(world.where.port == where.port);
  BOOST_TEST(world.ask(60).size() == 2u);
}

BOOST_FIXTURE_TEST_CASE(a_listener_does_not_become_sharded_while_it_is_open, sharded_world) {
  auto shared = where;
  shared.sharded = false;
  BOOST_CHECK_EXCEPTION(host->listen(shared), boost::system::system_error,
                        [](auto& e) { return e.code().value() == EADDRINUSE; });
}

BOOST_AUTO_TEST_SUITE_END()
