// prefork under a service manager: sd_notify(3), socket activation, the descriptor store.
#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <csignal>
#include <cstdlib>
#include <map>
#include <stdexcept>

#include "kernel/pidfd.hpp"
#include "kernel/sockets.hpp"
#include "kernel/title.hpp"
#include "supervisor/errc.hpp"
#include "support/app.hpp"

BOOST_AUTO_TEST_SUITE(service_manager)

using supervisor::kernel::unique_fd;
using test::master;
using test::strings;

namespace {

/// The other side of NOTIFY_SOCKET, for what is started while it lives.
class manager {
 public:
  manager() : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    auto path = there_ / "notify";
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    BOOST_REQUIRE(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) ==
                  0);
    timeval wait{test::patience.count(), 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  }
  ~manager() {
    for (auto* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC"}) ::unsetenv(name);
  }

  /// Reads until a message has this line; returns the message.
  std::string wait_for(const std::string& line) {
    for (;;) {
      supervisor::kernel::packet message;
      if (supervisor::kernel::receive_packet(socket_.get(), message) !=
          supervisor::kernel::received::packet)
        throw std::runtime_error("no " + line + " came, but:\n" + all_);
      all_ += message.data;
      store(message);
      if (("\n" + message.data).find("\n" + line) != std::string::npos) return message.data;
    }
  }
  /// What is kept, by its names. Sockets are told of before READY=1.
  using sockets = std::map<std::string, unique_fd>;
  sockets& stored() { return stored_; }
  const std::string& all() const { return all_; }

 private:
  void store(supervisor::kernel::packet& message) {
    const std::string field = "\nFDNAME=";
    auto at = message.data.find(field);
    if (at == std::string::npos) return;
    at += field.size();
    auto name = message.data.substr(at, message.data.find('\n', at) - at);
    if (message.data.starts_with("FDSTOREREMOVE=1\n")) stored_.erase(name);
    if (message.data.starts_with("FDSTORE=1\n"))
      stored_[name] = std::move(message.descriptors.at(0));
  }

  test::temporary_directory there_;
  unique_fd socket_;
  sockets stored_;
  std::string all_;
};

const strings demo{"--bind", "127.0.0.1:0", "--workers", "2"};

/// prefork, its LISTEN_PID and its sockets as systemd would have them, which does not tell in what
/// order: here from behind.
strings activated(const std::string& control, manager::sockets& sockets,
                  const std::string& options = "") {
  std::string names, copies;
  int next = 3;
  for (auto it = sockets.rbegin(); it != sockets.rend(); ++it, ++next) {
    it->second = unique_fd(::fcntl(it->second.get(), F_DUPFD, 20));  // out of the way
    auto number = std::to_string(it->second.get());
    copies += std::to_string(next) + "<&" + number + " " + number + "<&- ";
    names += (names.empty() ? "" : ":") + it->first;
  }
  auto command = "exec " + copies + "&& LISTEN_FDS=" + std::to_string(sockets.size()) +
                 " LISTEN_FDNAMES=" + names + " LISTEN_PID=$$ exec " + TEST_PREFORK +
                 " run --control " + control + " " + options;
  return {"bash", "-c", command};  // sh may know no descriptor above 9
}

unsigned port_of(int socket) {
  sockaddr_in address{};
  socklen_t length = sizeof address;
  ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &length);
  return ntohs(address.sin_port);
}

ino_t identity(int socket) {
  struct stat info;
  BOOST_REQUIRE(::fstat(socket, &info) == 0);
  return info.st_ino;
}

/// As if it was stored under this name.
manager::sockets as(const std::string& name, unique_fd socket) {
  manager::sockets all;
  all[name] = std::move(socket);
  return all;
}

unique_fd listening() {
  unique_fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  BOOST_REQUIRE(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  BOOST_REQUIRE(::listen(socket.get(), 16) == 0);
  return socket;
}

void end(test::process& app) {
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
  test::await_no_process();
}

}  // namespace

