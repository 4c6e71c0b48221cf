#include "supervisor/journal.hpp"

#include <array>
#include <deque>
#include <map>

namespace supervisor {

namespace {

constexpr std::array<std::string_view, 5> severity_names{"debug", "info", "notice", "warning",
                                                         "error"};

severity severity_of_exit(exit_cause why) {
  switch (why) {
    case exit_cause::launch_failure:
      return severity::error;
    case exit_cause::crash:
    case exit_cause::boot_timeout:
    case exit_cause::hang:
    case exit_cause::request_timeout:
    case exit_cause::probe:
    case exit_cause::out_of_memory:
    case exit_cause::dependency:
    case exit_cause::killed:
    case exit_cause::lost:
      return severity::warning;
    default:
      return severity::info;
  }
}

}  // namespace

std::string_view to_string(severity s) noexcept {
  auto index = static_cast<std::size_t>(s);
  return index < severity_names.size() ? severity_names[index] : "unknown";
}

std::optional<severity> parse_severity(std::string_view name) noexcept {
  for (std::size_t i = 0; i < severity_names.size(); ++i)
    if (severity_names[i] == name) return static_cast<severity>(i);
  return std::nullopt;
}

std::string_view to_string(event_kind kind) noexcept {
  switch (kind) {
    case event_kind::supervisor_started:
      return "supervisor.started";
    case event_kind::supervisor_stopping:
      return "supervisor.stopping";
    case event_kind::supervisor_stopped:
      return "supervisor.stopped";
    case event_kind::supervisor_abandoned:
      return "supervisor.abandoned";
    case event_kind::listener_opened:
      return "listener.opened";
    case event_kind::listener_closed:
      return "listener.closed";
    case event_kind::signal_received:
      return "signal.received";
    case event_kind::signal_unhandled:
      return "signal.unhandled";
    case event_kind::handler_failed:
      return "handler.failed";
    case event_kind::command_received:
      return "command.received";
    case event_kind::pool_opened:
      return "pool.opened";
    case event_kind::pool_resized:
      return "pool.resized";
    case event_kind::pool_drained:
      return "pool.drained";
    case event_kind::pool_resumed:
      return "pool.resumed";
    case event_kind::pool_stopping:
      return "pool.stopping";
    case event_kind::pool_stopped:
      return "pool.stopped";
    case event_kind::pool_held:
      return "pool.held";
    case event_kind::pool_released:
      return "pool.released";
    case event_kind::pool_escalated:
      return "pool.escalated";
    case event_kind::rollout_started:
      return "rollout.started";
    case event_kind::program_opened:
      return "program.opened";
    case event_kind::rollout_baking:
      return "rollout.baking";
    case event_kind::rollout_judged:
      return "rollout.judged";
    case event_kind::rollout_baked:
      return "rollout.baked";
    case event_kind::rollout_paused:
      return "rollout.paused";
    case event_kind::rollout_resumed:
      return "rollout.resumed";
    case event_kind::rollout_committed:
      return "rollout.committed";
    case event_kind::rollout_failed:
      return "rollout.failed";
    case event_kind::slot_added:
      return "slot.added";
    case event_kind::slot_retiring:
      return "slot.retiring";
    case event_kind::slot_removed:
      return "slot.removed";
    case event_kind::worker_launched:
      return "worker.launched";
    case event_kind::worker_started:
      return "worker.started";
    case event_kind::worker_ready:
      return "worker.ready";
    case event_kind::worker_status:
      return "worker.status";
    case event_kind::worker_reloading:
      return "worker.reloading";
    case event_kind::worker_reloaded:
      return "worker.reloaded";
    case event_kind::worker_stored:
      return "worker.stored";
    case event_kind::worker_spent:
      return "worker.spent";
    case event_kind::worker_ailing:
      return "worker.ailing";
    case event_kind::worker_recovered:
      return "worker.recovered";
    case event_kind::worker_stopping:
      return "worker.stopping";
    case event_kind::worker_extended:
      return "worker.extended";
    case event_kind::worker_escalated:
      return "worker.escalated";
    case event_kind::worker_signalled:
      return "worker.signalled";
    case event_kind::worker_exited:
      return "worker.exited";
    case event_kind::worker_reported:
      return "worker.reported";
    case event_kind::mold_started:
      return "mold.started";
    case event_kind::mold_exited:
      return "mold.exited";
    case event_kind::group_opened:
      return "group.opened";
    case event_kind::group_started:
      return "group.started";
    case event_kind::group_restarting:
      return "group.restarting";
    case event_kind::group_stopping:
      return "group.stopping";
    case event_kind::group_hastened:
      return "group.hastened";
    case event_kind::group_stopped:
      return "group.stopped";
    case event_kind::group_released:
      return "group.released";
    case event_kind::member_added:
      return "member.added";
    case event_kind::member_starting:
      return "member.starting";
    case event_kind::member_started:
      return "member.started";
    case event_kind::member_stopping:
      return "member.stopping";
    case event_kind::member_ended:
      return "member.ended";
    case event_kind::member_rests:
      return "member.rests";
    case event_kind::member_stop_asked:
      return "member.stop_asked";
    case event_kind::member_start_asked:
      return "member.start_asked";
    case event_kind::member_removed:
      return "member.removed";
    case event_kind::note:
      return "note";
    case event_kind::upgrade_started:
      return "upgrade.started";
    case event_kind::upgrade_failed:
      return "upgrade.failed";
    case event_kind::upgrade_committed:
      return "upgrade.committed";
    case event_kind::upgrade_rolled_back:
      return "upgrade.rolled_back";
  }
  return "unknown";
}

severity severity_of(const event& e) noexcept {
  switch (e.kind) {
    case event_kind::slot_added:
    case event_kind::slot_retiring:
    case event_kind::slot_removed:
    case event_kind::worker_launched:
    case event_kind::worker_status:
    case event_kind::worker_signalled:
    case event_kind::worker_reported:
      return severity::debug;
    case event_kind::supervisor_started:
    case event_kind::supervisor_stopping:
    case event_kind::supervisor_stopped:
    case event_kind::listener_opened:
    case event_kind::listener_closed:
    case event_kind::signal_received:
    case event_kind::command_received:
    case event_kind::pool_drained:
    case event_kind::pool_resumed:
    case event_kind::pool_held:
    case event_kind::pool_released:
    case event_kind::rollout_started:
    case event_kind::rollout_paused:
    case event_kind::rollout_resumed:
    case event_kind::rollout_committed:
    case event_kind::upgrade_started:
    case event_kind::upgrade_committed:
      return severity::notice;
    case event_kind::signal_unhandled:
    case event_kind::worker_ailing:
    case event_kind::worker_escalated:
    case event_kind::supervisor_abandoned:
      return severity::warning;
    case event_kind::handler_failed:
    case event_kind::pool_escalated:
    case event_kind::upgrade_failed:
    case event_kind::upgrade_rolled_back:
      return severity::error;
    case event_kind::rollout_failed:
      return e.count ? severity::notice : severity::error;
    case event_kind::rollout_judged:
      return e.count ? severity::info : severity::warning;
    case event_kind::worker_stored:
      return e.number ? severity::warning : severity::debug;
    case event_kind::worker_exited:
      if (e.next == verdict::given_up || e.next == verdict::escalated) return severity::error;
      return severity_of_exit(e.why);
    case event_kind::member_added:
    case event_kind::member_starting:
    case event_kind::member_rests:
    case event_kind::member_stop_asked:
    case event_kind::member_start_asked:
    case event_kind::member_removed:
      return severity::debug;
    case event_kind::group_restarting:
      return severity::warning;
    case event_kind::member_ended:
      return e.number ? severity::warning : severity::info;
    case event_kind::group_stopping:
      return e.number == 0 ? severity::error : severity::notice;
    case event_kind::mold_exited:
      return e.why == exit_cause::stopped || e.exit.success() ? severity::info : severity::warning;
    default:
      return severity::info;
  }
}

struct journal::state {
  struct subscriber {
    sink tell;
    std::uint64_t after;  ///< the last event before it came
  };

