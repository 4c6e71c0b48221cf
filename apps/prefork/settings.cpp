#include "settings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <stdexcept>

#include "gate_options.hpp"
#include "health_words.hpp"
#include "restart_words.hpp"
#include "scaling_words.hpp"
#include "values.hpp"

namespace app {

namespace {

namespace sup = supervisor;
using text = const std::string&;
using shape = setting::shape;
constexpr auto pool = setting::subject::pool, size = setting::subject::size,
               start = setting::subject::start, rollout = setting::subject::rollout,
               master = setting::subject::master;

template <auto Member>
bool in_spec(const run_request& a, const run_request& b) {
  return a.what.*Member == b.what.*Member;
}
template <auto Member>
bool in_recycling(const run_request& a, const run_request& b) {
  return a.what.recycle.*Member == b.what.recycle.*Member;
}
template <auto Member>
bool in_probes(const run_request& a, const run_request& b) {
  return std::ranges::equal(a.what.liveness, b.what.liveness, {}, Member, Member);
}
template <auto Member>
bool in_run(const run_request& a, const run_request& b) {
  return a.run.*Member == b.run.*Member;
}
template <auto Member>
bool in_log(const run_request& a, const run_request& b) {
  return a.run.log.*Member == b.run.log.*Member;
}

template <auto Member>
void keep(text, text value, run_request& r) {
  r.what.*Member = value;
}
template <auto Member>
void keep_duration(text called, text value, run_request& r) {
  r.what.*Member = duration_of(called, value);
}

// --- of a pool

void take_listener(text, text name, run_request& r) {
  if (!r.what.listeners) r.what.listeners.emplace();
  if (!name.empty()) r.what.listeners->push_back(name);
}

/// The first word is the program.
void take_word(text called, text word, run_request& r) {
  if (!r.what.is_function()) return static_cast<void>(r.what.arg(word));
  if (word.empty()) complain(fmt::format("{}: its first word, the program, is empty", called));
  r.what.function.clear();
  r.what.program = word;
}

/// It is what workers are that have no command.
void take_demo(text, text, run_request&) {}

bool same_command(const run_request& a, const run_request& b) {
  return in_spec<&sup::spec::function>(a, b) && in_spec<&sup::spec::program>(a, b) &&
         in_spec<&sup::spec::arguments>(a, b);
}

void take_workers(text called, text value, run_request& r) {
  r.prefork.workers = workers_of(called, value);
}
bool same_workers(const run_request& a, const run_request& b) {
  return a.prefork.workers == b.prefork.workers;
}

/// After the workers were said.
void take_scale(text called, text value, run_request& r) {
  static_cast<void>(scaling_of(called, value, r.prefork.workers));
  r.scale = value;
}
bool same_scale(const run_request& a, const run_request& b) { return a.scale == b.scale; }

void take_variable(text called, text value, run_request& r) {
  auto equals = value.find('=');
  if (equals == value.npos || equals == 0)
    complain(fmt::format("{}: \"{}\" is not NAME=VALUE", called, value));
  r.what.env(value.substr(0, equals), value.substr(equals + 1));
}

void take_limit(text called, text value, run_request& r) {
  r.what.limits.push_back(limit_of(called, value));
}

void take_umask(text called, text value, run_request& r) {
  auto mask = number_of<mode_t>(value, 8);
  if (!mask || *mask > 0777)
    complain(fmt::format("{}: \"{}\" is not octal, such as 027", called, value));
  r.what.umask = *mask;
}

bool same_readiness(const run_request& a, const run_request& b) {
  return in_spec<&sup::spec::ready>(a, b) && in_spec<&sup::spec::alive_for>(a, b) &&
         in_spec<&sup::spec::ready_probe>(a, b) && in_spec<&sup::spec::ready_descriptor>(a, b);
}

bool same_ladder(const run_request& a, const run_request& b) {
  return in_spec<&sup::spec::stop>(a, b);
}
void take_grace(text called, text value, run_request& r) {
  r.what.stop.front().wait = duration_of(called, value);
}
void take_stop_signal(text called, text value, run_request& r) {
  r.what.stop.front().signal = signal_of(called, value);
}
/// A step after the first; each has its time.
void take_stop_step(text called, text value, run_request& r) {
  auto colon = value.find(':');
  if (colon == value.npos) complain(fmt::format("{}: \"{}\" is not SIGNAL:TIME", called, value));
  sup::stop_step step;
  step.signal = signal_of(called, value.substr(0, colon));
  step.wait = duration_of(called, value.substr(colon + 1));
  r.what.stop.push_back(step);
}

/// One text is the policy, one with causes a rule of it; in any order.
void take_restart(text called, text value, run_request& r) {
  auto said = restart_of(called, {value});
  auto& policy = r.what.restart;
  auto rules = std::move(policy.rules);
  if (said.rules.empty())
    policy = std::move(said);
  else
    rules.push_back(std::move(said.rules.front()));
  policy.rules = std::move(rules);
}
void take_start_rate(text called, text value, run_request& r) {
  r.what.starts = start_rate_of(called, value);
}

/// "db", or "db:healthy"
void take_need(text called, text value, run_request& r) {
  auto colon = value.find(':');
  std::optional what(sup::need::ready);
  if (colon != value.npos) what = sup::parse_need(value.substr(colon + 1));
  if (!what)
    complain(fmt::format("{}: \"{}\" is not POOL, or POOL:started, :ready, :healthy or :completed",
                         called, value));
  r.what.after(value.substr(0, colon), *what);
}

sup::output output_of(text called, text value) {
  sup::output to;
  if (value == "inherit")
    to.where = sup::output::to::inherit;
  else if (value == "null")
    to.where = sup::output::to::null;
  else if (value.find('/') != value.npos)
    to = {sup::output::to::file, value};
  else if (value != "log")
    complain(
        fmt::format("{}: \"{}\" is not log, inherit, null or a path with a slash", called, value));
  return to;
}
void take_stdout(text called, text value, run_request& r) { r.what.out = output_of(called, value); }
void take_stderr(text called, text value, run_request& r) { r.what.err = output_of(called, value); }

void take_privileges(text, text value, run_request& r) {
  r.what.no_new_privileges = value == "true";
}

// --- of how a pool rolls, which is no reason to roll

template <auto Member>
bool in_plan(const run_request& a, const run_request& b) {
  return a.prefork.rollouts.plan.*Member == b.prefork.rollouts.plan.*Member;
}

template <auto Member, unsigned Least = 0>
void take_count(text called, text value, run_request& r) {
  r.prefork.rollouts.plan.*Member = count_of(called, value, Least);
}
template <auto Member>
void take_time(text called, text value, run_request& r) {
  r.prefork.rollouts.plan.*Member = duration_of(called, value);
}
/// These two after the canary was said.
void take_bake(text called, text value, run_request& r) {
  take_time<&sup::rollout_plan::bake>(called, value, r);
  if (auto fault = sup::find_fault(r.prefork.rollouts))
    complain(fmt::format("{}: {}", called, *fault));
}
void take_bake_check(text called, text value, run_request& r) {
  r.prefork.rollouts.healthy(probe_of(called, value));
  if (auto fault = sup::find_fault(r.prefork.rollouts))
    complain(fmt::format("{}: {}", called, *fault));
}
bool same_bake_check(const run_request& a, const run_request& b) {
  return a.prefork.rollouts.probe == b.prefork.rollouts.probe;
}

// --- of a master

void take_name(text called, text value, run_request& r) { r.run.name = name_of(called, value); }
void take_control(text, text value, run_request& r) { r.run.control = value; }
void take_pidfile(text, text value, run_request& r) { r.run.pidfile = value; }
void take_die_with_master(text, text value, run_request& r) {
  r.run.die_with_master = value == "true";
}
void take_drain_delay(text called, text value, run_request& r) {
  r.prefork.drain_delay = duration_of(called, value);
}
bool same_drain_delay(const run_request& a, const run_request& b) {
  return a.prefork.drain_delay == b.prefork.drain_delay;
}

void take_log_level(text called, text value, run_request& r) {
  auto level = sup::parse_severity(value);
  if (!level)
    complain(fmt::format("{}: \"{}\" is not debug, info, notice, warning or error", called, value));
  r.run.log.level = *level;
}
void take_log_format(text called, text value, run_request& r) {
  if (value != "text" && value != "json")
    complain(fmt::format("{}: \"{}\" is neither text nor json", called, value));
  r.run.log.json = value == "json";
}
void take_log_file(text, text value, run_request& r) { r.run.log.file = value; }

constexpr auto all = std::to_array<setting>({
    {"listeners", 0, nullptr, pool, shape::list, "names of the listeners that the workers get",
     take_listener, in_spec<&sup::spec::listeners>},
    {"command", 0, nullptr, pool, shape::list, "the program and its arguments", take_word,
     same_command},
    {"demo", 0, nullptr, pool, shape::flag, "the bundled demo instead of a command", take_demo,
     in_spec<&sup::spec::function>},
    {"workers", 'w', "N", size, shape::number, "how many workers; auto: one a CPU (default 2)",
     take_workers, same_workers},
    {"scale", 0, "HOW", size, shape::text,
     "static: that many (default); or at most that many, by load: spare:MIN-MAX idle ones, "
     "demand[:TIME] from none, backlog[:N] connections that wait",
     take_scale, same_scale},
    {"graceful-timeout", 0, "TIME", pool, shape::number,
     "how long a worker may finish what it has in flight before KILL (default 30)", take_grace,
     same_ladder},
    {"boot-timeout", 0, "TIME", pool, shape::number,
     "how long a worker may take to be ready (default 60)", keep_duration<&sup::spec::boot_timeout>,
     in_spec<&sup::spec::boot_timeout>},
    {"timeout", 0, "TIME", pool, shape::number,
     "end a worker of the demo whose event loop does not answer (default 0: never)",
     keep_duration<&sup::spec::hang_timeout>, in_spec<&sup::spec::hang_timeout>},
    {"request-timeout", 0, "TIME", pool, shape::number,
     "end a worker of the demo one of whose requests does not end (default 0: never)",
     keep_duration<&sup::spec::request_timeout>, in_spec<&sup::spec::request_timeout>},
    {"fd-store-max", 0, "N", pool, shape::number,
     "so many descriptors are kept that the workers of a slot store, FDSTORE=1 (default 16)",
     take_fd_store_max, in_spec<&sup::spec::fd_store_max>},
    {"stop-signal", 0, "SIG", pool, shape::text, "tells a worker to leave (default TERM)",
     take_stop_signal, same_ladder},
    {"stop-then", 0, "SIG:TIME", pool, shape::list,
     "when the graceful timeout has passed, this signal and so much time before KILL; repeatable",
     take_stop_step, same_ladder},
    {"user", 0, "USER", pool, shape::text, "workers run as this user, by name or number",
     keep<&sup::spec::user>, in_spec<&sup::spec::user>},
    {"group", 0, "GROUP", pool, shape::text, "and this group", keep<&sup::spec::group>,
     in_spec<&sup::spec::group>},
    {"no-new-privileges", 0, "", pool, shape::flag,
     "workers and what they run cannot gain privileges (set-user-ID programs)", take_privileges,
     in_spec<&sup::spec::no_new_privileges>},
    {"umask", 0, "MASK", pool, shape::text, "workers' umask, octal", take_umask,
     in_spec<&sup::spec::umask>},
    {"chdir", 0, "DIR", pool, shape::text, "workers' directory", keep<&sup::spec::directory>,
     in_spec<&sup::spec::directory>},
    {"env", 0, "K=V", pool, shape::table, "for the workers; repeatable", take_variable,
     in_spec<&sup::spec::environment>},
    {"limit", 0, "NAME=SOFT[:HARD]", pool, shape::table,
     "for the workers, such as nofile=4096 or core=unlimited; repeatable", take_limit,
     in_spec<&sup::spec::limits>},
    {"stdout", 0, "WHERE", pool, shape::text,
     "where it goes: log (line by line; default), inherit, null, or a file's path", take_stdout,
     in_spec<&sup::spec::out>},
    {"stderr", 0, "WHERE", pool, shape::text, "the same", take_stderr, in_spec<&sup::spec::err>},
    {"ready", 0, "WHEN", pool, shape::text,
     "when a worker counts as ready: notify (it sent READY=1), alive[:TIME] (it has lived for "
     "that), auto (whichever comes first; default), fd:N (it wrote a newline to descriptor N), or "
     "a "
     "PROBE that passes",
     take_readiness, same_readiness},
    {"liveness", 0, "PROBE", pool, shape::list,
     "end a worker that fails it: http://ADDR/PATH, tcp://ADDR, \"exec:PROGRAM ARGS\", log:TEXT or "
     "heartbeat; repeatable",
     take_liveness, same_probes},
    {"liveness-period", 0, "TIME", pool, shape::number, "from one look to the next (default 10)",
     take_liveness_period, in_probes<&sup::probe::period>},
    {"liveness-timeout", 0, "TIME", pool, shape::number, "how long an answer may take (default 1)",
     take_liveness_timeout, in_probes<&sup::probe::timeout>},
    {"liveness-failures", 0, "N", pool, shape::number, "so many in a row end a worker (default 3)",
     take_liveness_failures, in_probes<&sup::probe::failures>},
    {"liveness-start", 0, "TIME", pool, shape::number,
     "how long a new worker is not looked at (default 0)", take_liveness_start,
     in_probes<&sup::probe::start>},
    {"max-requests", 0, "N", pool, shape::number,
     "replace a worker of the demo that has begun so many", take_max_requests,
     in_recycling<&sup::recycle_policy::max_requests>},
    {"max-age", 0, "TIME", pool, shape::number, "replace a worker that has lived for so long",
     take_max_age, in_recycling<&sup::recycle_policy::max_age>},
    {"max-memory", 0, "SIZE", pool, shape::number,
     "replace a worker that uses more (PSS) for half a minute, such as 512M or 2G", take_max_memory,
     in_recycling<&sup::recycle_policy::max_memory>},
    {"recycle-jitter", 0, "F", pool, shape::number,
     "each worker draws its limits of requests and age from so much below them (default 0.1)",
     take_recycle_jitter, in_recycling<&sup::recycle_policy::jitter>},
    {"recycle-at-once", 0, "N", pool, shape::number,
     "so many workers may be under replacement for that at a time (default 1)",
     take_recycle_at_once, in_recycling<&sup::recycle_policy::at_once>},
    {"restart", 0, "[CAUSES:]WORDS", pool, shape::list,
     "when a worker that is gone is started again, such as transient,give-up=5/60s; with causes, "
     "after those; repeatable: see doc/restart.md (default: for ever, backing off)",
     take_restart, in_spec<&sup::spec::restart>},
    {"start-rate", 0, "N[/BURST]", pool, shape::number,
     "start at most so many workers a second (default 100), and at once", take_start_rate,
     in_spec<&sup::spec::starts>},
    {"needs", 0, nullptr, start, shape::list, "pools without which no worker is started", take_need,
     in_spec<&sup::spec::needs>},
    {"canary", 0, "N", rollout, shape::number,
     "of a reload: new workers that come first; 0: none (default 1)",
     take_count<&sup::rollout_plan::canary>, in_plan<&sup::rollout_plan::canary>},
    {"bake", 0, "TIME", rollout, shape::number,
     "how long those serve, watched, before an old one leaves (default 0)", take_bake,
     in_plan<&sup::rollout_plan::bake>},
    {"bake-check", 0, "PROBE", rollout, shape::text,
     "which they pass meanwhile, once a second, such as http://ADDR/PATH (default: none)",
     take_bake_check, same_bake_check},
    {"batch", 0, "N", rollout, shape::number,
     "after those, so many are replaced at a time (default 1)",
     take_count<&sup::rollout_plan::batch, 1>, in_plan<&sup::rollout_plan::batch>},
    {"max-unavailable", 0, "N", rollout, shape::number,
     "0: new ones come first; N: old ones leave first, N at most are missing (default 0)",
     take_count<&sup::rollout_plan::max_unavailable>, in_plan<&sup::rollout_plan::max_unavailable>},
    {"progress-deadline", 0, "TIME", rollout, shape::number,
     "give a reload up where nothing moves for so long; 0: never (default 10m)",
     take_time<&sup::rollout_plan::progress_deadline>,
     in_plan<&sup::rollout_plan::progress_deadline>},
    {"keep-generations", 0, "N", rollout, shape::number,
     "generations kept for rollout undo (default 1)",
     take_count<&sup::rollout_plan::keep_generations>,
     in_plan<&sup::rollout_plan::keep_generations>},
    {"name", 0, "NAME", master, shape::text, "of this master (default prefork)", take_name,
     in_run<&sup::run_options::name>},
    {"control", 0, "PATH", master, shape::text,
     "the control socket (default: by name, in $XDG_RUNTIME_DIR/prefork or /run/prefork)",
     take_control, in_run<&sup::run_options::control>},
    {"pidfile", 0, "PATH", master, shape::text, "write the main pid there while running",
     take_pidfile, in_run<&sup::run_options::pidfile>},
    {"die-with-master", 0, "", master, shape::flag,
     "the workers end with the master, and it is not started again", take_die_with_master,
     in_run<&sup::run_options::die_with_master>},
    {"drain-delay", 0, "TIME", master, shape::number,
     "after TERM, serve on for this long (default 0)", take_drain_delay, same_drain_delay},
    {"log-level", 0, "LEVEL", master, shape::text,
     "debug, info, notice, warning or error (default info)", take_log_level,
     in_log<&sup::log_options::level>},
    {"log-format", 0, "FORMAT", master, shape::text, "text (default) or json", take_log_format,
     in_log<&sup::log_options::json>},
    {"log-file", 0, "PATH", master, shape::text, "instead of stderr; reopened on USR1",
     take_log_file, in_log<&sup::log_options::file>},
});

/// Indices of words, as they take effect.
using order = std::vector<std::size_t>;

order in_order(const std::vector<word>& words) {
  order indices(words.size());
  std::iota(indices.begin(), indices.end(), 0);
  std::ranges::sort(indices, {}, [&](std::size_t i) { return std::pair(words[i].what, i); });
  return indices;
}

run_request without(const std::vector<word>& words, const order& said, std::size_t left_out,
                    run_request base) {
  for (auto i : said)
    if (i != left_out) words[i].what->take(words[i].called, words[i].text, base);
  return base;
}

/// The one whose absence mends the fault, or at least changes it; the last of those.
order::iterator find_culprit(const std::vector<word>& words, order& said, const run_request& base,
                             const inspection& inspect, const std::string& fault) {
  for (auto it = said.end(); it != said.begin();) {
    --it;
    if (inspect(without(words, said, *it, base).what) != fault) return it;
  }
  return said.begin();
}

}  // namespace

std::span<const setting> settings() { return all; }

const setting& find_setting(std::string_view name) {
  return *std::ranges::find(all, name, [](auto& s) { return std::string_view(s.name); });
}

std::vector<objection> say(const std::vector<word>& words, run_request& into,
                           const inspection& inspect) {
  std::vector<objection> objections;
  const auto base = into;
  auto said = in_order(words);
  std::erase_if(said, [&](std::size_t i) {
    try {
      words[i].what->take(words[i].called, words[i].text, into);
      return false;
    } catch (const std::invalid_argument& error) {
      objections.emplace_back(i, error.what());
      return true;
    }
  });
  for (auto fault = inspect(into.what); fault && !said.empty(); fault = inspect(into.what)) {
    auto culprit = find_culprit(words, said, base, inspect, *fault);
    objections.emplace_back(*culprit, fmt::format("{}: {}", words[*culprit].called, *fault));
    said.erase(culprit);
    into = without(words, said, words.size(), base);
  }
  return objections;
}

}  // namespace app
