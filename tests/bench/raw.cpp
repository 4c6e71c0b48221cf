// The least that can do the work: no Asio, no library of ours, no journal, no bookkeeping but a
// list. What our figures are divided by.
//
// Master: epoll on pidfds. Mold: this program again, which preloads and makes workers by
// clone(CLONE_PARENT). Workers: epoll on the shared listener, EPOLLEXCLUSIVE.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <csignal>
#include <map>
#include <string_view>

#include "contestant.hpp"

namespace {

int must(int result, const char* what) {
  if (result < 0) {
    std::perror(what);
    std::exit(1);
  }
  return result;
}

void watch(int epoll, int fd, std::uint32_t events) {
  epoll_event event{events, {.fd = fd}};
  must(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
}

int block_and_read(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (int s : signals) sigaddset(&set, s);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  return must(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd");
}

int open_listener() {
  int fd = must(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), "socket");
  int yes = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_port = htons(bench::port());
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  must(bind(fd, reinterpret_cast<sockaddr*>(&a), sizeof a), "bind");
  must(listen(fd, 4096), "listen");
  return fd;
}

/// False when the connection is over.
bool answer(int connection, const std::string& response) {
  char buffer[4096];
  auto n = read(connection, buffer, sizeof buffer);
  if (n <= 0) return n < 0 && errno == EAGAIN;
  if (write(connection, response.data(), response.size()) < 0) return false;
  return std::string_view(buffer, n).find("Connection: close") == std::string_view::npos;
}

[[noreturn]] void run_worker(int listener) {
  prctl(PR_SET_NAME, "raw-worker");
  auto response = bench::response();
  bool close_at_once = bench::mode() == "close";
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  watch(epoll, listener, EPOLLIN | EPOLLEXCLUSIVE);
  ++bench::the_board().ready;
  epoll_event events[64];
  for (;;) {
    int n = epoll_wait(epoll, events, 64, -1);
    for (int i = 0; i < n; ++i) {
      int fd = events[i].data.fd;
      if (fd != listener) {
        if (!answer(fd, response)) close(fd);
        continue;
      }
      int connection = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (connection < 0) continue;
      if (close_at_once) {
        close(connection);
        continue;
      }
      bench::note_accepted(connection);
      watch(epoll, connection, EPOLLIN);
    }
  }
}

int run_mold(int socket, int listener) {
  prctl(PR_SET_NAME, "raw-mold");
  bench::preload();
  char order;
  while (recv(socket, &order, 1, 0) == 1) {
    // CLONE_PARENT: the worker is the master's child, and its exit signal is the mold's: SIGCHLD.
    pid_t pid = syscall(SYS_clone, CLONE_PARENT, 0, 0, 0, 0);
    if (pid == 0) {
      close(socket);
      run_worker(listener);
    }
    must(send(socket, &pid, sizeof pid, 0), "send");
  }
  return 0;
}

int start_mold(int listener) {
  int pair[2];
  must(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), "socketpair");
  if (must(fork(), "fork") == 0) {
    close(pair[0]);
    // Forking 100 MB of huge pages copies some 50 page table entries instead of 25,000.
    setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1", 1);
    execl("/proc/self/exe", "bench_raw", "mold", std::to_string(pair[1]).c_str(),
          std::to_string(listener).c_str(), nullptr);
    _exit(127);
  }
  close(pair[1]);
  return pair[0];
}

int run_master() {
  int signals = block_and_read({SIGTERM});
  int listener = open_listener();
  int mold = start_mold(listener);
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  watch(epoll, mold, EPOLLIN);
  watch(epoll, signals, EPOLLIN);
  std::map<int, pid_t> live;
  bool stopping = false;
  unsigned wanted = bench::workers(), ordered = 0;
  while (!stopping || !live.empty() || ordered) {
    // A unix socket queues 10 packets; neither side may ever wait for room.
    for (; wanted && ordered < 8 && !stopping; --wanted, ++ordered)
      must(send(mold, "w", 1, 0), "send");
    epoll_event event;
    if (epoll_wait(epoll, &event, 1, -1) != 1) continue;
    if (event.data.fd == signals) {
      stopping = true;
      for (auto [pidfd, pid] : live) syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0);
    } else if (event.data.fd == mold) {
      pid_t pid;
      if (recv(mold, &pid, sizeof pid, 0) != sizeof pid) return 1;
      int pidfd = must(syscall(SYS_pidfd_open, pid, 0), "pidfd_open");
      live.emplace(pidfd, pid);
      watch(epoll, pidfd, EPOLLIN);
      --ordered;
      if (stopping) syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0);
    } else {
      siginfo_t info;
      waitid(static_cast<idtype_t>(P_PIDFD), event.data.fd, &info, WEXITED | WNOHANG);
      live.erase(event.data.fd);
      close(event.data.fd);
      ++wanted;
    }
  }
  return 0;
}

int stamp_signals() {
  int signals = block_and_read({SIGTTIN, SIGRTMIN, SIGTERM});
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  watch(epoll, signals, EPOLLIN);
  ++bench::the_board().ready;
  for (;;) {
    epoll_event event;
    if (epoll_wait(epoll, &event, 1, -1) != 1) continue;
    signalfd_siginfo info;
    if (read(signals, &info, sizeof info) != sizeof info) continue;
    if (info.ssi_signo == SIGTERM) return 0;
    bench::note_handled();
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 4) return run_mold(std::atoi(argv[2]), std::atoi(argv[3]));
  return bench::mode() == "signal" ? stamp_signals() : run_master();
}
