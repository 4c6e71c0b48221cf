#include "process/reaper.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <csignal>
#include <utility>

#include "kernel/descriptors.hpp"

namespace supervisor {

namespace {

/// How soon a child is looked at again that the kernel does not watch for us: its pidfd had no room
/// in the set, or was readable before the child could be reaped.
constexpr auto look_again = std::chrono::milliseconds(50);
/// How long after its death another's child is `lost` of whose end nobody tells.
constexpr auto until_lost = std::chrono::seconds(1);

/// What is told of a place may be of who had it before.
bool is_over(int pidfd) { return kernel::wait_readable(pidfd, duration{}); }

time_point now() {
  return std::chrono::time_point_cast<duration>(std::chrono::steady_clock::now());
}

}  // namespace

reaper::reaper(boost::asio::any_io_executor executor, timer_queue& timers, duration last_wait)
    : executor_(executor),
      timers_(timers),
      last_wait_(last_wait),
      set_(executor, kernel::make_pidfd_set(), [this] { look(); }) {}

reaper::~reaper() {
  auto deadline = now() + last_wait_;
  for (auto& [id, held] : entries_) {
    int fd = held.process.pidfd();
    if (!held.others && (held.killed || held.dead)) kernel::reap_within(fd, deadline - now());
  }
}

reaper::key reaper::hold(held_process process, observer tell) {
  disown(process.pid());
  auto id = ++last_;
  int fd = process.pidfd();
  entries_.emplace(id, entry{std::move(process), std::move(tell)});
  // A child that is dead already is told by this, too: adding what is readable is an event.
  if (kernel::add_pidfd(set_.get(), fd, id)) look_later(id);
  return id;
}

reaper::key reaper::hold_of_another(held_process process, std::uint32_t place, observer tell) {
  int fd = process.pidfd();
  auto id = hold(std::move(process), std::move(tell));
  entries_.at(id).others = place;
  auto told = early_.extract(place);
  if (told && is_over(fd)) entries_.at(id).early = told.mapped();
  return id;
}

void reaper::ended_at(std::uint32_t place, const kernel::obituary& last) {
  for (auto& [id, held] : entries_) {
    if (held.others != place) continue;
    if (is_over(held.process.pidfd())) ended(id, last);
    return;
  }
  early_[place] = last;
}

void reaper::ended(key id, const kernel::obituary& last) {
  auto it = entries_.find(id);
  if (it == entries_.end() || it->second.dead) return;
  it->second.last = last;
  on_death(id, last.status);
  clear_later();
}

void reaper::adopt(held_process process, std::function<void()> gone) {
  auto id = last_ + 1;  // that hold() will give
  auto reaped = [gone = std::move(gone)](auto&) {
    if (gone) gone();
  };
  auto died = [this, id](auto) {
    if (expected_.expired()) bury(id);
  };
  hold(std::move(process), {std::move(died), std::move(reaped)});
  strays_.insert(id);
}

std::vector<pid_t> reaper::strangers(std::vector<pid_t> pids) const {
  std::set<pid_t> known;
  for (auto& [id, held] : entries_) known.insert(held.process.pid());
  std::erase_if(pids, [&](pid_t pid) { return known.contains(pid); });
  return pids;
}

void reaper::adopt_strangers(std::vector<pid_t> children) {
  for (pid_t pid : strangers(std::move(children))) {
    adopt(held_process(executor_, pid, kernel::open_pidfd(pid)), [this] { stranger_reaped_(); });
    entries_.at(last_).stranger = true;
  }
}

/// Else the one that looks first would take the status from the other.
void reaper::disown(pid_t pid) {
  for (auto id : strays_) {
    auto& process = entries_.at(id).process;
    if (process.pid() != pid) continue;
    kernel::remove_pidfd(set_.get(), process.pidfd());
    entries_.erase(id);
    strays_.erase(id);
    return;
  }
}

std::shared_ptr<void> reaper::expect() {
  auto all = expected_.lock();
  if (all) return all;
  // The last may be dropped from within a call of ours, or by who is about to be told.
  auto none_left = [this, executor = executor_, alive = std::weak_ptr(alive_)](void*) {
    if (alive.expired()) return;
    boost::asio::post(executor, [this, alive] {
      if (!alive.expired()) bury_strays();
    });
  };
  all = std::shared_ptr<void>(this, std::move(none_left));
  expected_ = all;
  return all;
}

void reaper::bury_strays() {
  if (!expected_.expired()) return;
  for (auto id : std::vector<key>(strays_.begin(), strays_.end())) bury(id);
}

boost::system::error_code reaper::signal(key id, int number) {
  auto it = entries_.find(id);
  if (it == entries_.end() || it->second.dead)
    return boost::system::errc::make_error_code(boost::system::errc::no_such_process);
  if (number == SIGKILL) it->second.killed = true;
  return kernel::send_signal(it->second.process.pidfd(), number);
}

void reaper::bury(key id) {
  auto it = entries_.find(id);
  if (it == entries_.end() || !it->second.dead) return;
  it->second.buried = true;
  if (!it->second.telling) finish(id);
}

bool reaper::holds(pid_t pid) const noexcept {
  return std::any_of(entries_.begin(), entries_.end(),
                     [pid](auto& each) { return each.second.process.pid() == pid; });
}

int reaper::pidfd(key id) const noexcept {
  auto it = entries_.find(id);
  return it == entries_.end() ? -1 : it->second.process.pidfd();
}

bool reaper::is_of_another(key id) const noexcept {
  auto it = entries_.find(id);
  return it != entries_.end() && it->second.others;
}

void reaper::look() {
  // What does not fit stays readable, and brings us back here.
  for (auto id : kernel::take_pidfds(set_.get())) {
    check(id);
    // Readable is not yet reapable, while a tracer holds it and sometimes for a moment without.
    look_later(id);
  }
  clear_later();
}

void reaper::look_later(key id) {
  auto it = entries_.find(id);
  if (it == entries_.end() || it->second.dead || it->second.others) return;
  if (std::exchange(it->second.looking, true)) return;
  timers_.call_at(now() + look_again, [this, id] {
    auto still = entries_.find(id);
    if (still == entries_.end()) return;
    still->second.looking = false;
    check(id);
    look_later(id);
    clear_later();
  });
}

void reaper::check(key id) {
  auto it = entries_.find(id);
  if (it == entries_.end() || it->second.dead) return;
  if (auto& early = it->second.early) return ended(id, kernel::obituary(*early));
  if (it->second.others) return wait_for_end(id);
  auto status = kernel::peek_exit(it->second.process.pidfd());
  if (status) on_death(id, *status);
}

void reaper::on_death(key id, const exit_status& status) {
  auto& held = entries_.at(id);
  held.dead = held.telling = true;
  fresh_.emplace_back(id, status);
  held.tell.died(status);
}

void reaper::wait_for_end(key id) {
  std::weak_ptr<void> alive = alive_;
  timers_.call_at(now() + until_lost, [this, id, alive] {
    if (!alive.expired()) ended(id, {});
  });
}

/// The replacements are made first: whom these deaths concern was posted before us, and twice
/// because what they order is itself posted.
void reaper::clear_later() {
  if (fresh_.empty()) return;
  auto clear = [this, dead = std::exchange(fresh_, {}), alive = std::weak_ptr(alive_)] {
    for (auto& [id, status] : dead)
      if (!alive.expired()) clear_away(id, status);
  };
  boost::asio::post(executor_, [executor = executor_, clear = std::move(clear)]() mutable {
    boost::asio::post(executor, std::move(clear));
  });
}

void reaper::clear_away(key id, const exit_status& status) {
  auto it = entries_.find(id);
  if (it == entries_.end()) return;  // a stray whose owner came
  auto& held = it->second;
  held.telling = false;
  // With the status lost nothing pins the number any more: it may be a stranger's by now. Whoever
  // reaps another's child has done this.
  bool ours = !held.others && !held.stranger && status.how() != exit_status::kind::lost;
  if (ours) kernel::kill_group(held.process.pid());
  if (held.buried) return finish(id);
  if (auto cleared = std::move(held.tell.cleared)) cleared();  // may bury it
}

void reaper::finish(key id) {
  auto it = entries_.find(id);
  int fd = it->second.process.pidfd();
  auto last = it->second.others ? it->second.last : kernel::reap(fd);
  kernel::remove_pidfd(set_.get(), fd);
  auto tell = std::move(it->second.tell.reaped);
  entries_.erase(it);
  strays_.erase(id);
  tell(last.value_or(kernel::obituary{}));
}

}  // namespace supervisor
