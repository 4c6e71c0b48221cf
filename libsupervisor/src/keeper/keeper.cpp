#include "keeper/keeper.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>

#include "keeper/decide.hpp"
#include "kernel/descent.hpp"
#include "kernel/image.hpp"
#include "kernel/pidfd.hpp"
#include "kernel/signal_relay.hpp"
#include "kernel/sockets.hpp"

namespace supervisor {

using keeper_wire::kind;
using keeper_wire::record;

namespace {

/// A master that was told to stop so long ago has made of it what it wanted to.
constexpr auto stop_is_heeded_after = std::chrono::seconds(10);

bool asks_to_stop(int number) { return number == SIGTERM || number == SIGINT || number == SIGQUIT; }

}  // namespace

time_point keeper::now() noexcept {
  return std::chrono::time_point_cast<duration>(std::chrono::steady_clock::now());
}

keeper_wire::process_end keeper::end_of(const kernel::ended_child& child) noexcept {
  auto us = [](const timeval& t) { return std::int64_t{t.tv_sec} * 1'000'000 + t.tv_usec; };
  return {child.code, child.status, us(child.usage.ru_utime), us(child.usage.ru_stime),
          child.usage.ru_maxrss};
}

keeper::keeper(master_process first, master_starter& starter, kernel::unique_fd signals) noexcept
    : starter_(starter), signals_(std::move(signals)) {
  take_in(std::move(first));
}

void keeper::take_in(master_process made) noexcept {
  master_ = std::move(made);
  settled_ = leaving_ = hung_ = false;
  deadline_ = ever_settled_ ? later(now(), master_start_limit) : never;
  for (auto& place : store_.places()) {
    place.tell = place.number != 0;
    place.tell_end = place.end.code != 0;
  }
  telling_ = 0;
  tell_upgraded_ = upgraded_.count != 0;
  told_strangers_ = 0;
  tell_go_ = true;
  if (ever_settled_) post_guard();
}

end_of_master keeper::run() noexcept {
  while (!ended_) {
    bool wants_room = has_to_tell();
    short events = static_cast<short>(wants_room ? POLLIN | POLLOUT : POLLIN);
    int address = backing_off() && !caller_.open() ? store_.at(keeper_wire::control) : -1;
    pollfd all[] = {{signals_.get(), POLLIN, 0},
                    {master_.socket.get(), events, 0},
                    {address, POLLIN, 0},
                    {caller_.fd(), POLLIN, 0},
                    {candidate_.socket.get(), POLLIN, 0}};
    ::poll(all, std::size(all), time_left());
    // What a master has given goes before its end.
    if (all[1].revents) receive();
    if (all[4].revents) hear_candidate();
    if (all[0].revents) take_signals();
    if (master_.socket) tell();
    if (all[2].revents) caller_.accept(address);
    if (all[3].revents) caller_.answer(last_end_, deaths_, deadline_ - now());
    if (now() >= deadline_) on_deadline();
    if (now() >= candidate_deadline_) on_candidate_deadline();
    if (waiting_) pass_on_waiting();
    choose_signals();
    if (may_renew()) renew();
  }
  return *ended_;
}

int keeper::time_left() const noexcept {
  if (waiting_ && master_takes_signals()) return 10;  // no event tells when the kernel has room
  auto next = std::min(deadline_, candidate_deadline_);
  if (next == never) return -1;
  auto left = std::chrono::ceil<std::chrono::milliseconds>(next - now());
  return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 1'000'000));
}

void keeper::on_deadline() noexcept {
  if (master_.pid && settled_) return go_on_with_trial();
  if (master_.pid) {
    hung_ = on_trial_;
    kernel::send_signal(master_.pidfd.get(), SIGKILL);  // its start takes too long
    deadline_ = never;
    return;
  }
  caller_.hang_up();
  auto made = starter_.start();
  if (made.pid) return take_in(std::move(made));
  schedule(duration{});
}

// Signals.

