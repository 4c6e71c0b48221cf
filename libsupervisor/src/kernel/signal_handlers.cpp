#include "kernel/signal_handlers.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <climits>

#include "kernel/error.hpp"
#include "kernel/signal_relay.hpp"

namespace supervisor::kernel {

namespace {

// The kernel's first real-time signal; SIGRTMIN is glibc's, two more.
constexpr int first_real_time = 32;
constexpr std::size_t ring_size = 128;

/// code, pid and uid of a siginfo in one word, so that a reader on another thread never sees half
/// of one. Pids have 22 bits (PID_MAX_LIMIT), codes fit a signed byte but for SI_KERNEL, 0x80.
std::uint64_t pack_origin(const siginfo_t& info) noexcept {
  bool sent = info.si_code == SI_USER || info.si_code == SI_QUEUE || info.si_code == SI_TKILL ||
              info.si_code == SI_MESGQ || info.si_signo == SIGCHLD;
  auto pid = sent ? static_cast<std::uint32_t>(info.si_pid) & 0xffffff : 0;
  auto uid = sent ? info.si_uid : 0;
  return std::uint64_t{uid} << 32 | std::uint64_t{pid} << 8 |
         static_cast<std::uint8_t>(info.si_code);
}

void unpack_origin(std::uint64_t origin, signal_event& event) noexcept {
  auto code = static_cast<std::uint8_t>(origin);
  event.code = code == SI_KERNEL ? int{SI_KERNEL} : static_cast<std::int8_t>(code);
  event.sender = static_cast<pid_t>(origin >> 8 & 0xffffff);
  event.uid = static_cast<uid_t>(origin >> 32);
}

bool has_value(const siginfo_t& info) noexcept {
  return info.si_code == SI_QUEUE || info.si_code == SI_TIMER || info.si_code == SI_MESGQ;
}

/// A bounded queue with many writers, each inside a signal handler on any thread, and one reader.
/// Lock-free: nobody waits for a writer that was interrupted; whoever completes an entry wakes the
/// loop after it.
class ring {
 public:
  bool push(std::uint64_t origin, int value) noexcept {
    auto ticket = head_.load(std::memory_order_relaxed);
    do {
      if (ticket - tail_.load(std::memory_order_acquire) >= ring_size) return false;
    } while (!head_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_relaxed));
    auto& e = entries_[ticket % ring_size];
    e.origin = origin;
    e.value = value;
    e.filled.store(ticket + 1, std::memory_order_release);
    return true;
  }
  bool pop(signal_event& event) noexcept {
    auto tail = tail_.load(std::memory_order_relaxed);
    auto& e = entries_[tail % ring_size];
    if (e.filled.load(std::memory_order_acquire) != tail + 1) return false;
    unpack_origin(e.origin, event);
    event.value = e.value;
    tail_.store(tail + 1, std::memory_order_release);
    return true;
  }

