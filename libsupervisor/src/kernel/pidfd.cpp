#include "kernel/pidfd.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <string>

#include "kernel/descriptors.hpp"
#include "kernel/error.hpp"

namespace supervisor::kernel {

namespace {

// glibc 2.36 has the three wrappers, older ones do not.
int wait_pidfd(int pidfd, siginfo_t& info, int options, rusage* usage) noexcept {
  constexpr int by_pidfd = 3;  // P_PIDFD
  info.si_pid = 0;
  // The fifth argument is of the system call only, waitid(2) "C library/kernel differences".
  // __WALL: also a child without an exit signal.
  options |= WEXITED | WNOHANG | __WALL;
  return static_cast<int>(
      uninterrupted([&] { return ::syscall(SYS_waitid, by_pidfd, pidfd, &info, options, usage); }));
}

exit_status status_of(const siginfo_t& info) noexcept {
  if (info.si_code == CLD_EXITED) return exit_status::exited(info.si_status);
  return exit_status::signalled(info.si_status, info.si_code == CLD_DUMPED);
}

}  // namespace

unique_fd try_pidfd(pid_t pid) noexcept {
  return unique_fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

unique_fd open_pidfd(pid_t pid) {
  auto fd = try_pidfd(pid);
  if (!fd) throw_errno("pidfd_open");
  return fd;
}

boost::system::error_code send_signal(int pidfd, int number) noexcept {
  if (::syscall(SYS_pidfd_send_signal, pidfd, number, nullptr, 0) < 0) return last_error();
  return {};
}

void kill_group(pid_t leader) noexcept { ::kill(-leader, SIGKILL); }

std::optional<exit_status> peek_exit(int pidfd) noexcept {
  siginfo_t info;
  if (wait_pidfd(pidfd, info, WNOWAIT, nullptr) < 0) return exit_status::lost();
  if (info.si_pid == 0) return {};
  return status_of(info);
}

std::optional<obituary> reap(int pidfd) noexcept {
  siginfo_t info;
  obituary result;
  if (wait_pidfd(pidfd, info, 0, &result.usage) < 0) return result;
  if (info.si_pid == 0) return {};
  result.status = status_of(info);
  return result;
}

std::optional<obituary> reap_within(int pidfd, duration limit) noexcept {
  using std::chrono::steady_clock;
  auto deadline = later(steady_clock::now(), limit);
  for (;;) {
    auto result = reap(pidfd);
    auto left = deadline - steady_clock::now();
    if (result || left <= duration{}) return result;
    // Between readable and reapable there is nothing to wait for but time.
    if (wait_readable(pidfd, left) && !(result = reap(pidfd))) ::poll(nullptr, 0, 1);
    if (result) return result;
  }
}

std::vector<pid_t> children_of(pid_t parent) {
  auto number = std::to_string(parent);
  std::ifstream list("/proc/" + number + "/task/" + number + "/children");
  std::vector<pid_t> pids;
  for (pid_t pid; list >> pid;) pids.push_back(pid);
  return pids;
}

unique_fd make_pidfd_set() {
  unique_fd set(::epoll_create1(EPOLL_CLOEXEC));
  if (!set) throw_errno("epoll_create1");
  return set;
}

boost::system::error_code add_pidfd(int set, int pidfd, std::uint64_t token) noexcept {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  event.data.u64 = token;
  if (::epoll_ctl(set, EPOLL_CTL_ADD, pidfd, &event) < 0) return last_error();
  return {};
}

void remove_pidfd(int set, int pidfd) noexcept { ::epoll_ctl(set, EPOLL_CTL_DEL, pidfd, nullptr); }

std::vector<std::uint64_t> take_pidfds(int set) {
  epoll_event events[64];
  int count = ::epoll_wait(set, events, 64, 0);
  std::vector<std::uint64_t> tokens;
  for (int i = 0; i < count; ++i) tokens.push_back(events[i].data.u64);
  return tokens;
}

}  // namespace supervisor::kernel
