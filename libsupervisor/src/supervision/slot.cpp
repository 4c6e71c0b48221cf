#include "supervision/slot.hpp"

#include <algorithm>
#include <boost/system/errc.hpp>
#include <cerrno>
#include <csignal>
#include <utility>

#include "supervision/decide.hpp"
#include "supervision/pool_keeper.hpp"
#include "supervision/probing.hpp"
#include "supervision/recycling.hpp"

namespace asio = boost::asio;

namespace supervisor {

slot::slot(pool_keeper& pool, const slot_state& me)
    : pool_(pool), me_(me), wakeup_(pool.outside()) {}

asio::awaitable<void> slot::run() {
  find_child();
  while (me_.now != phase::gone) {
    co_await rest();
    co_await wait_for_turn();
    co_await wait_for_pid();
    co_await wait_for_ready();
    co_await serve();
    co_await leave();
  }
}

// Each of these passes at once when the slot stands elsewhere.

asio::awaitable<void> slot::rest() {
  while (me_.rests()) co_await wakeup_.wait();
}

asio::awaitable<void> slot::wait_for_turn() {
  // The first time, a program that cannot be opened is news; later, it is asked to try again.
  bool asked_again = me_.last_cause != exit_cause::launch_failure;
  while (me_.now == phase::waiting || me_.now == phase::backing_off) {
    auto now = pool_.outside().now();
    auto program = pool_.program(me_.generation);
    if (me_.now == phase::backing_off && now < me_.deadline) {
      co_await wakeup_.wait(me_.deadline);
    } else if (program.failed && !std::exchange(asked_again, true)) {
      pool_.reopen_program(me_.generation);
    } else if (program.failed) {
      child_view never_ran;
      never_ran.failed = program.failed;
      record_exit(&never_ran);
      co_return;
    } else if (!program.open) {
      co_await wakeup_.wait();
    } else if (!pool_.missing().empty()) {
      co_await wakeup_.wait();
    } else if (auto turn = pool_.turn_of(me_, now); turn > now) {
      co_await wakeup_.wait(turn);
    } else {
      launch();
    }
  }
}

asio::awaitable<void> slot::wait_for_pid() {
  while (me_.now == phase::launching && !buried()) {
    if (seen()->pid == 0) {
      // One that still waits for its mold need not be made any more.
      if (retires()) pool_.outside().signal(child_, SIGTERM);
      co_await wakeup_.wait();
      continue;
    }
    auto e = about_me(event_kind::worker_started);
    e.pid = seen()->pid;
    e.deadline = later(pool_.outside().now(), what().boot_timeout);
    pool_.transition(std::move(e));
  }
}

asio::awaitable<void> slot::wait_for_ready() {
  bool passed = false;
  probing probes(pool_.outside(), child_);
  // What is asked is the probe's own: other needs replace the specification meanwhile.
  if (auto& asks = what().ready_probe; asks && me_.now == phase::starting) {
    auto p = asks->of(me_.number, me_.pid);
    probes.begin(p, later(me_.started_at, p.start), [this, p, &passed](auto, health now, auto&) {
      passed |= is_well(p, now);
      wake();
    });
  }
  while (me_.now == phase::starting && !buried()) {
    auto now = pool_.outside().now();
    auto unasked = ready_unasked(what(), me_);
    if (retires())
      begin_stop(me_.retiring);
    else if (extend())
      continue;
    else if (now >= unasked || passed || (seen()->ready && heeds_ready(what())))
      pool_.transition(about_me(event_kind::worker_ready));
    else if (now >= me_.deadline)
      begin_stop(exit_cause::boot_timeout);
    else
      co_await wakeup_.wait(std::min(me_.deadline, unasked));
  }
}

asio::awaitable<void> slot::serve() {
  if (me_.now == phase::ready) pool_.outside().serves(child_);
  recycling wear(pool_.outside(), me_, what().recycle);
  probing probes(pool_.outside(), child_);
  if (me_.now == phase::ready)
    for (auto& each : what().liveness) {
      auto p = each.of(me_.number, me_.pid);
      probes.begin(p, later(me_.started_at, p.start),
                   [this, p](health before, health now, auto& found) {
                     if (before.failures != now.failures) record_look(p, now, found);
                   });
    }
  while (me_.now == phase::ready && !buried()) {
    auto worn = wear.look(*seen());
    // Somebody else has told it to leave.
    if (seen()->stopping) tell_terms();
    if (retires()) {
      begin_stop(me_.retiring);
    } else if (seen()->hung) {
      begin_stop(exit_cause::hang);
    } else if (seen()->overdue) {
      begin_stop(exit_cause::request_timeout);
    } else if (me_.ill) {
      begin_stop(exit_cause::probe);
    } else if (!worn.empty()) {
      auto e = about_me(event_kind::worker_spent);
      e.text = std::move(worn);
      e.count = what().recycle.at_once;
      pool_.transition(std::move(e));
    } else if (seen()->status != me_.status) {
      auto e = about_me(event_kind::worker_status);
      e.text = seen()->status;
      pool_.transition(std::move(e));
    } else if (seen()->reloads != me_.reloads) {
      auto e = about_me(event_kind::worker_reloading);
      e.count = seen()->reloads;
      pool_.transition(std::move(e));
    } else if (me_.reloading && !seen()->reloading) {
      pool_.transition(about_me(event_kind::worker_reloaded));
    } else {
      co_await wakeup_.wait(wear.next_look());
    }
  }
}

asio::awaitable<void> slot::leave() {
  while (me_.now == phase::stopping && !buried()) {
    tell_terms();
    if (extend()) continue;
    if (pool_.outside().now() >= me_.deadline)
      take_stop_step(event_kind::worker_escalated, me_.stopped_for, me_.step + 1);
    else
      co_await wakeup_.wait(me_.deadline);
  }
}

// What happens in between, without suspension.

void slot::find_child() {
  if (me_.child == 0) return;
  child_ = pool_.outside().find({pool_.name(), me_.id, me_.launches});
  if (child_) pool_.outside().watch(child_, waker());
}

void slot::launch() {
  launch_request request;
  request.key = {pool_.name(), me_.id, me_.launches + 1};
  request.slot = me_.number;
  request.generation = me_.generation;
  auto& recycle = what().recycle;
  unsigned lot = 0;
  if (recycle.max_requests || recycle.max_age > duration{})
    lot = static_cast<unsigned>(pool_.outside().random() % recycle_lots);
  request.request_limit = request_limit(recycle, lot);
  child_ = pool_.outside().launch(request, waker());
  told_.reset();
  auto e = about_me(event_kind::worker_launched);
  e.child = child_;
  e.deadline = take_start(pool_.state().budget, what().starts, pool_.outside().now()).repaid;
  e.number = lot;
  pool_.transition(std::move(e));
}

void slot::begin_stop(exit_cause why) { take_stop_step(event_kind::worker_stopping, why, 0); }

void slot::take_stop_step(event_kind kind, exit_cause why, unsigned step) {
  auto order = ladder_step(what(), why, step, pool_.state().quick, pool_.outside().now());
  auto e = about_me(kind);
  e.why = why;
  e.count = step;
  e.number = order.signal;
  e.deadline = order.deadline;
  bool stuck = why == exit_cause::hang || why == exit_cause::request_timeout;
  if (stuck || kind == event_kind::worker_escalated) e.text = work(why);
  pool_.transition(std::move(e));
  tell_terms();
  auto error = pool_.outside().signal(child_, order.signal);
  // ESRCH: it is dying; its death is on the way here.
  if (error && error != boost::system::errc::no_such_process) {
    auto n = about_me(event_kind::note);
    n.text = signal_name(order.signal) + " could not be sent: " + error.message();
    pool_.transition(std::move(n));
  }
}

void slot::tell_terms() {
  leave_terms terms{me_.deadline, pool_.state().wanted() > 0};
  if (terms == told_) return;
  told_ = terms;
  pool_.outside().tell_terms(child_, terms);
}

bool slot::extend() {
  if (!may_extend(pool_.state(), me_) || seen()->asks_until <= me_.deadline) return false;
  auto e = about_me(event_kind::worker_extended);
  e.deadline = seen()->asks_until;
  pool_.transition(std::move(e));
  return true;
}

void slot::record_look(const probe& by, const health& h, const probe_result& found) {
  bool ails = !found.well;
  auto e = about_me(ails ? event_kind::worker_ailing : event_kind::worker_recovered);
  e.text = ails ? by.str() + ": " + found.words : by.str();
  e.count = h.failures;
  e.number = by.failures;
  pool_.transition(std::move(e));
  wake();
}

bool slot::buried() {
  auto* view = seen();
  if (view && !view->over()) return false;
  record_exit(view);
  return true;
}

void slot::record_exit(const child_view* view) {
  auto& outside = pool_.outside();
  auto now = outside.now();
  auto facts = facts_of(me_, now);
  facts.cause = classify(view, me_.stopped_for);
  if (!pool_.missing().empty()) facts.cause = excuse(facts.cause);
  if (view && view->exited) facts.how = *view->exited;
  facts.never_ran = view && view->failed;
  // Told to leave before it was made: that is no failure of its program's.
  if (retires() && view && view->failed && view->failed->error == ECANCELED)
    facts.cause = me_.retiring;
  facts.random = outside.random();
  auto decision = decide_restart(what().restart, facts);

  auto e = about_me(event_kind::worker_exited);
  // What we did not do ourselves came from outside, and has no cause here.
  if (me_.stopped_for == exit_cause::none) e.cause = 0;
  e.why = facts.cause;
  e.count = decision.failures;
  e.number = decision.window;
  e.exit = facts.how;
  if (view) e.launch = view->failed;
  e.text = last_words(facts.cause);
  if (stays_after(pool_.state(), me_, facts.cause, decision.failures)) {
    e.next = decision.next;
    // One on trial has a place to fill, and nobody else to fill it.
    bool over = e.next == verdict::given_up || e.next == verdict::escalated;
    if (over && me_.replaces) {
      e.next = verdict::again;
      decision.delay = std::max(decision.delay, what().restart.cap);
    }
    bool starts = e.next == verdict::again || e.next == verdict::trial;
    if (starts) e.deadline = later(now, decision.delay);
  }

  auto over = std::exchange(child_, 0);
  pool_.transition(std::move(e));
  if (over) outside.forget(over);
}

std::string slot::work(exit_cause why) const {
  auto board = child_ ? pool_.outside().sample(child_) : std::nullopt;
  if (!board) return {};
  return describe_work(*board, why == exit_cause::request_timeout ? board->oldest : board->latest);
}

std::string slot::last_words(exit_cause why) const {
  auto board = child_ ? pool_.outside().sample(child_) : std::nullopt;
  if (board && !board->failure.empty()) return board->failure;
  auto request = work(why);
  return request.empty() ? request : "died in " + request;
}

event slot::about_me(event_kind kind) const {
  event e{kind};
  e.slot_id = me_.id;
  e.slot = me_.number;
  e.generation = me_.generation;
  e.child = me_.child;
  e.pid = me_.pid;
  e.cause = me_.last_event;
  return e;
}

const child_view* slot::seen() const { return child_ ? &pool_.outside().look(child_) : nullptr; }
const spec& slot::what() const { return pool_.what(me_.generation); }

host::observer slot::waker() {
  return [self = weak_from_this()] {
    if (auto alive = self.lock()) alive->wake();
  };
}

}  // namespace supervisor