BOOST_AUTO_TEST_CASE(it_is_told_of_the_beginning_and_of_the_end) {
  manager above;
  master app(demo);
  above.wait_for("READY=1");
  BOOST_TEST(above.all().find("STATUS=2 of 2 workers ready") != std::string::npos, above.all());
  app.signal(SIGTERM);
  above.wait_for("STOPPING=1");
  above.wait_for("EXTEND_TIMEOUT_USEC=");
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(a_stop_is_told_before_the_drain_delay) {
  manager above;
  auto options = demo;
  options.insert(options.end(), {"--drain-delay", "3600"});
  master app(options);
  above.wait_for("READY=1");
  app.signal(SIGTERM);
  auto told = above.wait_for("STOPPING=1");
  BOOST_TEST(told.find("EXTEND_TIMEOUT_USEC=36") != std::string::npos, told);
  BOOST_TEST(test::get(app.port(), "/pid").status == 200);
  app.signal(SIGINT);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(a_reload_is_over_when_every_worker_is_new) {
  manager above;
  master app(demo);
  above.wait_for("READY=1");
  auto old = app.workers();
  app.signal(SIGHUP);
  auto began = above.wait_for("RELOADING=1");
  BOOST_TEST(began.find("MONOTONIC_USEC=") != std::string::npos, began);
  above.wait_for("READY=1");
  // The old ones may still be on their way out.
  unsigned fresh = 0;
  auto status = app.status();
  for (auto& slot : status["pools"].at(0).at("slots").as_array()) {
    bool was_there = std::ranges::count(old, slot.at("pid").to_number<pid_t>()) != 0;
    BOOST_TEST(!(was_there && slot.at("state") == "ready"));
    fresh += !was_there && slot.at("state") == "ready";
  }
  BOOST_TEST(fresh == 2U);
  BOOST_TEST(above.all().find("rolling to generation 2") != std::string::npos, above.all());
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(the_watchdog_is_fed) {
  manager above;
  ::setenv("WATCHDOG_USEC", "100000", 1);
  master app(demo);
  above.wait_for("READY=1");
  for (int i = 0; i < 3; ++i) above.wait_for("WATCHDOG=1");
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(a_listener_outlives_its_master_in_the_store) {
  manager above;
  unsigned port = 0;
  {
    master app(demo);
    port = app.port();
    above.wait_for("READY=1");
    BOOST_TEST(above.all().find("FDSTORE=1\nFDNAME=http\n") != std::string::npos, above.all());
    app.signal(SIGTERM);
    BOOST_TEST(app.finish().code == 0);
  }
  BOOST_REQUIRE(above.stored().size() == 1u);
  BOOST_TEST(port_of(above.stored()["http"].get()) == port);
  test::http_request waiting(port, "/pid");  // nobody is there to accept it
  test::temporary_directory there;
  test::process next(activated(there / "c.sock", above.stored()));
  above.stored().clear();
  BOOST_TEST(waiting.answer().status == 200);
  end(next);
}

BOOST_AUTO_TEST_CASE(a_sharded_listener_is_stored_whole_and_taken_back_in_its_order) {
  manager above;
  std::string address;
  {
    master app({"--bind", "127.0.0.1:0,sharded", "--workers", "3"});
    address = "127.0.0.1:" + std::to_string(app.port());
    above.wait_for("READY=1");
    app.signal(SIGTERM);
    BOOST_TEST(app.finish().code == 0);
    above.wait_for("STATUS=stopping, no pools");  // room for what the next has to say
  }
  std::map<std::string, ino_t> before;
  for (auto& [name, socket] : above.stored()) before[name] = identity(socket.get());
  BOOST_REQUIRE(before.size() == 3u);
  BOOST_TEST((before.contains("http.shard1") && before.contains("http.shard2")));
  std::vector<test::http_request> waiting;  // at the sockets of nobody
  for (int i = 0; i < 20; ++i) waiting.emplace_back(port_of(above.stored()["http"].get()), "/pid");

  test::temporary_directory there;
  auto options = "--workers 3 --bind " + address + ",sharded";
  test::process next(activated(there / "c.sock", above.stored(), options));
  above.stored().clear();
  above.wait_for("READY=1");
  for (auto& each : waiting) BOOST_TEST(each.answer().status == 200);
  std::map<std::string, ino_t> after;
  for (auto& [name, socket] : above.stored()) after[name] = identity(socket.get());
  BOOST_TEST((after == before));
  end(next);
}

BOOST_AUTO_TEST_CASE(sockets_that_are_passed_are_served_under_their_names) {
  auto socket = listening();
  auto port = port_of(socket.get());
  test::temporary_directory there;
  auto passed = as("unknown", std::move(socket));
  test::process app(activated(there / "c.sock", passed));
  passed.clear();
  BOOST_TEST(test::get(port, "/pid").status == 200);
  auto told = test::prefork({"status", "--control", there / "c.sock"});
  // The others need not be ready yet.
  bool answers = told.code == 0 || told.code == supervisor::exit_code::degraded;
  BOOST_TEST(answers, told.err);
  end(app);
}

BOOST_AUTO_TEST_CASE(sockets_that_are_passed_are_those_of_the_next_master_too) {
  auto socket = listening();
  auto port = port_of(socket.get());
  test::temporary_directory there;
  auto passed = as("http", std::move(socket));
  test::process app(activated(there / "c.sock", passed));
  passed.clear();
  auto read_to = [&app](const char* words) {
    while (auto line = app.line())
      if (line->find(words) != line->npos) return true;
    return false;
  };
  BOOST_REQUIRE(read_to(" ready"));
  for (auto pid : supervisor::kernel::children_of(app.pid()))
    if (supervisor::kernel::short_name(pid) == "prefork-master") ::kill(pid, SIGKILL);
  BOOST_REQUIRE(read_to("in place of"));
  BOOST_TEST(test::prefork({"reload", "--control", there / "c.sock"}).code == 0);
  BOOST_TEST(test::get(port, "/pid").status == 200);
  end(app);
}

BOOST_AUTO_TEST_CASE(a_socket_that_nobody_opens_is_closed) {
  auto socket = listening();
  auto port = port_of(socket.get());
  test::temporary_directory there;
  auto passed = as("old", std::move(socket));
  auto command = activated(there / "c.sock", passed, "--bind http=unix:" + (there / "s.sock"));
  test::process app(command);
  passed.clear();
  while (auto line = app.line())
    if (line->find("ready") != line->npos) break;
  BOOST_TEST(test::get(port, "/pid").body.find("connect: ") == 0u);
  end(app);
}

BOOST_AUTO_TEST_CASE(systemd_socket_activate_starts_it_at_the_first_connection) {
  if (::access("/usr/bin/systemd-socket-activate", X_OK) != 0) return;
  auto port = [] { return port_of(listening().get()); }();
  test::temporary_directory there;
  test::process app({"/usr/bin/systemd-socket-activate", "-l", "127.0.0.1:" + std::to_string(port),
                     "--fdname=http", TEST_PREFORK, "run", "--control", there / "c.sock"});
  while (auto line = app.line())
    if (line->find("Listening") != line->npos) break;
  BOOST_TEST(test::get(port, "/pid").status == 200);
  end(app);
}

BOOST_AUTO_TEST_SUITE_END()