 private:
  struct entry {
    std::atomic<std::uint64_t> filled{0};  // its ticket + 1
    std::uint64_t origin = 0;
    int value = 0;
  };
  std::array<entry, ring_size> entries_;
  std::atomic<std::uint64_t> head_{0};
  std::atomic<std::uint64_t> tail_{0};
};

/// Deliveries that are counted only. `origin` and `value` are written before `count` grows.
struct tally {
  std::atomic<std::uint64_t> count{0};
  std::atomic<std::uint64_t> origin{0};  // of the latest
  std::atomic<std::int64_t> value{0};    // the latest; a real-time signal: the sum
};

/// All that is kept of one signal number. What the kernel sent by itself is kept apart: on a
/// terminal WINCH and TTOU then mean something else.
struct inbox {
  tally sent, by_kernel;
  struct sigaction under{};
  std::atomic<int> wakeup{-1};  // a pipe
  std::atomic<std::uint64_t> wakeups_lost{0};
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

// Static, because a handler may run on another thread when its owner goes.
std::array<inbox, _NSIG> inboxes;
std::array<ring, _NSIG - first_real_time> rings;
// One word that tells which of all these to look at.
std::atomic<std::uint64_t> came{0};
static_assert(_NSIG - 1 <= 64);

void keep(int number, const siginfo_t& info) noexcept {
  auto origin = pack_origin(info);
  int value = has_value(info) ? info.si_value.sival_int : 0;
  auto& box = inboxes[static_cast<std::size_t>(number)];
  auto& t = info.si_code == SI_KERNEL ? box.by_kernel : box.sent;
  if (number < first_real_time)
    t.value.store(value, std::memory_order_relaxed);
  else if (rings[static_cast<std::size_t>(number - first_real_time)].push(origin, value))
    return;
  else
    t.value.fetch_add(value, std::memory_order_relaxed);
  t.origin.store(origin, std::memory_order_relaxed);
  t.count.fetch_add(1, std::memory_order_release);
}

/// Only what signal-safety(7) allows; errno is the interrupted code's.
void on_signal(int number, siginfo_t* info, void* context) {
  int saved = errno;
  restore_origin(*info);
  keep(number, *info);
  came.fetch_or(bit_of(number), std::memory_order_release);
  auto& box = inboxes[static_cast<std::size_t>(number)];
  if (box.under.sa_flags & SA_SIGINFO)
    box.under.sa_sigaction(number, info, context);
  else
    box.under.sa_handler(number);
  // Last: who is woken by it finds Asio's pipe filled.
  int pipe = box.wakeup.load(std::memory_order_relaxed);
  auto byte = static_cast<unsigned char>(number);
  if (pipe >= 0 && ::write(pipe, &byte, 1) != 1)
    box.wakeups_lost.fetch_add(1, std::memory_order_relaxed);
  errno = saved;
}

bool is_ours(const struct sigaction& action) noexcept {
  return (action.sa_flags & SA_SIGINFO) && action.sa_sigaction == on_signal;
}

}  // namespace

struct sigaction disposition(int number) {
  struct sigaction present;
  if (sigaction(number, nullptr, &present) != 0) throw_errno("sigaction");
  return present;
}

void catch_signal(int number, bool restart) {
  auto under = disposition(number);
  bool function =
      under.sa_flags & SA_SIGINFO || (under.sa_handler != SIG_DFL && under.sa_handler != SIG_IGN);
  if (is_ours(under) || !function) throw_errno("catching a signal twice", EBUSY);

  take_pending(bit_of(number));
  std::vector<signal_event> stale;
  collect(number, stale);
  inboxes[static_cast<std::size_t>(number)].under = under;

  struct sigaction ours{};
  ours.sa_sigaction = on_signal;
  // A signal must not fail the blocking calls of a program that links the library, unless asked.
  ours.sa_flags = SA_SIGINFO | (restart ? SA_RESTART : 0);
  sigfillset(&ours.sa_mask);
  if (sigaction(number, &ours, nullptr) != 0) throw_errno("sigaction");
}

void restart_calls(int number) noexcept {
  struct sigaction present;
  if (sigaction(number, nullptr, &present) != 0) return;
  present.sa_flags |= SA_RESTART;
  sigaction(number, &present, nullptr);
}

void set_restart(int number, bool restart) noexcept {
  struct sigaction present;
  if (sigaction(number, nullptr, &present) != 0 || !is_ours(present)) return;
  present.sa_flags = SA_SIGINFO | (restart ? SA_RESTART : 0);
  sigaction(number, &present, nullptr);
}

void set_wakeup(int number, int pipe) noexcept {
  inboxes[static_cast<std::size_t>(number)].wakeup.store(pipe, std::memory_order_relaxed);
}

std::uint64_t take_wakeups_lost(int number) noexcept {
  return inboxes[static_cast<std::size_t>(number)].wakeups_lost.exchange(0,
                                                                         std::memory_order_relaxed);
}

void release_signal(int number, const struct sigaction& before) noexcept {
  struct sigaction present;
  if (sigaction(number, nullptr, &present) != 0) return;  // only a bad number fails (sigaction(2))
  auto& under = inboxes[static_cast<std::size_t>(number)].under;
  sigaction(number, is_ours(present) ? &under : &before, nullptr);
}

std::uint64_t pending(std::uint64_t wanted) noexcept {
  return came.load(std::memory_order_relaxed) & wanted;
}

std::uint64_t take_pending(std::uint64_t wanted) noexcept {
  return came.fetch_and(~wanted, std::memory_order_acquire) & wanted;
}

void collect(int number, std::vector<signal_event>& into) {
  signal_event event;
  event.number = number;
  if (number >= first_real_time)
    // At most what one ring holds, however fast more comes in.
    for (std::size_t n = 0; n < ring_size; ++n) {
      if (!rings[static_cast<std::size_t>(number - first_real_time)].pop(event)) break;
      into.push_back(event);
    }
  auto& box = inboxes[static_cast<std::size_t>(number)];
  for (auto* t : {&box.sent, &box.by_kernel}) {
    event.count = t->count.exchange(0, std::memory_order_acquire);
    if (event.count == 0) continue;
    unpack_origin(t->origin.load(std::memory_order_relaxed), event);
    auto value = t->value.exchange(0, std::memory_order_relaxed);
    event.value = static_cast<int>(std::clamp<std::int64_t>(value, INT_MIN, INT_MAX));
    into.push_back(event);
  }
}

}  // namespace supervisor::kernel
