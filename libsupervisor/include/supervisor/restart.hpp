// When a worker that is gone is started again: a pure decision.
#pragma once

#include <bitset>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "supervisor/exit_report.hpp"
#include "supervisor/time.hpp"

namespace supervisor {

/// A set of the ways in which a worker can end: `causes::exit_codes(64, 78) |
/// causes::signal(SIGSEGV)`.
class causes {
 public:
  /// None.
  causes() = default;
  /// All of them.
  static causes any();
  /// It left by itself with this code, from 0 to 255; anything else is no code, and in no set.
  static causes exit_code(int code) { return exit_codes(code, code); }
  /// With one of these, both ends included.
  static causes exit_codes(int first, int last);
  /// It died of this signal, whoever sent it.
  static causes signal(int number);
  /// It died of any signal.
  static causes any_signal();
  /// For this cause: out_of_memory, hang, boot_timeout, launch_failure, dependency, ...
  static causes of(exit_cause);
  /// It left by itself with exit 0.
  static causes clean_exit() { return of(exit_cause::finished); }

  /// Those of either.
  friend causes operator|(causes a, const causes& b) {
    a.codes_ |= b.codes_;
    a.signals_ |= b.signals_;
    a.causes_ |= b.causes_;
    return a;
  }
  /// Whether an end for `why`, by `how`, is one of them.
  bool contain(exit_cause why, const exit_status& how) const noexcept;
  friend bool operator==(const causes&, const causes&) = default;

 private:
  template <typename Archive>
  friend void fields(Archive&, causes&);
  std::bitset<256> codes_;
  std::bitset<65> signals_;
  std::bitset<32> causes_;
};

/// Whether a worker that is gone is started again at all, in OTP's words.
enum class restart_type : std::uint8_t {
  permanent,  ///< always
  transient,  ///< unless it left by itself with exit 0
  temporary,  ///< never
};

/// How a delay grows with the failures in a row.
enum class restart_curve : std::uint8_t {
  fixed,        ///< base, base, base
  linear,       ///< base, 2 base, 3 base
  exponential,  ///< base, 2 base, 4 base
  decorrelated  ///< anything from base to three times the delay before; `jitter` does not matter
};

/// What a slot does that has failed more often than its policy lets it.
enum class restart_end : std::uint8_t {
  give_up,    ///< rests, until somebody restarts it
  half_open,  ///< tries once in a while; a trial that gets healthy ends it
  escalate,   ///< its pool ends, for the group that it is in; without a group it rests
};

struct restart_rule;

/// When a slot's next worker is started. By default for ever: two failures in a row are answered at
/// once, those that follow back off exponentially from 1 s to 60 s. Reads as it is written:
///
///   spec.restart.transient().exponential(1s, 60s).give_up(5, 60s)
///       .on(causes::exit_code(78), restart_policy().give_up())
struct restart_policy {
  restart_policy() = default;
  restart_type type = restart_type::permanent;       ///< whether at all
  restart_curve curve = restart_curve::exponential;  ///< of the delays
  unsigned immediate = 2;                   ///< failures in a row that are answered without delay
  duration base = std::chrono::seconds(1);  ///< the first delay after those
  duration cap = std::chrono::seconds(60);  ///< no delay is longer (before jitter)
  double jitter = 0.25;  ///< a delay is spread over [1 - jitter, 1 + jitter] of itself
  /// A worker that was ready for this long was healthy: its exit begins a new row of failures, and
  /// ends a trial well.
  duration healthy_after = std::chrono::seconds(1);
  /// So many failures are answered within `period`, healthy or not; one more, and `then` comes.
  /// This is OTP's intensity. Empty: for ever.
  std::optional<unsigned> intensity;
  duration period{};                        ///< of the intensity
  restart_end then = restart_end::give_up;  ///< what follows beyond the intensity
  duration trial_every{};                   ///< half_open: from a failure to the next trial
  /// The first whose causes contain an exit answers it, in place of all the above.
  std::vector<restart_rule> rules;

