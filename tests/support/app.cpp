#include "support/app.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "kernel/pidfd.hpp"
#include "kernel/title.hpp"

namespace json = boost::json;

namespace test {

namespace {

std::pair<unique_fd, unique_fd> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
  return {unique_fd(ends[0]), unique_fd(ends[1])};
}

/// What outlives a master is to be seen by us, not by init.
void become_subreaper() { ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); }

int open_pidfd(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

[[noreturn]] void run_child(const strings& command, int out, int err) {
  std::vector<char*> argv;
  for (auto& argument : command) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(err, STDERR_FILENO);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  ::execvp(argv[0], argv.data());
  ::_exit(127);
}

std::chrono::steady_clock::time_point in(std::chrono::seconds wait) {
  return std::chrono::steady_clock::now() + wait;
}

}  // namespace

process::process(const strings& command) {
  become_subreaper();
  auto [out, out_child] = make_pipe();
  auto [err, err_child] = make_pipe();
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error("fork");
  if (pid_ == 0) run_child(command, out_child.get(), err_child.get());
  handle_ = unique_fd(open_pidfd(pid_));
  out_ = std::move(out);
  err_ = std::move(err);
}

process::~process() {
  if (pid_ < 0 || !handle_) return;
  signal(SIGKILL);
  siginfo_t info{};
  ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED);
}

void process::signal(int number) {
  ::syscall(SYS_pidfd_send_signal, handle_.get(), number, nullptr, 0);
}

/// False at the end of both streams.
bool process::read_some(int timeout_ms) {
  pollfd all[2] = {{out_.get(), POLLIN, 0}, {err_.get(), POLLIN, 0}};
  if (!out_ && !err_) return false;
  if (::poll(all, 2, timeout_ms) == 0)
    throw std::runtime_error("nothing comes from prefork any more; stderr so far:\n" + err_text_);
  char buffer[16384];
  auto take = [&](unique_fd& from, short events, std::string& text, std::string* also) {
    if (!from || events == 0) return;
    auto size = ::read(from.get(), buffer, sizeof buffer);
    if (size <= 0) return from.reset();
    text.append(buffer, static_cast<std::size_t>(size));
    if (also) also->append(buffer, static_cast<std::size_t>(size));
  };
  take(out_, all[0].revents, out_text_, nullptr);
  take(err_, all[1].revents, err_text_, &unread_);
  return true;
}

std::optional<std::string> process::line() {
  auto deadline = in(patience);
  for (;;) {
    auto end = unread_.find('\n');
    if (end != unread_.npos) {
      auto text = unread_.substr(0, end);
      unread_.erase(0, end + 1);
      return text;
    }
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (!read_some(static_cast<int>(std::max<long>(0, left.count())))) return std::nullopt;
  }
}

bool process::await_output(const std::string& text) {
  while (out_text_.find(text) == out_text_.npos)
    if (!read_some(static_cast<int>(std::chrono::milliseconds(patience).count()))) return false;
  return true;
}

ending process::finish() {
  while (read_some(static_cast<int>(std::chrono::milliseconds(patience).count()))) {
  }
  siginfo_t info{};
  pollfd ended{handle_.get(), POLLIN, 0};
  if (::poll(&ended, 1, static_cast<int>(std::chrono::milliseconds(patience).count())) == 0)
    throw std::runtime_error("the process does not end");
  ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED);
  pid_ = -1;
  ending result;
  (info.si_code == CLD_EXITED ? result.code : result.signal) = info.si_status;
  result.out = out_text_;
  result.err = err_text_;
  return result;
}

ending run(const strings& command) { return process(command).finish(); }

ending prefork(strings arguments) {
  arguments.insert(arguments.begin(), TEST_PREFORK);
  return run(arguments);
}

// --- master