  /// By key, as a sink may end any subscription, its own too.
  void tell(const event& e) noexcept {
    for (auto it = sinks.begin(); it != sinks.end();) {
      auto key = it->first;
      auto to = it->second;
      if (e.id > to->after) to->tell(e);
      it = sinks.upper_bound(key);
    }
  }

  std::map<std::uint64_t, std::shared_ptr<subscriber>> sinks;
  std::uint64_t last_sink = 0;
  std::deque<event> waiting;  ///< recorded by sinks
  bool telling = false;
};

journal::journal(clock now) : clock_(std::move(now)), state_(std::make_shared<state>()) {}

std::uint64_t journal::record(event e) {
  auto id = e.id = ++last_;
  if (e.cause == 0) e.cause = ambient_;
  auto time = clock_();
  e.at = time.first;
  e.wall = time.second;
  if (state_->telling) {
    state_->waiting.push_back(std::move(e));
    return id;
  }
  auto alive = state_;  // a sink may end the journal's owner
  alive->telling = true;
  alive->tell(e);
  while (!alive->waiting.empty()) {
    auto next = std::move(alive->waiting.front());
    alive->waiting.pop_front();
    alive->tell(next);
  }
  alive->telling = false;
  return id;
}

std::shared_ptr<void> journal::subscribe(sink tell) {
  auto key = ++state_->last_sink;
  state_->sinks[key] =
      std::make_shared<state::subscriber>(state::subscriber{std::move(tell), last_});
  auto forget = [sinks = std::weak_ptr(state_), key](void*) {
    if (auto alive = sinks.lock()) alive->sinks.erase(key);
  };
  return {state_.get(), std::move(forget)};
}

}  // namespace supervisor
