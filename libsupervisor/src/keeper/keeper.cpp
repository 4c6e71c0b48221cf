#include "keeper/keeper.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <utility>

#include "keeper/wire.hpp"
#include "kernel/child_statuses.hpp"
#include "kernel/descent.hpp"
#include "kernel/descriptors.hpp"
#include "kernel/image.hpp"
#include "kernel/signal_relay.hpp"
#include "kernel/sockets.hpp"
#include "kernel/standard_descriptors.hpp"
#include "kernel/title.hpp"

namespace supervisor {

namespace {

constexpr const char* keeper_short_name = "prefork-keeper";
constexpr const char* master_short_name = "prefork-master";

/// How long the end waits for what was killed; long only where the kernel itself hangs.
constexpr auto last_wait = std::chrono::seconds(10);

/// How soon a signal is tried again for which the kernel had no room: it does not tell when it has.
constexpr int look_again_ms = 10;

/// Of this process, once it is a master.
keeper_link link_above;

/// How a process ended: what the keeper ends with, too.
struct end_of_master {
  bool by_signal = false;
  int number = 0;
};

class keeper {
 public:
  keeper(pid_t master, kernel::unique_fd socket, kernel::unique_fd signals) noexcept
      : master_(master), socket_(std::move(socket)), signals_(std::move(signals)) {}
  /// Until the master is gone.
  end_of_master run() noexcept;

 private:
  void take_signals() noexcept;
  void take(const siginfo_t&) noexcept;
  void hand_on(const siginfo_t&) noexcept;
  void hand_on_waiting() noexcept;
  void reap() noexcept;
  void receive() noexcept;

  const pid_t master_;  ///< names it until it is reaped
  kernel::unique_fd socket_, signals_;
  std::optional<siginfo_t> waiting_;  ///< for room in the master's queue
  std::optional<end_of_master> ended_;
};

end_of_master keeper::run() noexcept {
  while (!ended_) {
    pollfd both[] = {{signals_.get(), POLLIN, 0}, {socket_.get(), POLLIN, 0}};
    ::poll(both, 2, waiting_ ? look_again_ms : -1);
    // What a master has given goes before its end.
    if (both[1].revents) receive();
    if (both[0].revents) take_signals();
    if (waiting_ && !ended_) hand_on_waiting();
  }
  receive();
  return *ended_;
}

void keeper::take_signals() noexcept {
  while (!ended_) {
    auto came = kernel::next_signal(signals_.get());
    if (!came) return;
    take(*came);
  }
}

void keeper::take(const siginfo_t& came) noexcept {
  switch (came.si_signo) {
    case SIGCHLD:
      return reap();
    case SIGTSTP:
      // The master has a session of its own, where TSTP stops nobody.
      ::kill(master_, SIGSTOP);
      ::raise(SIGSTOP);
      return;
    default:
      hand_on(came);
  }
}

/// No other real-time signal is taken while one waits: they come in their order, and none is lost.
void keeper::hand_on(const siginfo_t& came) noexcept {
  if (kernel::relay_signal(master_, came)) return;
  waiting_ = came;
  kernel::take_real_time(signals_.get(), false);
}

void keeper::hand_on_waiting() noexcept {
  if (!kernel::relay_signal(master_, *waiting_)) return;
  waiting_.reset();
  kernel::take_real_time(signals_.get(), true);
}

/// Orphans of the master's too.
void keeper::reap() noexcept {
  while (auto child = kernel::reap_any())
    if (child->pid == master_) ended_ = end_of_master{child->code != CLD_EXITED, child->status};
}

void keeper::receive() noexcept {
  keeper_wire::record said;
  kernel::unique_fd fd;
  auto got = kernel::received::end;
  while ((got = kernel::receive_record(socket_.get(), &said, sizeof said, fd)) ==
         kernel::received::packet)
    if (said.what == keeper_wire::kind::hold) fd.release();  // the end of this process closes it
  if (got == kernel::received::end) socket_.reset();
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

/// False where the keeper is gone already.
bool begin_master(pid_t keeper, const sigset_t& mask, kernel::unique_fd socket) noexcept {
  // What a terminal sends goes to the keeper alone, and comes on from there; and without a
  // controlling terminal no write to it stops us, setsid(2).
  ::setsid();
  // A master that is stopped is to see its keeper's end.
  bool kept = kernel::tell_end_of_parent(keeper, SIGCONT);
  kernel::adopt_orphans();
  kernel::set_short_name(master_short_name);
  sigprocmask(SIG_SETMASK, &mask, nullptr);
  link_above = {std::move(socket), keeper};
  return kept;
}

}  // namespace

std::optional<int> become_keeper(int argc, char** argv) {
  kernel::fill_standard_descriptors();
  if (kernel::child_statuses_are_lost()) std::signal(SIGCHLD, SIG_DFL);  // ignored by inheritance
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
    return std::nullopt;  // a master without a keeper, which will say what it lacks
  kernel::unique_fd ours(ends[0]), theirs(ends[1]);
  sigset_t before;
  auto signals = kernel::take_all_signals(before);
  auto self = ::getpid();
  auto master = signals ? ::fork() : -1;
  if (master < 0) {
    sigprocmask(SIG_SETMASK, &before, nullptr);
    return std::nullopt;
  }
  if (master == 0) {
    ours.reset();
    signals.reset();
    if (!begin_master(self, before, std::move(theirs))) ::_exit(1);
    return std::nullopt;
  }
  theirs.reset();
  kernel::adopt_orphans();
  kernel::close_inherited();  // listening sockets among it, which the master may close
  show_title(argc, argv);
  kernel::release_image();
  auto end = keeper(master, std::move(ours), std::move(signals)).run();
  kernel::end_descendants(last_wait);
  if (end.by_signal) kernel::end_by_signal(end.number);
  return end.number;
}

std::optional<keeper_link> take_keeper_link() noexcept {
  if (!link_above.socket) return std::nullopt;
  return keeper_link{std::move(link_above.socket), link_above.pid};
}

pid_t pid_of_keeper() noexcept { return link_above.pid; }

}  // namespace supervisor