  /// Always starts again.
  restart_policy& permanent() { return of_type(restart_type::permanent); }
  /// Starts again unless it left with exit 0.
  restart_policy& transient() { return of_type(restart_type::transient); }
  /// Never starts again.
  restart_policy& temporary() { return of_type(restart_type::temporary); }
  /// The same delay, from the first failure on.
  restart_policy& fixed(duration delay) { return along(restart_curve::fixed, delay, delay); }
  /// Each delay `first` longer, from the first failure on.
  restart_policy& linear(duration first, duration most) {
    return along(restart_curve::linear, first, most);
  }
  /// Each delay twice as long, from the first failure on.
  restart_policy& exponential(duration first, duration most) {
    return along(restart_curve::exponential, first, most);
  }
  /// By chance, and longer with each failure, from the first on.
  restart_policy& decorrelated(duration first, duration most) {
    return along(restart_curve::decorrelated, first, most);
  }
  /// Gives up at a failure beyond `most` within `within`; without numbers, at the first.
  restart_policy& give_up(unsigned most = 0, duration within = std::chrono::seconds(1)) {
    return beyond(restart_end::give_up, most, within);
  }
  /// Beyond `most` within `within` there is one trial, `every` after each failure.
  restart_policy& half_open(unsigned most, duration within, duration every) {
    trial_every = every;
    return beyond(restart_end::half_open, most, within);
  }
  /// Beyond `most` within `within` it is for the group to decide.
  restart_policy& escalate(unsigned most = 0, duration within = std::chrono::seconds(1)) {
    return beyond(restart_end::escalate, most, within);
  }
  /// A worker that was ready for so long was healthy.
  restart_policy& healthy(duration after) {
    healthy_after = after;
    return *this;
  }
  /// One rule more: `when` it ends like this, `answer` decides.
  restart_policy& on(causes when, restart_policy answer);

  /// What decides after such an end: the answer of a rule, or this.
  const restart_policy& answer_to(exit_cause why, const exit_status& how) const noexcept;
  /// Part by part.
  bool operator==(const restart_policy&) const;

 private:
  restart_policy& of_type(restart_type t) {
    type = t;
    return *this;
  }
  restart_policy& along(restart_curve c, duration first, duration most) {
    curve = c;
    base = first;
    cap = most;
    immediate = 0;
    return *this;
  }
  restart_policy& beyond(restart_end end, unsigned most, duration within) {
    then = end;
    intensity = most;
    period = within;
    return *this;
  }
};

/// An answer of its own to some ways to end.
struct restart_rule {
  /// `a` answers an end that `w` contains.
  restart_rule(causes w, restart_policy a) : when(w), answer(std::move(a)) {}
  causes when;            ///< to these
  restart_policy answer;  ///< this one
  friend bool operator==(const restart_rule&, const restart_rule&) = default;
};

/// What the decision looks at.
struct restart_facts {
  exit_cause cause = exit_cause::none;  ///< why it is gone
  exit_status how;                      ///< and by what
  bool never_ran = false;               ///< it could not be made
  bool was_ready = false;               ///< it served, once
  duration ready_for{};                 ///< how long it had been ready
  time_point now{};                     ///< of the exit
  std::uint64_t random = 0;             ///< uniformly random bits, for the jitter

  unsigned failures = 0;               ///< failures in a row before this exit
  duration last_delay{};               ///< what was waited before its start
  std::span<const time_point> window;  ///< when the last failures were, oldest first
  bool half_open = false;              ///< it was a trial
};

/// What becomes of a slot whose worker is gone.
enum class verdict : std::uint8_t {
  again,      ///< started again, after the delay
  trial,      ///< the same, as a trial
  finished,   ///< it has done what it was for, and rests
  given_up,   ///< it rests
  escalated,  ///< it rests, and its pool ends
};
/// "given_up"
std::string_view to_string(verdict) noexcept;

/// When to start the next one.
struct restart_decision {
  verdict next = verdict::again;  ///< whether to
  unsigned failures = 0;          ///< failures in a row, this one included
  duration delay{};               ///< zero: at once; where it rests, what it would have been
  /// How many of the last failures are to be remembered, this one included; 0: it is none. Beyond
  /// the intensity: how many there were within the period.
  unsigned window = 0;
  friend bool operator==(const restart_decision&, const restart_decision&) = default;
};

/// Only what a program does itself counts as a failure: a TERM or KILL from outside, a recycle, a
/// scale-down never delay the next start. Before it is ready, or within `healthy_after` of it, a
/// failure adds to the row that the delay grows with; to the intensity it adds at any time.
restart_decision decide_restart(const restart_policy&, const restart_facts&) noexcept;

/// How many starts a pool makes, whatever the reasons: `burst` at once, `per_second` thereafter.
struct start_rate {
  unsigned burst = 0;       ///< 0: 100, or twice the pool's size, if that is more
  double per_second = 100;  ///< in the long run; 0.001 at least
  friend bool operator==(const start_rate&, const start_rate&) = default;
};

/// What is left of a start_rate: a token bucket, as the time at which all that was taken is repaid.
struct start_budget {
  time_point repaid{};  ///< at which the bucket is full again
  friend bool operator==(const start_budget&, const start_budget&) = default;
};
/// When the start may happen that `ahead` others come before: `now`, or the time a token will be
/// there. `target` is the pool's size.
time_point next_start(const start_budget&, const start_rate&, unsigned target, unsigned ahead,
                      time_point now) noexcept;
/// The budget after a start now.
start_budget take_start(const start_budget&, const start_rate&, time_point now) noexcept;

}  // namespace supervisor
