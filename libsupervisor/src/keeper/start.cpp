#include "keeper/start.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "keeper/keeper.hpp"
#include "keeper/memory.hpp"
#include "kernel/child_statuses.hpp"
#include "kernel/descent.hpp"
#include "kernel/descriptors.hpp"
#include "kernel/find_program.hpp"
#include "kernel/image.hpp"
#include "kernel/pidfd.hpp"
#include "kernel/service_manager.hpp"
#include "kernel/signal_relay.hpp"
#include "kernel/standard_descriptors.hpp"
#include "kernel/title.hpp"

namespace supervisor {

namespace {

constexpr const char* keeper_short_name = "prefork-keeper";
constexpr const char* next_short_name = "prefork-next";
constexpr const char* guard_short_name = "prefork-guard";

/// By which a program knows that it is to be a master: "FD:PID", the inherited socket and the
/// keeper.
constexpr const char* keeper_variable = "SUPERVISOR_KEEPER";
/// By which it knows that it is to be the keeper that this process was before: "FD", the memory.
constexpr const char* renewal_variable = "SUPERVISOR_KEEPER_MEMORY";
constexpr std::size_t longest_variable = 64;

/// How long the end waits for what was killed; long only where the kernel itself hangs.
constexpr auto last_wait = std::chrono::seconds(10);

/// A master that is stopped is to see its keeper's end.
constexpr int signal_of_masters = SIGCONT;

/// Of this process, once it is a master.
keeper_link link_above;

/// In a new process: a master from here on. False where the keeper is gone already.
bool begin_master(pid_t keeper, const sigset_t& mask, int signal_of_end) noexcept {
  // What a terminal sends goes to the keeper alone, and comes on from there; and without a
  // controlling terminal no write to it stops us, setsid(2).
  ::setsid();
  bool kept = kernel::tell_end_of_parent(keeper, signal_of_end);
  kernel::adopt_orphans();
  sigprocmask(SIG_SETMASK, &mask, nullptr);
  return kept;
}

struct socket_pair {
  kernel::unique_fd ours, theirs;
};

socket_pair make_sockets() noexcept {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) return {};
  return {kernel::unique_fd(ends[0]), kernel::unique_fd(ends[1])};
}

/// The keeper's line in ps is the command's, told apart.
void show_title(int argc, char** argv) {
  std::string program = argc > 0 ? argv[0] : "supervisor";
  auto title = program.substr(program.rfind('/') + 1) + ": keeper";
  for (int i = 1; i < argc; ++i) title += std::string(" ") + argv[i];
  kernel::take_title_area();
  kernel::set_title(title);
  kernel::set_short_name(keeper_short_name);
}

/// Where a keeper has executed this program.
bool inherit_link() {
  const char* value = std::getenv(keeper_variable);
  if (!value) return false;
  const std::string text = value;
  ::unsetenv(keeper_variable);
  int fd = -1;
  pid_t keeper = 0;
  const char* end = text.data() + text.size();
  auto first = std::from_chars(text.data(), end, fd);
  if (first.ec != std::errc{} || first.ptr == end || *first.ptr != ':') return false;
  auto second = std::from_chars(first.ptr + 1, end, keeper);
  if (second.ec != std::errc{} || second.ptr != end) return false;
  // Alone it is of no use to anybody.
  if (keeper != ::getppid() || ::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) ::_exit(1);
  kernel::set_short_name(next_short_name);
  link_above = {kernel::unique_fd(fd), keeper};
  return true;
}

std::vector<std::string> environment_of_masters() {
  auto listeners = kernel::listeners_to_remember(::getpid());
  auto name = listeners.substr(0, listeners.find('=') + 1);
  std::vector<std::string> all{std::string(longest_variable, '\0'), std::move(listeners)};
  for (char** each = environ; each && *each; ++each)
    if (!std::string_view(*each).starts_with(name)) all.emplace_back(*each);
  return all;
}

/// Where a keeper has executed this program in its own place.
bool inherit_memory(keeper_memory& left, kernel::unique_fd& memory) {
  const char* value = std::getenv(renewal_variable);
  if (!value) return false;
  int fd = std::atoi(value);
  ::unsetenv(renewal_variable);
  auto size = ::pread(fd, &left, sizeof left, 0);
  auto least = static_cast<ssize_t>(offsetof(keeper_memory, places));
  if (size < least || left.keeper != ::getpid()) return false;
  memory.reset(fd);
  // What it has not written is 0.
  auto* bytes = reinterpret_cast<char*>(&left);
  if (left.size < sizeof left) std::fill(bytes + left.size, bytes + sizeof left, '\0');
  return true;
}

int be_keeper(int argc, char** argv, keeper& self) {
  show_title(argc, argv);
  kernel::release_image();
  auto end = self.run();
  kernel::end_descendants(last_wait);
  if (end.by_signal) kernel::end_by_signal(end.number);
  return end.number;
}

int renew_keeper(int argc, char** argv, const keeper_memory& left, kernel::unique_fd memory) {
  sigset_t all;
  auto signals = kernel::take_all_signals(all);
  master_starter starter(argc, argv, left);
  keeper self(left, memory.get(), starter, std::move(signals));
  memory.reset();
  return be_keeper(argc, argv, self);
}

}  // namespace

master_starter::string_list::string_list(std::vector<std::string> texts)
    : texts_(std::move(texts)) {
  for (auto& each : texts_) pointers_.push_back(each.data());
  pointers_.push_back(nullptr);
}

