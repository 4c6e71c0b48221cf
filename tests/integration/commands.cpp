// Any program, in any language, on our listeners.
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <boost/test/unit_test.hpp>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "support/app.hpp"

BOOST_AUTO_TEST_SUITE(commands)

using test::master;
using test::strings;

namespace {

/// Says so, and is true, where a program is not installed.
bool missing(const std::string& program) {
  bool is = test::run({"sh", "-c", "command -v " + program}).code != 0;
  if (is) BOOST_TEST_MESSAGE("skipped: " << program << " is not installed");
  return is;
}

void serve_and_stop(master& app, unsigned workers, const std::string& expected) {
  app.wait_ready(workers);
  auto got = test::get(app.port(), "/");
  BOOST_TEST(got.status == 200, got.body << "\n" << app.log());
  BOOST_TEST(got.body.find(expected) != std::string::npos, got.body);
  ::kill(app.workers().at(0), SIGKILL);
  app.wait_ready(workers + 1);
  BOOST_TEST(test::get(app.port(), "/").status == 200);
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

constexpr const char* listen_fds_server = R"(
import http.server, os, signal, socket, sys
assert os.environ["LISTEN_PID"] == str(os.getpid()), "LISTEN_PID"
assert os.environ["LISTEN_FDS"] == "1", "LISTEN_FDS"
assert os.environ["LISTEN_FDNAMES"] == "http", "LISTEN_FDNAMES"
class handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"from python")
    def log_message(self, *ignored): pass
listener = socket.socket(fileno=3)
listener.setblocking(True)
server = http.server.HTTPServer(listener.getsockname(), handler, False)
server.socket.close()
server.socket = listener
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
address = os.environ["NOTIFY_SOCKET"]
notify.connect("\0" + address[1:] if address[0] == "@" else address)
notify.send(b"READY=1\nSTATUS=here I am")
signal.signal(signal.SIGTERM, lambda *ignored: os._exit(0))
server.serve_forever()
)";

}  // namespace

BOOST_AUTO_TEST_CASE(a_listen_fds_program_that_says_ready) {
  if (missing("python3")) return;
  master app({"-w", "2", "-b", "127.0.0.1:0", "--ready", "notify", "--", "python3", "-c",
              listen_fds_server});
  app.wait_ready(2);
  BOOST_TEST(app.ask({"status"}).out.find("here I am") != std::string::npos);
  serve_and_stop(app, 2, "from python");
}

BOOST_AUTO_TEST_CASE(gunicorn_on_the_descriptor) {
  if (missing("gunicorn")) return;
  test::temporary_directory there;
  std::ofstream(there / "hello.py") << "def app(environment, start):\n"
                                       "    start('200 OK', [('Content-Type', 'text/plain')])\n"
                                       "    return [b'from gunicorn']\n";
  master app({"-w", "1", "-b", "127.0.0.1:0", "--chdir", there.path(), "--ready", "alive:0.5", "--",
              "gunicorn", "--workers", "1", "--bind", "fd://{fd:http}", "hello:app"});
  serve_and_stop(app, 1, "from gunicorn");
}

BOOST_AUTO_TEST_CASE(node_on_the_descriptor) {
  if (missing("node")) return;
  master app({"-w", "2", "-b", "127.0.0.1:0", "--", "node", "-e",
              "const s = require('http').createServer((q, a) => a.end('from node'));"
              "s.listen({fd: Number(process.argv[1])});"
              "process.on('SIGTERM', () => s.close(() => process.exit(0)));",
              "{fd:http}"});
  serve_and_stop(app, 2, "from node");
}