namespace {

strings run_command(const std::string& program, const std::string& control,
                    const strings& arguments) {
  strings command{program, "run", "--control", control, "--log-format", "json"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

std::string text(const json::object& from, std::string_view name) {
  auto* value = from.if_contains({name.data(), name.size()});
  if (!value || !value->is_string()) return {};
  return {value->get_string().data(), value->get_string().size()};
}

}  // namespace

master::master(strings arguments, const std::string& program)
    : process_(run_command(program, directory_ / "c.sock", arguments)) {}

master::~master() {
  if (pid() < 0) return;
  // A failed test: the master ends its workers, so that the next test does not find them.
  process_.signal(SIGQUIT);
  try {
    process_.finish();
  } catch (const std::exception&) {
  }
}

std::optional<json::object> master::next() {
  for (;;) {
    auto line = process_.line();
    if (!line) return std::nullopt;
    log_ += *line + '\n';
    boost::system::error_code error;
    auto value = json::parse(*line, error);
    if (error || !value.is_object()) continue;
    auto event = value.as_object();
    auto name = text(event, "event");
    if (name == "worker.ready") ++ready_;
    if (name == "worker.started" || name == "mold.started")
      pids_.insert(event.at("pid").to_number<pid_t>());
    if (name == "listener.opened") {
      auto what = text(event, "text");
      auto equals = what.find('='), colon = what.rfind(':');
      if (equals != what.npos && colon != what.npos && what.find("unix:") == what.npos)
        ports_[what.substr(0, equals)] =
            static_cast<unsigned>(std::strtoul(what.c_str() + colon + 1, nullptr, 10));
    }
    return event;
  }
}

pid_t master_of(pid_t keeper) {
  for (auto child : supervisor::kernel::children_of(keeper))
    if (supervisor::kernel::short_name(child) == "prefork-master") return child;
  return 0;
}

void master::wait_for_next_master(pid_t before) {
  auto words = "the master with pid " + std::to_string(before) + ",";
  wait_for("supervisor.started", [&](const json::object& e) {
    return e.at("text").as_string().find(words) != json::string::npos;
  });
}

void master::kill_master() {
  auto before = master_pid();
  BOOST_REQUIRE(::kill(before, SIGKILL) == 0);
  wait_for_next_master(before);
}

json::object master::wait_for(std::string_view event) {
  return wait_for(event, [](const json::object&) { return true; });
}

json::object master::wait_for(std::string_view event,
                              const std::function<bool(const json::object&)>& such) {
  for (;;) {
    auto came = next();
    if (!came)
      throw std::runtime_error("the master ended before " + std::string(event) + ":\n" + log_);
    if (text(*came, "event") == event && such(*came)) return *came;
  }
}

void master::wait_ready(unsigned count) {
  while (ready_ < count)
    if (!next()) throw std::runtime_error("the master ended before it was ready:\n" + log_);
}

unsigned master::port(std::string_view listener) {
  for (;;) {
    auto known = ports_.find(listener);
    if (known != ports_.end()) return known->second;
    if (!next()) throw std::runtime_error("the master ended before it listened:\n" + log_);
  }
}

ending master::ask(strings arguments) const {
  arguments.insert(arguments.end(), {"--control", control()});
  return prefork(std::move(arguments));
}

json::object master::status() const {
  auto told = ask({"status", "-o", "json"});
  if (told.code != 0 && told.code != 5) throw std::runtime_error("status: " + told.err);
  return json::parse(told.out).as_object();
}

std::vector<pid_t> master::workers() const {
  std::vector<pid_t> pids;
  auto all = status();
  for (auto& pool : all["pools"].as_array())
    for (auto& slot : pool.at("slots").as_array())
      if (auto pid = slot.at("pid").to_number<pid_t>()) pids.push_back(pid);
  return pids;
}

void master::wait_for_text(const std::string& text) {
  while (log_.find(text) == log_.npos)
    if (!next()) throw std::runtime_error("the master ended before it said " + text + ":\n" + log_);
}

ending master::finish_killed() {
  while (next()) {
  }
  auto result = process_.finish();
  expect_gone(pids_);
  return result;
}

ending master::finish_as_init() {
  while (next()) {
  }
  auto result = process_.finish();
  await_no_process();
  return result;
}

ending master::finish() {
  auto result = finish_killed();
  for (auto& entry : std::filesystem::directory_iterator(directory_.path()))
    BOOST_ERROR("left behind: " << entry.path());
  return result;
}

void expect_gone(const std::set<pid_t>& pids) {
  siginfo_t info{};
  for (auto pid : pids)
    // Not ours, or ours no more, is ECHILD.
    if (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0)
      BOOST_ERROR("left behind by the master: pid " << pid);
  await_no_process();
}

namespace {

/// Reaps all that end until `deadline`; true when there is no child any more.
bool reap_all(std::chrono::steady_clock::time_point deadline) {
  sigset_t deaths, before;
  sigemptyset(&deaths);
  sigaddset(&deaths, SIGCHLD);
  sigprocmask(SIG_BLOCK, &deaths, &before);
  bool none = false;
  for (;;) {
    siginfo_t info{};
    while (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG) == 0 && info.si_pid != 0) info = {};
    none = ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0;
    auto left =
        std::chrono::floor<std::chrono::seconds>(deadline - std::chrono::steady_clock::now());
    if (none || left.count() < 0) break;
    timespec wait{left.count() + 1, 0};
    ::sigtimedwait(&deaths, nullptr, &wait);
  }
  sigprocmask(SIG_SETMASK, &before, nullptr);
  return none;
}

}  // namespace

void await_no_process() {
  if (reap_all(in(patience))) return;
  do
    for (auto pid : supervisor::kernel::children_of(::getpid())) {
      BOOST_ERROR("left behind: pid " << pid << ", " << command_of(pid));
      ::kill(pid, SIGKILL);
    }
  while (!reap_all(in(std::chrono::seconds(1))));  // theirs become ours
}

std::string command_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/cmdline");
  std::string words, word;
  while (std::getline(file, word, '\0')) words += (words.empty() ? "" : " ") + word;
  return words;
}

