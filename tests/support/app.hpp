// prefork from outside: a process, its log, its sockets.
#pragma once

#include <sys/types.h>

#include <boost/json/object.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/unique_fd.hpp"
#include "support/temporary.hpp"

namespace test {

using strings = std::vector<std::string>;
using supervisor::kernel::unique_fd;

/// No event that a test waits for takes this long; when it passes the test fails.
inline constexpr auto patience = std::chrono::seconds(30);

/// How a process ended.
struct ending {
  int code = -1;    ///< of exit
  int signal = 0;   ///< that killed it
  std::string out;  ///< what it wrote to stdout
  std::string err;
};

/// A program under test; stdout and stderr come through pipes.
class process {
 public:
  explicit process(const strings& command);
  process(process&&) = default;
  process& operator=(process&&) = delete;
  ~process();  ///< kills what still runs

  pid_t pid() const noexcept { return pid_; }
  void signal(int number);
  /// The next line of stderr; empty when there is none any more. Throws when patience ends.
  std::optional<std::string> line();
  /// Reads on until stdout holds `text`; false when it ends without.
  bool await_output(const std::string& text);
  /// Reads both streams to their ends and reaps it.
  ending finish();

 private:
  bool read_some(int timeout_ms);

  pid_t pid_ = -1;
  unique_fd handle_;  ///< pidfd
  unique_fd out_, err_;
  std::string out_text_, err_text_;
  std::string unread_;
};

/// Runs a command to its end.
ending run(const strings& command);
/// prefork with these arguments, to its end.
ending prefork(strings arguments);

/// The master below a keeper; 0: there is none.
pid_t master_of(pid_t keeper);

/// A running master with a control socket and a directory of its own; its log is read as events.
class master {
 public:
  /// prefork run --control ... --log-format json `arguments`
  explicit master(strings arguments, const std::string& program = TEST_PREFORK);
  ~master();

  pid_t pid() const noexcept { return process_.pid(); }
  const temporary_directory& directory() const noexcept { return directory_; }
  std::string control() const { return directory_ / "c.sock"; }
  void signal(int number) { process_.signal(number); }
  pid_t master_pid() const { return master_of(pid()); }
  /// SIGKILL, and waits until another has its place.
  void kill_master();
  void wait_for_next_master(pid_t before);

  /// Reads the log up to the next event of that name, and returns it.
  boost::json::object wait_for(std::string_view event);
  boost::json::object wait_for(std::string_view event,
                               const std::function<bool(const boost::json::object&)>& such);
  /// Reads on until `count` workers have become ready, counted from the start.
  void wait_ready(unsigned count);
  /// The port of a listener; waits until it is open.
  unsigned port(std::string_view listener = "http");
  /// Everything read so far, for a failure's message.
  const std::string& log() const noexcept { return log_; }

  /// prefork VERB ARGUMENTS --control ...
  ending ask(strings arguments) const;
  boost::json::object status() const;
  /// The pids of living workers, from the status.
  std::vector<pid_t> workers() const;

  /// Reads on until the log holds this.
  void wait_for_text(const std::string& text);

  /// Waits for the end; fails the test where something was left behind.
  ending finish();
  /// The same of one that was killed, whose files stay for the next to replace.
  ending finish_killed();
  /// Waits for the end of it and of all that falls to us, which we reap as init does.
  ending finish_as_init();

 private:
  std::optional<boost::json::object> next();

  temporary_directory directory_;
  process process_;
  std::string log_;
  unsigned ready_ = 0;
  std::set<pid_t> pids_;  ///< of workers and molds
  std::map<std::string, unsigned, std::less<>> ports_;
};

/// The answer to one HTTP/1.1 request.
struct response {
  int status = 0;  ///< 0: there was none, `body` says why
  std::string body;
};

/// A connection with one request on it.
class http_request {
 public:
  http_request(unsigned port, const std::string& path);            ///< 127.0.0.1
  http_request(const std::string& unix_path, const std::string&);  ///< a unix socket
  /// Sends anything at all.
  static http_request raw(const std::string& unix_path, const std::string& text);
  response answer();

 private:
  explicit http_request(unique_fd fd) : fd_(std::move(fd)) {}
  void send(const std::string& text);
  unique_fd fd_;
  std::string trouble_;
};

response get(unsigned port, const std::string& path);

/// What outlives a master falls to us, as its subreaper: fails the test where one of these does.
void expect_gone(const std::set<pid_t>& pids);
/// Waits for processes of processes, which die with or soon after those; fails the test where they
/// do not, and ends them.
void await_no_process();

/// "sleep 1000"
std::string command_of(pid_t);
/// Looks again and again, for what no event tells; false when patience ends.
bool comes_true(const std::function<bool()>& condition);

}  // namespace test