BOOST_AUTO_TEST_CASE(nginx_with_its_own_listener_and_quit) {
  if (missing("nginx")) return;
  test::temporary_directory there;
  std::ofstream(there / "nginx.conf")
      << "daemon off; pid " << there / "pid" << "; error_log stderr;\n"
      << "events {}\nhttp { access_log off; client_body_temp_path " << there / "a"
      << "; proxy_temp_path " << there / "b" << "; fastcgi_temp_path " << there / "c"
      << "; uwsgi_temp_path " << there / "d" << "; scgi_temp_path " << there / "e"
      << "; server { listen unix:" << there / "web.sock"
      << "; location / { return 200 'from nginx'; } } }\n";
  master app({"-w", "1", "-b", "127.0.0.1:0", "--stop-signal", "QUIT", "--", "nginx", "-c",
              there / "nginx.conf"});
  app.wait_ready(1);
  auto got = test::http_request(there / "web.sock", "/").answer();
  BOOST_TEST(got.status == 200);
  BOOST_TEST(got.body.find("from nginx") != std::string::npos, got.body);
  app.signal(SIGTERM);
  auto stopping = app.wait_for("worker.stopping");
  BOOST_TEST(stopping.at("signal").as_string() == "SIGQUIT");
  auto gone = app.wait_for("worker.exited");
  BOOST_TEST(gone.at("status").as_string() == "exit 0");
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(systemd_notify_says_ready) {
  if (missing("systemd-notify")) return;
  master app({"-w", "1", "-b", "127.0.0.1:0", "--ready", "notify", "--", "sh", "-c",
              "systemd-notify --ready --status='up and well'; exec sleep 1000"});
  app.wait_ready(1);
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(systemd_notify_says_reloading) {
  if (missing("systemd-notify")) return;
  master app({"-w", "1", "-b", "127.0.0.1:0", "--ready", "notify", "--", "sh", "-c",
              "trap 'systemd-notify RELOADING=1 MONOTONIC_USEC=1000000' USR1;"
              "trap 'systemd-notify --ready' USR2;"
              "systemd-notify --ready; while :; do sleep 1000 & wait; done"});
  app.wait_ready(1);
  auto row = [&] { return app.status().at("pools").at(0).at("slots").at(0).as_object(); };
  BOOST_TEST(!row().at("reloading").as_bool());
  BOOST_TEST(app.ask({"signal", "0", "USR1"}).code == 0);
  app.wait_for("worker.reloading");
  BOOST_TEST(row().at("reloading").as_bool());
  BOOST_TEST(row().at("ready").as_bool());
  BOOST_TEST(row().at("state").as_string() == "ready");
  BOOST_TEST(app.ask({"status"}).out.find("reloading") != std::string::npos);
  BOOST_TEST(app.ask({"signal", "0", "USR2"}).code == 0);
  app.wait_for("worker.reloaded");
  BOOST_TEST(!row().at("reloading").as_bool());
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(environment_directory_umask_and_limits) {
  master app({"-w", "1", "-b", "127.0.0.1:0", "-b", "admin=127.0.0.1:0", "--env", "COLOUR=blue",
              "--umask", "027", "--chdir", "/", "--limit", "nofile=123", "--", "sh", "-c",
              "echo $COLOUR $(umask) $PWD $(ulimit -n) $LISTEN_FDS $LISTEN_FDNAMES; "
              "exec sleep 1000"});
  auto line = app.wait_for("worker.output");
  BOOST_TEST(line.at("message").as_string() == "blue 0027 / 123 2 http:admin");
  BOOST_TEST(line.at("stream").as_string() == "stdout");
  app.signal(SIGTERM);
  BOOST_TEST(app.finish().code == 0);
}

BOOST_AUTO_TEST_CASE(a_log_that_nobody_reads_stalls_nobody_and_tells_what_is_missing) {
  test::temporary_directory directory;
  const auto control = directory / "c.sock", done = directory / "done";
  const std::string script =
      "i=0; while [ $i -lt 5000 ]; do i=$((i+1)); echo a line of some length, number $i; done; "
      ": > " +
      done + "; exec sleep 1000";
  test::process app({TEST_PREFORK, "run", "-w", "1", "-b", "127.0.0.1:0", "--control", control,
                     "--", "/bin/sh", "-c", script});
  const auto deadline = std::chrono::steady_clock::now() + test::patience;
  while (!std::filesystem::exists(done)) {
    BOOST_REQUIRE(std::chrono::steady_clock::now() < deadline);
    test::prefork({"status", "--control", control});
  }
  // Somebody reads again: the next line that is written tells of those that were not.
  for (int i = 0; i < 500; ++i) BOOST_REQUIRE(app.line());
  BOOST_TEST(test::prefork({"stop", "--control", control}).code == 0);
  const auto ended = app.finish();
  BOOST_TEST(ended.code == 0);
  BOOST_TEST(ended.err.find(" log lines dropped: nobody took them") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