bool comes_true(const std::function<bool()>& condition) {
  for (auto deadline = in(patience); std::chrono::steady_clock::now() < deadline; ::sched_yield())
    if (condition()) return true;
  return false;
}

// --- HTTP

namespace {

void limit_waiting(int fd) {
  timeval wait{patience.count(), 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
}

unique_fd connect_unix(const std::string& path, std::string& trouble) {
  unique_fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  limit_waiting(fd.get());
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    trouble = std::string("connect: ") + std::strerror(errno);
  return fd;
}

std::string get_text(const std::string& path) {
  return "GET " + path + " HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
}

}  // namespace

http_request::http_request(unsigned port, const std::string& path)
    : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  limit_waiting(fd_.get());
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    trouble_ = std::string("connect: ") + std::strerror(errno);
  send(get_text(path));
}

http_request::http_request(const std::string& unix_path, const std::string& path) {
  fd_ = connect_unix(unix_path, trouble_);
  send(get_text(path));
}

http_request http_request::raw(const std::string& unix_path, const std::string& text) {
  http_request result{unique_fd()};
  result.fd_ = connect_unix(unix_path, result.trouble_);
  result.send(text);
  return result;
}

void http_request::send(const std::string& text) {
  if (!trouble_.empty()) return;
  if (::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(text.size()))
    trouble_ = std::string("send: ") + std::strerror(errno);
}

response http_request::answer() {
  response result;
  std::string all;
  char buffer[16384];
  while (trouble_.empty()) {
    auto size = ::recv(fd_.get(), buffer, sizeof buffer, 0);
    if (size == 0) break;
    if (size < 0)
      trouble_ = std::string("recv: ") + std::strerror(errno);
    else
      all.append(buffer, static_cast<std::size_t>(size));
  }
  auto head = all.find("\r\n\r\n");
  if (!trouble_.empty() || head == all.npos || all.rfind("HTTP/1.", 0) != 0) {
    result.body = trouble_.empty() ? "no answer, but '" + all + "'" : trouble_;
    return result;
  }
  result.status = std::atoi(all.c_str() + 9);
  result.body = all.substr(head + 4);
  return result;
}

response get(unsigned port, const std::string& path) { return http_request(port, path).answer(); }

}  // namespace test
