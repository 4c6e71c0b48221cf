// prefork under a service manager: sd_notify(3), socket activation, the descriptor store.
#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <csignal>
#include <cstdlib>
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
      if (!message.descriptors.empty()) stored_ = std::move(message.descriptors.front());
      if (("\n" + message.data).find("\n" + line) != std::string::npos) return message.data;
    }
  }
  unique_fd& stored() { return stored_; }
  const std::string& all() const { return all_; }

 private:
  test::temporary_directory there_;
  unique_fd socket_, stored_;
  std::string all_;
};

const strings demo{"--bind", "127.0.0.1:0", "--workers", "2"};

/// prefork, its LISTEN_PID and its sockets as systemd would have them.
strings activated(const std::string& control, unique_fd& socket, const std::string& name) {
  socket = unique_fd(::fcntl(socket.get(), F_DUPFD, 4));  // 3 is for its copy
  auto number = std::to_string(socket.get());
  auto command = "exec 3<&" + number + " " + number + "<&- && LISTEN_FDS=1 LISTEN_FDNAMES=" + name +
                 " LISTEN_PID=$$ exec " + TEST_PREFORK + " run --control " + control;
  return {"/bin/sh", "-c", command};
}

unsigned port_of(int socket) {
  sockaddr_in address{};
  socklen_t length = sizeof address;
  ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &length);
  return ntohs(address.sin_port);
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
  BOOST_REQUIRE(above.stored());
  BOOST_TEST(port_of(above.stored().get()) == port);
  test::http_request waiting(port, "/pid");  // nobody is there to accept it
  test::temporary_directory there;
  test::process next(activated(there / "c.sock", above.stored(), "http"));
  above.stored().reset();
  BOOST_TEST(waiting.answer().status == 200);
  end(next);
}

BOOST_AUTO_TEST_CASE(sockets_that_are_passed_are_served_under_their_names) {
  auto socket = listening();
  auto port = port_of(socket.get());
  test::temporary_directory there;
  test::process app(activated(there / "c.sock", socket, "unknown"));
  socket.reset();
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
  test::process app(activated(there / "c.sock", socket, "http"));
  socket.reset();
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
  auto command = activated(there / "c.sock", socket, "old");
  command.back() += " --bind http=unix:" + there / "s.sock";
  test::process app(command);
  socket.reset();
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