void keeper::take_signals() noexcept {
  while (auto came = kernel::next_signal(signals_.get())) {
    if (came->si_signo == SIGCHLD)
      reap();
    else if (came->si_signo == SIGTSTP)
      stop_for_terminal();
    else
      pass_on(*came);
  }
}

void keeper::stop_for_terminal() noexcept {
  // The master has a session of its own, where TSTP stops nobody.
  if (master_.pid) kernel::send_signal(master_.pidfd.get(), SIGSTOP);
  ::raise(SIGSTOP);
  answered_ = true;  // what it was asked before, it may be about to answer
}

void keeper::pass_on(const siginfo_t& came) noexcept {
  if (came.si_signo == SIGCONT && master_.pid) {
    relay(came);  // it was stopped with us, and has no need to catch this
  } else if (backing_off() && asks_to_stop(came.si_signo)) {
    ended_ = last_end_;
  } else if (!master_takes_signals() || !relay(came)) {
    waiting_ = came;
    choose_signals();
  }
}

bool keeper::relay(const siginfo_t& signal) noexcept {
  if (!kernel::relay_signal(master_.pidfd.get(), signal)) return false;
  if (asks_to_stop(signal.si_signo)) {
    stop_ = signal;
    stop_passed_at_ = now();
  }
  return true;
}

/// No other real-time signal is taken while one waits: they come in their order, and none is lost.
void keeper::pass_on_waiting() noexcept {
  if (master_takes_signals() && relay(*waiting_)) waiting_.reset();
}

/// A master that goes on from another's state would die of what it does not catch yet.
void keeper::choose_signals() noexcept {
  auto wanted = kernel::taken_signals::all;
  if (backing_off())
    wanted = kernel::taken_signals::stops;
  else if (!master_takes_signals())
    wanted = kernel::taken_signals::deaths;
  else if (waiting_)
    wanted = kernel::taken_signals::all_but_real_time;
  if (std::exchange(taking_, wanted) != wanted) kernel::take(signals_.get(), wanted);
}

// Deaths.

void keeper::reap() noexcept {
  while (pid_t pid = kernel::find_dead_child()) {
    auto* known = store_.find(pid);
    // Its number is pinned until it is reaped.
    if (known) kernel::kill_group(pid);
    auto child = kernel::reap_child(pid);
    if (!child) continue;
    if (pid == master_.pid) {
      on_master_death(*child);
    } else if (pid == candidate_.pid) {
      on_candidate_death(*child);
    } else if (known) {
      known->end = end_of(*child);
      known->tell_end = true;
      telling_ = 0;
    } else if (pid == last_guard_) {
      last_guard_ = 0;
    } else if (pid == last_candidate_) {
      last_candidate_ = 0;
    } else {
      unheld_.add(pid, end_of(*child));
      ++strangers_;
    }
  }
}

void keeper::on_master_death(const kernel::ended_child& child) noexcept {
  receive();
  last_end_ = {child.code != CLD_EXITED, child.status};
  last_record_.pid = child.pid;
  last_record_.end = end_of(child);
  auto settled_for = settled_ ? now() - settled_at_ : duration{};
  if (stop_ && now() - stop_passed_at_ > stop_is_heeded_after) stop_.reset();
  bool leaves = std::exchange(leaving_, false);
  if (leaves) candidate_deadline_ = never;
  master_ = {};
  tell_go_ = false;
  if (over_ || !ever_settled_) {
    ended_ = last_end_;
  } else if (leaves && candidate_.pid) {
    promote_candidate();
  } else if (leaves) {
    // That has died meanwhile, and this one is not to blame.
    deadline_ = now();
    delayed_ = false;
  } else {
    if (candidate_.pid) end_candidate(keeper_wire::upgrade_result::master_ended);
    schedule(settled_for);
  }
  choose_signals();
}

void keeper::schedule(duration settled_for) noexcept {
  auto next = after_death(deaths_, settled_for, on_trial_);
  if (next.go_back) go_back();
  deaths_ = next.deaths;
  delayed_ = next.delay > duration{};
  deadline_ = later(now(), next.delay);
  if (!backing_off()) return;
  if (stop_) ended_ = last_end_;
  post_guard();
}

