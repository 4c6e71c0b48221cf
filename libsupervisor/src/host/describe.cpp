// An event in the words of a log.
#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "host/span.hpp"
#include "supervisor/group.hpp"
#include "supervisor/journal.hpp"
#include "supervisor/rollout.hpp"
#include "supervisor/signals.hpp"

namespace supervisor {

std::string describe(duration d) {
  using namespace std::chrono;
  if (d < seconds(1)) return fmt::format("{} ms", ceil<milliseconds>(d).count());
  if (d < seconds(10)) return fmt::format("{:.3g} s", round<milliseconds>(d).count() / 100 / 10.0);
  auto total = round<seconds>(d).count();
  if (total < 60) return fmt::format("{} s", total);
  auto [large, small, first, second] = total < 3600
                                           ? std::tuple(total / 60, total % 60, "min", "s")
                                           : std::tuple(total / 3600, total / 60 % 60, "h", "min");
  auto text = fmt::format("{} {}", large, first);
  return small ? text + fmt::format(" {} {}", small, second) : text;
}

namespace {

std::string words(exit_cause why) {
  std::string text(to_string(why));
  std::ranges::replace(text, '_', ' ');
  return text;
}

std::string count_of(std::int64_t n, std::string_view one, std::string_view more = "") {
  if (n == 1) return fmt::format("1 {}", one);
  return more.empty() ? fmt::format("{} {}s", n, one) : fmt::format("{} {}", n, more);
}

/// "http.0 gen 1 pid 4711 ", "http gen 2 ".
std::string subject(const event& e) {
  auto text = e.pool;
  if (e.slot_id) text += fmt::format(".{}", e.slot);
  if (e.generation) text += fmt::format(" gen {}", e.generation);
  if (e.pid > 0) text += fmt::format(" pid {}", e.pid);
  return text.empty() ? text : text + ' ';
}

std::string signal_text(const event& e) {
  auto name = signal_name(static_cast<int>(e.number));
  if (e.pid == several_senders) return name + " from several processes";
  if (e.pid == the_kernel) return name + " from the kernel";
  return fmt::format("{} from pid {}, uid {}", name, e.pid, e.uid);
}

std::string next_step(const event& e, time_point now) {
  if (e.deadline == never) return {};
  return fmt::format(", next step in {}", describe(std::max(duration{}, e.deadline - now)));
}

std::string next_start(const event& e, time_point now) {
  if (e.next == verdict::finished) return "; finished";
  if (e.next == verdict::given_up || e.next == verdict::escalated)
    return e.number > 1 ? fmt::format("; given up after {} failures", e.number) : "; given up";
  if (e.deadline == never) return {};
  if (e.deadline <= now) return "; next start at once";
  auto what = e.next == verdict::trial ? "half-open, next trial in" : "backing off, next start in";
  return fmt::format("; {} {}", what, describe(e.deadline - now));
}

std::string exited(const event& e, time_point now) {
  std::string text;
  if (e.launch)
    text = "did not start: " + e.launch->str();
  else if (e.why == exit_cause::none)
    text = "exited: " + e.exit.str();
  else if (e.why == exit_cause::lost)
    text =
        "is gone, status lost: somebody else in this program took it (waitpid(-1), or SIGCHLD "
        "ignored)";
  else
    text = fmt::format("exited: {}, {}", e.exit.str(), words(e.why));
  if (!e.text.empty()) text += "; " + e.text;
  return text + next_start(e, now);
}

std::string reported(const event& e) {
  if (!e.report) return "reaped";
  auto& r = *e.report;
  if (r.launch) return "never ran: " + r.launch->str();
  auto text = fmt::format("reaped: {}, up {}, CPU {} user {} system, at most {:.1f} MiB",
                          r.status.str(), describe(r.uptime), describe(r.user_time),
                          describe(r.system_time), static_cast<double>(r.max_rss_kib) / 1024);
  std::string_view last = r.last_output;
  while (last.ends_with('\n')) last.remove_suffix(1);
  if (auto line = last.rfind('\n'); line != last.npos) last.remove_prefix(line + 1);
  return last.empty() ? text : text + "; last output: " + std::string(last);
}

std::string of_supervisor(const event& e, time_point now) {
  switch (e.kind) {
    case event_kind::supervisor_started:
      return e.text + " started";
    case event_kind::supervisor_stopping:
      return "stopping" + (e.text.empty() ? "" : ": " + e.text) +
             (e.deadline == never ? "" : ", serves on for " + describe(e.deadline - now));
    case event_kind::supervisor_stopped:
      return fmt::format("stopped, exit code {}", e.count);
    case event_kind::supervisor_abandoned:
      return fmt::format(
          "destroyed without a stop: {} left alone, kept by nobody ({}); to end them, "
          "await stop_all() or async_stop() before",
          count_of(e.count, "worker"), e.text);
    case event_kind::listener_opened:
      return "listening on " + e.text;
    case event_kind::listener_closed:
      return "closes " + e.text + " when the last worker that has it is gone";
    case event_kind::signal_received:
      return "received " + signal_text(e) + (e.count > 1 ? fmt::format(", {} times", e.count) : "");
    case event_kind::signal_unhandled:
      return signal_text(e) + " has no handler, ignored";
    case event_kind::handler_failed:
      return fmt::format("the handler of {} failed: {}", signal_name(static_cast<int>(e.number)),
                         e.text);
    case event_kind::command_received:
      return "command: " + e.text;
    case event_kind::upgrade_started:
      return "upgrade: trying the program that is on disk now";
    case event_kind::upgrade_failed:
      return "upgrade failed, this program goes on: " + e.text;
    case event_kind::upgrade_committed:
      return "upgraded to " + e.text;
    case event_kind::upgrade_rolled_back:
      return "upgrade rolled back, the program before it goes on: " + e.text;
    default:
      return e.text;
  }
}

std::string of_pool(const event& e, time_point now) {
  switch (e.kind) {
    case event_kind::pool_opened:
      return fmt::format("opened: {}{}{}", count_of(e.count, "worker"),
                         e.text.empty() ? "" : " of ", e.text);
    case event_kind::pool_resized:
      return "resized to " + count_of(e.count, "worker");
    case event_kind::pool_drained:
      return "drained: all workers leave, the listeners stay";
    case event_kind::pool_resumed:
      return "resumed";
    case event_kind::pool_stopping:
      return e.count ? "stopping quickly" : "stopping";
    case event_kind::pool_stopped:
      return "stopped, no worker is left";
    case event_kind::pool_held:
      return "waits for " + e.text;
    case event_kind::pool_released:
      return "waits no longer";
    case event_kind::pool_escalated:
      return "has given up: " + e.text;
    case event_kind::rollout_started:
      return fmt::format("rollout started{}{}{}",
                         e.count ? ", back to a generation that was kept" : "", e.plan ? ": " : "",
                         e.plan ? describe(*e.plan) : "");
    case event_kind::program_opened:
      return "program opened";
    case event_kind::rollout_baking:
      return "the canary is ready, and watched for " + describe(e.deadline - now);
    case event_kind::rollout_judged:
      return e.count ? "found healthy" : "found unhealthy: " + e.text;
    case event_kind::rollout_baked:
      return "the canary has passed";
    case event_kind::rollout_paused:
      return "rollout paused";
    case event_kind::rollout_resumed:
      return "rollout resumed";
    case event_kind::rollout_committed:
      return "rollout committed: every worker is of it";
    case event_kind::rollout_failed:
      return (e.count ? "rollout aborted" : "rollout failed") +
             (", the old generation serves on: " + e.text);
    case event_kind::mold_started:
      return "mold started";
    case event_kind::mold_exited:
      if (e.why == exit_cause::stopped) return "mold ended, no longer needed";
      return fmt::format("mold exited: {}{}{}", e.exit.str(),
                         e.why == exit_cause::hang ? ", it did not answer" : "",
                         e.text.empty() ? "" : "; " + e.text);
    default:
      return e.text;
  }
}

std::string of_group(const event& e) {
  switch (e.kind) {
    case event_kind::group_opened:
      return fmt::format("opened: {}, {}", e.text, count_of(e.count, "child", "children"));
    case event_kind::group_started:
      return "started";
    case event_kind::group_restarting:
      return fmt::format("restarting because of {}: {}; {} in the period", e.member, e.text,
                         count_of(e.count, "restart"));
    case event_kind::group_stopping:
      return e.text.empty() ? "stopping" : "stopping: " + e.text;
    case event_kind::group_hastened:
      return "stopping quickly from now on";
    case event_kind::group_stopped:
      return "stopped, nothing of it runs";
    case event_kind::group_released:
      return "released, its children go on without it";
    case event_kind::member_added:
      return fmt::format("child {}: added, a {}", e.member, e.text);
    case event_kind::member_starting:
      return fmt::format("child {}: starting", e.member);
    case event_kind::member_started:
      return fmt::format("child {}: started", e.member);
    case event_kind::member_stopping:
      return fmt::format("child {}: told to leave", e.member);
    case event_kind::member_ended:
      return fmt::format("child {}: ended, {}", e.member, e.text);
    case event_kind::member_rests:
      return fmt::format("child {}: not started again", e.member);
    case event_kind::member_stop_asked:
      return fmt::format("child {}: to be stopped", e.member);
    case event_kind::member_start_asked:
      return fmt::format("child {}: to be started", e.member);
    case event_kind::member_removed:
      return fmt::format("child {}: removed", e.member);
    default:
      return e.text;
  }
}

std::string of_worker(const event& e, time_point now) {
  auto sent = [&] { return signal_name(static_cast<int>(e.number)); };
  switch (e.kind) {
    case event_kind::slot_added:
      return e.number ? "slot added, as a replacement" : "slot added";
    case event_kind::slot_retiring:
      return "slot retiring: " + words(e.why);
    case event_kind::slot_removed:
      return "slot removed";
    case event_kind::worker_launched:
      return "launching";
    case event_kind::worker_started:
      return "started";
    case event_kind::worker_ready:
      return "ready";
    case event_kind::worker_status:
      return "says: " + e.text;
    case event_kind::worker_reloading:
      return "reloading, and serves on";
    case event_kind::worker_reloaded:
      return "reloaded";
    case event_kind::worker_stored:
      return fmt::format("{}; {} stored", e.text, e.count);
    case event_kind::worker_spent:
      return "to be recycled: " + e.text;
    case event_kind::worker_ailing:
      return fmt::format("fails its probe, {} of {}: {}", e.count, e.number, e.text);
    case event_kind::worker_recovered:
      return "passes its probe again: " + e.text;
    case event_kind::worker_stopping:
      return fmt::format("told to leave, {}{}: sent {}{}", words(e.why),
                         e.text.empty() ? "" : " in " + e.text, sent(), next_step(e, now));
    case event_kind::worker_extended:
      return "asks for time, and has " + describe(e.deadline - now);
    case event_kind::worker_escalated:
      return fmt::format("has not left{}: sent {}{}", e.text.empty() ? "" : ", in " + e.text,
                         sent(), next_step(e, now));
    case event_kind::worker_signalled:
      return "sent " + sent();
    case event_kind::worker_exited:
      return exited(e, now);
    case event_kind::worker_reported:
      return reported(e);
    default:
      return e.text;
  }
}

}  // namespace

std::string describe(const event& e, time_point now) {
  if (e.kind <= event_kind::command_received || e.kind >= event_kind::note)
    return of_supervisor(e, now);
  if (!e.group.empty()) return "group " + e.group + ' ' + of_group(e);
  bool pools = e.kind <= event_kind::rollout_failed || e.kind == event_kind::mold_started ||
               e.kind == event_kind::mold_exited;
  return subject(e) + (pools ? of_pool(e, now) : of_worker(e, now));
}

}  // namespace supervisor
