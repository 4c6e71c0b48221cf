#include "kernel/descent.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernel/error.hpp"
#include "kernel/pidfd.hpp"

namespace supervisor::kernel {

namespace {

constexpr duration look_again = std::chrono::milliseconds(50);

void kill_child(pid_t child) noexcept {
  // It is not reaped yet, which pins the number.
  ::kill(child, SIGKILL);
  kill_group(child);
}

/// Reads by small pieces, into the stack: there may be thousands.
void kill_children() noexcept {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/self/task/%d/children", ::getpid());
  unique_fd list(::open(path, O_RDONLY | O_CLOEXEC));
  char text[4096];
  pid_t pid = 0;
  for (;;) {
    auto size = uninterrupted([&] { return ::read(list.get(), text, sizeof text); });
    if (size <= 0) return;
    for (char c : std::string_view(text, static_cast<std::size_t>(size))) {
      if (c >= '0' && c <= '9') {
        pid = pid * 10 + (c - '0');
      } else if (pid) {
        kill_child(std::exchange(pid, 0));
      }
    }
  }
}

/// Each child is its thread's.
std::vector<pid_t> children_of_all_threads(pid_t parent) noexcept try {
  std::vector<pid_t> all;
  std::error_code error;
  auto threads = "/proc/" + std::to_string(parent) + "/task";
  for (auto& thread : std::filesystem::directory_iterator(threads, error)) {
    std::ifstream list(thread.path() / "children");
    for (pid_t pid; list >> pid;) all.push_back(pid);
  }
  return all;
} catch (const std::exception&) {
  return {};
}

/// 0: of these there is a dead one; else why not. EAGAIN: they live.
int find_dead(idtype_t which, id_t id, int options, ended_child& into) noexcept {
  siginfo_t info;
  info.si_pid = 0;
  options |= WEXITED | WNOHANG | __WALL;
  auto wait = [&] { return ::syscall(SYS_waitid, which, id, &info, options, &into.usage); };
  if (uninterrupted(wait) < 0) return errno;
  if (info.si_pid == 0) return EAGAIN;
  into.pid = info.si_pid;
  into.code = info.si_code;
  into.status = info.si_status;
  return 0;
}

}  // namespace

void adopt_orphans() noexcept { ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); }

bool tell_end_of_parent(pid_t parent, int number) noexcept {
  return ::prctl(PR_SET_PDEATHSIG, number) == 0 && ::getppid() == parent;
}

pid_t find_dead_child() noexcept {
  ended_child child;
  return find_dead(P_ALL, 0, WNOWAIT, child) == 0 ? child.pid : 0;
}

std::optional<ended_child> reap_child(pid_t pid) noexcept {
  ended_child child;
  if (find_dead(P_PID, static_cast<id_t>(pid), 0, child) != 0) return {};
  return child;
}

void end_descendants(duration limit) noexcept {
  using std::chrono::steady_clock;
  sigset_t all, deaths;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, nullptr);
  sigemptyset(&deaths);
  sigaddset(&deaths, SIGCHLD);
  // At the limit of descriptors there were none to read the list of children by.
  ::close(STDIN_FILENO);
  auto deadline = later(steady_clock::now(), limit);
  for (;;) {
    kill_children();
    ended_child last;
    int error = 0;
    while ((error = find_dead(P_ALL, 0, 0, last)) == 0) {
    }
    auto left = deadline - steady_clock::now();
    if (error == ECHILD || left <= duration{}) return;
    // Whoever dies has given its children to us before that is told: exit_notify in the kernel. Not
    // told is the death of a child that was cloned without a signal, and another thread of ours may
    // have taken it.
    timespec rest{0, std::chrono::nanoseconds(std::min<duration>(left, look_again)).count()};
    ::sigtimedwait(&deaths, nullptr, &rest);
  }
}

void kill_worker_of(pid_t maker, pid_t pid) noexcept {
  auto fd = try_pidfd(pid);
  // Asked for after it was opened: it is the same one.
  if (!fd || ::getsid(pid) != maker || ::getpgid(pid) != pid) return;
  kill_group(pid);
  send_signal(fd.get(), SIGKILL);
}

void kill_tree(pid_t pid, int pidfd) noexcept {
  // Stopped it makes no more children, and reaps none: their numbers stay theirs.
  if (send_signal(pidfd, SIGSTOP)) return;
  for (pid_t child : children_of_all_threads(pid))
    if (auto fd = try_pidfd(child)) kill_tree(child, fd.get());
  if (::getpgid(pid) == pid) kill_group(pid);
  send_signal(pidfd, SIGKILL);
}

void end_by_signal(int number) noexcept {
  // A core is the one's who died; a program that takes cores is not kept by the limit, core(5).
  rlimit no_core{};
  ::setrlimit(RLIMIT_CORE, &no_core);
  ::prctl(PR_SET_DUMPABLE, 0);
  ::signal(number, SIG_DFL);
  sigset_t only;
  sigemptyset(&only);
  sigaddset(&only, number);
  ::raise(number);
  sigprocmask(SIG_UNBLOCK, &only, nullptr);
  ::_exit(128 + number);
}

}  // namespace supervisor::kernel
