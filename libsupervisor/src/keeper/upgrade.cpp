// A new program for the master: tried beside it, on trial in its place, and undone where it fails.
#include <cerrno>
#include <csignal>
#include <utility>

#include "keeper/decide.hpp"
#include "keeper/keeper.hpp"
#include "kernel/pidfd.hpp"
#include "kernel/sockets.hpp"

namespace supervisor {

using keeper_wire::kind;
using keeper_wire::record;
using keeper_wire::upgrade_result;

namespace {

/// For a candidate that has hung up.
constexpr auto last_words = std::chrono::seconds(1);

keeper_wire::process_end failure(int error) { return {0, error, 0, 0, 0}; }

}  // namespace

/// The master serves on meanwhile, and knows nothing of it but how it ends.
void keeper::begin_upgrade() noexcept {
  if (!settled_ || leaving_ || candidate_.pid) return end_upgrade(upgrade_result::not_now, {});
  if (int error = starter_.open_next())
    return end_upgrade(upgrade_result::not_opened, failure(error));
  candidate_ = starter_.start_next();
  if (!candidate_.pid) return end_upgrade(upgrade_result::not_made, failure(errno));
  candidate_fault_ = upgrade_result::ended;
  candidate_error_ = 0;
  candidate_deadline_ = later(now(), candidate_limit);
  record order;
  order.what = kind::check;
  order.index = keeper_wire::state;
  // Its socket has room for one.
  send(candidate_, order, store_.at(keeper_wire::state));
}

void keeper::hear_candidate() noexcept {
  record said;
  kernel::unique_fd none;
  auto got = kernel::received::end;
  while (candidate_.socket &&
         (got = kernel::receive_record(candidate_.socket.get(), &said, sizeof said, none)) ==
             kernel::received::packet) {
    if (said.what == kind::prepared) on_prepared();
    if (said.what == kind::unreadable) candidate_fault_ = upgrade_result::unreadable;
    if (said.what != kind::not_executed) continue;
    candidate_fault_ = upgrade_result::not_executed;
    candidate_error_ = static_cast<int>(said.count);
  }
  if (got != kernel::received::end || !candidate_.socket) return;
  // It will never say more; its death tells how it ended, and it may have words for that on stderr.
  candidate_.socket.reset();
  if (!leaving_) candidate_deadline_ = later(now(), last_words);
}

/// From here on signals wait for the next one.
void keeper::on_prepared() noexcept {
  if (std::exchange(leaving_, true)) return;
  record order;
  order.what = kind::leave;
  bool told = master_.socket && send(master_, order);
  // A master that does not even read is not well, and another is ready.
  if (!told) kernel::send_signal(master_.pidfd.get(), SIGKILL);
  candidate_deadline_ = later(now(), leave_limit);
}

void keeper::on_candidate_death(const kernel::ended_child& child) noexcept {
  hear_candidate();
  auto how = candidate_error_ ? failure(candidate_error_) : end_of(child);
  end_upgrade(candidate_fault_, how);
}

void keeper::on_candidate_deadline() noexcept {
  candidate_deadline_ = never;
  if (leaving_) {
    kernel::send_signal(master_.pidfd.get(), SIGKILL);  // what it knows is held
  } else {
    if (candidate_.socket) candidate_fault_ = upgrade_result::late;
    kernel::send_signal(candidate_.pidfd.get(), SIGKILL);
  }
}

/// The master has left.
void keeper::promote_candidate() noexcept {
  starter_.try_next();
  on_trial_ = true;
  deaths_ = 0;
  auto next = std::move(candidate_);
  end_upgrade(upgrade_result::committed, {});
  take_in(std::move(next));
}

/// One that is not heard any more.
void keeper::end_candidate(upgrade_result why) noexcept {
  kernel::send_signal(candidate_.pidfd.get(), SIGKILL);
  last_candidate_ = candidate_.pid;
  end_upgrade(why, last_record_.end);
}

void keeper::end_upgrade(upgrade_result how, const keeper_wire::process_end& end) noexcept {
  if (how != upgrade_result::not_now) {
    candidate_ = {};
    if (!leaving_) candidate_deadline_ = never;  // else it is the leaving one's
    starter_.drop_next();
  }
  upgraded_.what = kind::upgraded;
  upgraded_.pid = 1;
  upgraded_.count = static_cast<std::uint32_t>(how);
  upgraded_.end = end;
  tell_upgraded_ = !leaving_;  // else it is for the next one
}

void keeper::go_on_with_trial() noexcept {
  switch (judge_trial(now() - settled_at_, std::exchange(answered_, false))) {
    case trial_verdict::proven:
      starter_.keep();
      on_trial_ = false;
      deadline_ = never;
      renewal_due_ = known_layout_ >= keeper_memory::layout;
      if (!renewal_due_) tell_of_renewal(ENOEXEC);
      return;
    case trial_verdict::hung:
      hung_ = true;
      deadline_ = never;
      kernel::send_signal(master_.pidfd.get(), SIGKILL);
      return;
    case trial_verdict::ask:
      record order;
      order.what = kind::how_is_it;
      send(master_, order);
      deadline_ = later(now(), trial_step);
  }
}

void keeper::go_back() noexcept {
  starter_.go_back();
  on_trial_ = false;
  end_upgrade(hung_ ? upgrade_result::rolled_back_hung : upgrade_result::rolled_back,
              last_record_.end);
}

}  // namespace supervisor