master_starter::master_starter(int argc, char** argv, const sigset_t& mask)
    : path_(kernel::path_of_this_program(argc > 0 ? argv[0] : "")),
      program_(::open("/proc/self/exe", O_PATH | O_CLOEXEC)),
      arguments_(std::vector<std::string>(argv, argv + argc)),
      environment_(environment_of_masters()),
      mask_(mask),
      descriptors_(kernel::descriptor_limit()) {}

master_starter::master_starter(int argc, char** argv, const keeper_memory& left)
    : master_starter(argc, argv, left.mask) {
  path_ = left.path;
  descriptors_ = left.descriptors;
}

bool master_starter::save(keeper_memory& left) const noexcept {
  left.mask = mask_;
  left.descriptors = descriptors_;
  if (path_.size() >= sizeof left.path) return false;
  std::copy(path_.begin(), path_.end(), left.path);
  return true;
}

int master_starter::execute_here(int memory) noexcept {
  std::snprintf(environment_.get()[0], longest_variable, "%s=%d", renewal_variable, memory);
  ::syscall(SYS_execveat, program_.get(), "", arguments_.get(), environment_.get(), AT_EMPTY_PATH);
  return errno;
}

std::optional<master_process> master_starter::fork_first() noexcept {
  auto [ours, theirs] = make_sockets();
  auto keeper = ::getpid();
  auto pid = ours ? ::fork() : -1;
  if (pid < 0) return std::nullopt;
  if (pid > 0) return master_process{pid, kernel::try_pidfd(pid), std::move(ours)};
  if (!begin_master(keeper, mask_, signal_of_masters)) ::_exit(1);
  link_above = {std::move(theirs), keeper};
  be_master();
  return master_process{};
}

master_process master_starter::start() noexcept {
  return start(tried_ ? tried_.get() : program_.get(), signal_of_masters);
}

int master_starter::open_next() noexcept {
  next_.reset(::open(path_.c_str(), O_PATH | O_CLOEXEC));
  return next_ ? 0 : errno;
}

master_process master_starter::start_next() noexcept { return start(next_.get(), SIGKILL); }

master_process master_starter::start(int program, int signal_of_end) noexcept {
  auto [ours, theirs] = make_sockets();
  auto keeper = ::getpid();
  auto pid = ours ? ::fork() : -1;
  if (pid < 0) return {};
  if (pid > 0) return {pid, kernel::try_pidfd(pid), std::move(ours)};
  if (!begin_master(keeper, mask_, signal_of_end)) ::_exit(1);
  std::snprintf(environment_.get()[0], longest_variable, "%s=%d:%d", keeper_variable, theirs.get(),
                keeper);
  ::fcntl(theirs.get(), F_SETFD, 0);
  ::setrlimit(RLIMIT_NOFILE, &descriptors_);
  ::syscall(SYS_execveat, program, "", arguments_.get(), environment_.get(), AT_EMPTY_PATH);
  keeper_wire::record failed;
  failed.what = keeper_wire::kind::not_executed;
  failed.count = static_cast<std::uint32_t>(errno);
  ::send(theirs.get(), &failed, sizeof failed, MSG_NOSIGNAL);
  ::_exit(127);
}

master_process master_starter::start_guard(const keeper_store& held) noexcept {
  auto [ours, theirs] = make_sockets();
  auto pid = ours ? ::fork() : -1;
  if (pid < 0) return {};
  if (pid > 0) return {pid, kernel::try_pidfd(pid), std::move(ours)};
  ours.reset();
  kernel::set_short_name(guard_short_name);
  while (!kernel::wait_readable(theirs.get(), std::chrono::hours(1))) continue;
  char word;
  if (::recv(theirs.get(), &word, 1, MSG_DONTWAIT) != 0) ::_exit(0);
  for (auto& place : held.places())
    if (place.pid && !place.end.code) kernel::kill_tree(place.pid, place.fd());
  ::_exit(0);
}

std::optional<int> become_keeper(int argc, char** argv) {
  if (inherit_link()) return std::nullopt;
  keeper_memory left{};
  kernel::unique_fd memory;
  if (inherit_memory(left, memory)) return renew_keeper(argc, argv, left, std::move(memory));
  kernel::fill_standard_descriptors();
  if (kernel::child_statuses_are_lost()) std::signal(SIGCHLD, SIG_DFL);  // ignored by inheritance
  sigset_t before;
  auto signals = kernel::take_all_signals(before);
  kernel::adopt_orphans();
  master_starter starter(argc, argv, before);
  auto first = signals ? starter.fork_first() : std::nullopt;
  if (!first || !first->pid) {
    // The master; or it stays without a keeper, and will say what it lacks.
    sigprocmask(SIG_SETMASK, &before, nullptr);
    return std::nullopt;
  }
  kernel::raise_descriptor_limit();  // it holds as many as the master
  kernel::close_inherited();         // listening sockets among it, which the master may close
  keeper self(std::move(*first), starter, std::move(signals));
  return be_keeper(argc, argv, self);
}

void be_master() noexcept {
  kernel::set_short_name("prefork-master");
  // Told too late it would be told never.
  if (!kernel::tell_end_of_parent(link_above.pid, signal_of_masters)) ::raise(SIGKILL);
}

std::optional<keeper_link> take_keeper_link() noexcept {
  if (!link_above.socket) return std::nullopt;
  return keeper_link{std::move(link_above.socket), link_above.pid};
}

pid_t pid_of_keeper() noexcept { return link_above.pid; }

}  // namespace supervisor
