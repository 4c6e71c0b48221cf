// What cannot be: one clear message, a documented exit code, nothing left behind.
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "support/app.hpp"

BOOST_AUTO_TEST_SUITE(bad_input)

using test::master;
using test::strings;

namespace {

struct bad {
  strings arguments;
  int code;
  strings named;  ///< what the message speaks of
};

void refuse(const bad& row) {
  test::temporary_directory there;
  auto arguments = row.arguments;
  if (arguments.size() > 0 && arguments[0] == "run")
    arguments.insert(arguments.begin() + 1, {"--control", there / "c.sock"});
  std::string line;
  for (auto& argument : arguments) line += ' ' + argument;
  BOOST_TEST_CONTEXT("prefork" << line) {
    auto end = test::prefork(arguments);
    BOOST_TEST(end.code == row.code, end.err);
    BOOST_TEST(std::count(end.err.begin(), end.err.end(), '\n') == 1, "one line: " << end.err);
    BOOST_TEST(end.out.empty(), end.out);
    for (auto& word : row.named) BOOST_TEST(end.err.find(word) != std::string::npos, end.err);
    BOOST_TEST(std::filesystem::is_empty(there.path()));
    test::await_no_process();
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_command_line) {
  test::temporary_directory there;
  std::ofstream(there / "text") << "no program\n";
  for (auto& row : std::vector<bad>{
           {{}, 2, {"--help"}},
           {{"run", "--wokers", "3"}, 2, {"--wokers"}},
           {{"run", "-b", "256.1.1.1:80"}, 2, {"256.1.1.1"}},
           {{"run", "-b", "example.com:80"}, 2, {"example.com"}},
           {{"run", "-b", "127.0.0.1:99999"}, 2, {"99999"}},
           {{"run", "-b", "fd:77"}, 2, {"77"}},
           {{"run", "-b", "192.0.2.1:80"}, 2, {"192.0.2.1"}},
           {{"run", "-b", "127.0.0.1:0", "--", "no-such-program"}, 2, {"no-such-program", "PATH"}},
           {{"run", "-b", "127.0.0.1:0", "--", "/no/such/program"}, 2, {"/no/such/program"}},
           {{"run", "-b", "127.0.0.1:0", "--", "/etc"}, 2, {"/etc"}},
           {{"run", "-b", "127.0.0.1:0", "--", there / "text"}, 2, {there / "text", "executable"}},
           {{"run", "-b", "127.0.0.1:0", "--user", "nobdy"}, 2, {"nobdy"}},
           {{"run", "-b", "127.0.0.1:0", "--group", "nogrup"}, 2, {"nogrup"}},
           {{"run", "-b", "127.0.0.1:0", "--chdir", "/no/such"}, 2, {"/no/such"}},
           {{"run", "-b", "127.0.0.1:0", "--limit", "nofiel=3"}, 2, {"nofiel"}},
           {{"run", "-b", "127.0.0.1:0", "--pidfile", there / "text"}, 2, {there / "text"}},
           {{"run", "-b", "127.0.0.1:0", "--log-file", "/no/such/log"}, 2, {"/no/such/log"}},
           {{"run", "-b", "unix:/no/such/dir/s"}, 2, {"/no/such/dir/s"}},
           {{"run", "-b", "127.0.0.1:0", "-b", "b=192.0.2.1:80"}, 2, {"192.0.2.1"}},
           {{"run", "-b", "admin=127.0.0.1:0"}, 2, {"-b http="}},
           {{"run", "-b", "127.0.0.1:0", "--timeout", "1", "--", "sleep", "9"}, 2, {"--timeout"}},
           {{"run", "sleep", "9"}, 2, {"sleep", "after --"}},
           {{"run", "--control", there / "text"}, 2, {there / "text", "not a socket"}},
           {{"run", "--control", there / std::string(120, 'x')}, 2, {"--control"}},
           {{"status", "--control", there / std::string(120, 'x')}, 2, {"107"}},
       })
    refuse(row);
}

BOOST_AUTO_TEST_CASE(a_port_that_is_taken) {
  master other({"-w", "1", "-b", "127.0.0.1:0"});
  other.wait_ready(1);
  auto address = "127.0.0.1:" + std::to_string(other.port());
  test::temporary_directory there;
  auto end = test::prefork({"run", "-b", address, "--control", there / "c.sock"});
  BOOST_TEST(end.code == 10);
  BOOST_TEST(end.err.find(address) != std::string::npos, end.err);
  BOOST_TEST(std::filesystem::is_empty(there.path()));
  BOOST_TEST(test::get(other.port(), "/pid").status == 200);
  other.signal(SIGTERM);
  BOOST_TEST(other.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(a_second_master_of_the_same_name) {
  master first({"-w", "1", "-b", "127.0.0.1:0"});
  first.wait_ready(1);
  auto end = test::prefork({"run", "-b", "127.0.0.1:0", "--control", first.control()});
  BOOST_TEST(end.code == 10);
  BOOST_TEST(end.err.find("pid " + std::to_string(first.pid())) != std::string::npos, end.err);
  BOOST_TEST(end.err.find("prefork stop --control " + first.control()) != std::string::npos,
             end.err);
  BOOST_TEST(first.ask({"status"}).code == 0, "the first one's socket is still there");
  first.signal(SIGTERM);
  BOOST_TEST(first.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(what_takes_a_permission) {
  if (::geteuid() != 0) {
    BOOST_TEST_MESSAGE("skipped: only root can be somebody else");
    return;
  }
  test::temporary_directory there;
  BOOST_REQUIRE(::chmod(there.path().c_str(), 0755) == 0);
  std::filesystem::create_directory(there / "ours");
  BOOST_REQUIRE(::chmod((there / "ours").c_str(), 0700) == 0);
  // A copy, for where the build is may be out of a stranger's reach.
  std::filesystem::copy_file(TEST_PREFORK, there / "prefork");
  auto as_stranger = [&](strings arguments) {
    arguments.insert(arguments.begin(), {"setpriv", "--reuid=65534", "--regid=65534",
                                         "--clear-groups", there / "prefork"});
    return test::run(arguments);
  };
  for (auto& arguments :
       {strings{"run", "--control", there / "ours/c.sock"},
        strings{"run", "--control", there / "c.sock", "--user", "root"},
        strings{"run", "--control", there / "c.sock", "--log-file", there / "ours/log"},
        strings{"run", "--control", there / "c.sock", "--pidfile", there / "ours/pid"},
        strings{"status", "--control", there / "ours/c.sock"}}) {
    BOOST_TEST_CONTEXT(arguments.back()) {
      auto end = as_stranger(arguments);
      BOOST_TEST(end.code == 8, end.err);
      BOOST_TEST(std::count(end.err.begin(), end.err.end(), '\n') == 1, end.err);
    }
  }
  BOOST_TEST(std::filesystem::is_empty(there / "ours"));
}

BOOST_AUTO_TEST_CASE(a_listener_that_is_no_master) {
  test::temporary_directory there;
  auto path = there / "c.sock";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  test::unique_fd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  BOOST_REQUIRE(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  BOOST_REQUIRE(::listen(listener.get(), 1) == 0);
  test::process client({TEST_PREFORK, "scale", "2", "--control", path});
  {
    test::unique_fd hung_up(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  }
  auto end = client.finish();
  BOOST_TEST(end.code == 7, end.err);
  BOOST_TEST(end.err.find(path) != std::string::npos, end.err);
}

BOOST_AUTO_TEST_CASE(nobody_there) {
  test::temporary_directory there;
  for (auto& verb : {strings{"status"}, strings{"scale", "+1"}, strings{"stop"}}) {
    auto arguments = verb;
    arguments.insert(arguments.end(), {"--control", there / "none.sock"});
    auto end = test::prefork(arguments);
    BOOST_TEST(end.code == 3);
    BOOST_TEST(end.err.find(there / "none.sock") != std::string::npos, end.err);
  }
}

BOOST_AUTO_TEST_CASE(a_program_that_cannot_run_backs_off_and_says_so) {
  master app({"-w", "1", "-b", "127.0.0.1:0", "--", "sh", "-c", "echo out of cheese >&2; exit 70"});
  auto line = app.wait_for("worker.output");
  BOOST_TEST(line.at("message").as_string() == "out of cheese");
  app.wait_for("worker.exited", [](const boost::json::object& event) {
    return event.contains("next_start_in_s") && event.at("next_start_in_s").to_number<double>() > 0;
  });
  auto status = app.ask({"status"});
  BOOST_TEST(status.code == 5);
  BOOST_TEST(status.out.find("backing off") != std::string::npos, status.out);
  BOOST_TEST(status.out.find("exit 70") != std::string::npos, status.out);
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_SUITE_END()