/// Nobody else would see the end of this process, until a master has everything again.
void keeper::post_guard() noexcept {
  if (guard_.pid) return;
  guard_ = master_starter::start_guard(store_);
  last_guard_ = guard_.pid;
}

void keeper::dismiss_guard() noexcept {
  if (auto guard = std::exchange(guard_, {}); guard.pid)
    kernel::send_packet(guard.socket.get(), "x", {}, MSG_DONTWAIT);
}

// The socket.

void keeper::receive() noexcept {
  record said;
  kernel::unique_fd fd;
  auto got = kernel::received::end;
  while (master_.socket && (got = kernel::receive_record(master_.socket.get(), &said, sizeof said,
                                                         fd)) == kernel::received::packet)
    heed(said, std::move(fd));
  if (got == kernel::received::end) master_.socket.reset();
}

void keeper::heed(const record& said, kernel::unique_fd fd) noexcept {
  switch (said.what) {
    case kind::put:
      return put(said, std::move(fd));
    case kind::drop:
      return store_.drop(said.index);
    case kind::settled:
      return on_settled();
    case kind::over:
      over_ = true;
      return;
    case kind::upgrade:
      return begin_upgrade();
    case kind::well:
      answered_ = true;
      known_layout_ = said.count;
      return;
    default:
      return;  // of a newer master
  }
}

void keeper::put(const record& said, kernel::unique_fd fd) noexcept {
  if (!fd) return;
  auto* held = store_.put(said.index, said.pid, std::move(fd));
  if (!held) return;
  if (said.index == keeper_wire::state) {
    if (said.count) stop_.reset();
    kernel::release_image();  // a state is new when much has happened; now there is rest
  }
  if (!said.pid) return;
  held->end = unheld_.take(said.pid, held->fd());
  held->tell_end = held->end.code != 0;
  if (!held->tell_end) return;
  telling_ = 0;
  --strangers_;
}

void keeper::on_settled() noexcept {
  if (store_.at(keeper_wire::state) < 0) return;  // there was no room for it: nobody could go on
  if (std::exchange(settled_, true)) return;
  ever_settled_ = true;
  settled_at_ = now();
  deadline_ = never;
  dismiss_guard();
  upgraded_.pid = 0;
  answered_ = true;
  if (on_trial_) go_on_with_trial();
  if (stop_) relay(siginfo_t(*stop_));
}

bool keeper::send(const master_process& to, const record& said, int fd) noexcept {
  std::string_view bytes(reinterpret_cast<const char*>(&said), sizeof said);
  std::span<const int> along(&fd, fd >= 0 ? 1u : 0u);
  int error = kernel::send_packet(to.socket.get(), bytes, along, MSG_DONTWAIT);
  // What is full has room again when poll(2) says so.
  return error != EAGAIN && error != ETOOMANYREFS && error != ENOBUFS;
}

/// As much as the socket takes.
void keeper::tell() noexcept {
  auto places = store_.places();
  for (; telling_ < places.size(); ++telling_) {
    auto& place = places[telling_];
    record about;
    about.index = static_cast<std::uint32_t>(telling_);
    about.pid = place.pid;
    about.what = kind::held;
    if (place.tell && !send(master_, about, place.fd())) return;
    place.tell = false;
    about.what = kind::ended;
    about.end = place.end;
    if (place.tell_end && !send(master_, about)) return;
    place.tell_end = false;
  }
  if (tell_upgraded_) {
    if (!send(master_, upgraded_)) return;
    tell_upgraded_ = false;
    if (settled_) upgraded_.pid = 0;  // no news any more
  }
  if (tell_go_) {
    last_record_.what = kind::go;
    last_record_.count = deaths_;
    if (!send(master_, last_record_)) return;
    tell_go_ = false;
  }
  if (strangers_ == told_strangers_) return;
  record about;
  about.what = kind::strangers;
  about.count = strangers_;
  if (send(master_, about)) told_strangers_ = strangers_;
}

}  // namespace supervisor
