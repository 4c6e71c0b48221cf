#include "supervision/saved.hpp"

#include <algorithm>

#include "host/archive.hpp"

// The numbers are the schema: one that was given is never given another meaning.

namespace supervisor {

template <typename Archive>
void fields(Archive& a, causes& c) {
  a(1, c.codes_)(2, c.signals_)(3, c.causes_);
}

template <typename Archive>
void fields(Archive& a, restart_policy& p);

template <typename Archive>
void fields(Archive& a, restart_rule& r) {
  a(1, r.when)(2, r.answer);
}

template <typename Archive>
void fields(Archive& a, restart_policy& p) {
  a(1, p.type)(2, p.curve)(3, p.immediate)(4, p.base)(5, p.cap)(6, p.jitter)(7, p.healthy_after);
  a(8, p.intensity)(9, p.period)(10, p.then)(11, p.trial_every)(12, p.rules);
}

template <typename Archive>
void fields(Archive& a, start_rate& r) {
  a(1, r.burst)(2, r.per_second);
}

template <typename Archive>
void fields(Archive& a, recycle_policy& p) {
  a(1, p.max_requests)(2, p.max_age)(3, p.max_memory)(4, p.jitter)(5, p.sampling);
  a(6, p.samples)(7, p.at_once);
}

template <typename Archive>
void fields(Archive& a, probe& p) {
  a(1, p.how)(2, p.target)(3, p.path)(4, p.arguments)(5, p.period)(6, p.timeout);
  a(7, p.failures)(8, p.successes)(9, p.start);
}

template <typename Archive>
void fields(Archive& a, output& o) {
  a(1, o.where)(2, o.path);
}

template <typename Archive>
void fields(Archive& a, limit& l) {
  a(1, l.name)(2, l.soft)(3, l.hard);
}

template <typename Archive>
void fields(Archive& a, stop_step& s) {
  a(1, s.signal)(2, s.wait);
}

template <typename Archive>
void fields(Archive& a, requirement& r) {
  a(1, r.pool)(2, r.what);
}

template <typename Archive>
void fields(Archive& a, spec& s) {
  a(1, s.function)(2, s.program)(3, s.arguments)(4, s.environment)(5, s.directory)(6, s.umask);
  a(7, s.user)(8, s.group)(9, s.limits)(10, s.no_new_privileges)(11, s.out)(12, s.err);
  a(13, s.listeners)(14, s.ready)(15, s.alive_for)(16, s.boot_timeout)(17, s.stop);
  a(18, s.hang_timeout)(19, s.request_timeout)(20, s.restart)(21, s.needs)(22, s.starts);
  a(23, s.recycle)(24, s.ready_probe)(25, s.liveness)(26, s.ready_descriptor);
  a(27, s.fd_store_max);
}

template <typename Archive>
void fields(Archive& a, exit_status& s) {
  auto how = s.how();
  int value = s.code().value_or(s.signal().value_or(0));
  bool core = s.core_dumped();
  a(1, how)(2, value)(3, core);
  if constexpr (!Archive::reads) return;
  if (how == exit_status::kind::exited)
    s = exit_status::exited(value);
  else if (how == exit_status::kind::signalled)
    s = exit_status::signalled(value, core);
  else
    s = exit_status::lost();
}

template <typename Archive>
void fields(Archive& a, slot_state& s) {
  a(1, s.id)(2, s.number)(3, s.generation)(4, s.replaces)(5, s.retiring)(6, s.now)(7, s.deadline);
  a(8, s.launches)(9, s.child)(10, s.pid)(11, s.started_at)(12, s.ready_at)(13, s.status);
  a(14, s.stopped_for)(15, s.step)(16, s.lot)(17, s.spent)(18, s.at_once)(19, s.ill);
  a(20, s.failures)(21, s.last_delay)(22, s.window)(23, s.half_open)(24, s.escalates);
  a(25, s.restarts)(26, s.last_cause)(27, s.last_exit)(28, s.last_failure)(29, s.last_exit_at);
  a(30, s.last_event)(31, s.reloading)(32, s.reloads);
}

template <typename Archive>
void fields(Archive& a, rollout_plan& p) {
  a(1, p.canary)(2, p.bake)(3, p.ask_every)(4, p.batch)(5, p.max_unavailable);
  a(6, p.progress_deadline)(7, p.keep_generations);
}

template <typename Archive>
void fields(Archive& a, rollout_state& r) {
  a(1, r.plan)(2, r.opened)(3, r.bake)(4, r.bake_until)(5, r.judged)(6, r.baked)(7, r.paused);
  a(8, r.progress_by)(9, r.trouble)(10, r.trouble_event);
}

template <typename Archive>
void fields(Archive& a, rollout_record& r) {
  a(1, r.id)(2, r.generation)(3, r.what)(4, r.began)(5, r.ended)(6, r.end)(7, r.why);
}

template <typename Archive>
void fields(Archive& a, trouble& t) {
  a(1, t.slot_id)(2, t.text);
}

template <typename Archive>
void fields(Archive& a, start_budget& b) {
  a(1, b.repaid);
}

template <typename Archive>
void fields(Archive& a, departure& d) {
  a(1, d.slot_id)(2, d.launch)(3, d.slot)(4, d.generation)(5, d.event);
}

template <typename Archive>
void fields(Archive& a, pool_state& p) {
  a(1, p.version)(2, p.name)(3, p.target)(4, p.drained)(5, p.stopping)(6, p.quick)(7, p.stopped);
  a(8, p.escalated)(9, p.held)(10, p.generation)(11, p.committed)(12, p.rolling)(13, p.roll);
  a(14, p.last_generation)(15, p.kept)(16, p.history)(17, p.last_trouble)(18, p.last_slot_id);
  a(19, p.budget)(20, p.last_command)(21, p.slots)(22, p.departures);
}

template <typename Archive>
void fields(Archive& a, member_state& m) {
  a(1, m.name)(2, m.type)(3, m.significant)(4, m.kind)(5, m.now)(6, m.wanted)(7, m.recycled);
  a(8, m.troubled)(9, m.failed_start)(10, m.asked)(11, m.added)(12, m.leaving)(13, m.deadline);
  a(14, m.due)(15, m.starts)(16, m.last)(17, m.how)(18, m.ended_at)(19, m.last_event);
}

template <typename Archive>
void fields(Archive& a, group_state& g) {
  a(1, g.version)(2, g.name)(3, g.restarts)(4, g.most_restarts)(5, g.period)(6, g.shutdown);
  a(7, g.starts)(8, g.budget)(9, g.now)(10, g.window)(11, g.last)(12, g.by)(13, g.why);
  a(14, g.failed_child)(15, g.failure)(16, g.last_event)(17, g.members);
}

namespace {

using numbered_spec = std::pair<std::uint64_t, spec>;

}  // namespace

template <typename Archive>
void fields(Archive& a, saved_pool& p) {
  std::vector<numbered_spec> specs;
  for (auto& [generation, what] : p.specs) specs.emplace_back(generation, *what);
  a(1, p.state)(2, specs);
  if constexpr (!Archive::reads) return;
  for (auto& [generation, what] : specs)
    p.specs.emplace(generation, std::make_shared<const spec>(std::move(what)));
}

template <typename Archive>
void fields(Archive& a, launch_error& e) {
  a(1, e.stage)(2, e.error)(3, e.what);
}

/// Without the report, which no state takes anything from.
template <typename Archive>
void fields(Archive& a, event& e) {
  std::optional<rollout_plan> plan;
  if (e.plan) plan = *e.plan;
  a(1, e.id)(2, e.cause)(3, e.at)(4, e.wall)(5, e.kind)(6, e.pool)(7, e.group)(8, e.member);
  a(9, e.slot_id)(10, e.slot)(11, e.generation)(12, e.child)(13, e.pid)(14, e.uid)(15, e.count);
  a(16, e.number)(17, e.deadline)(18, e.why)(19, e.exit)(20, e.next)(21, e.launch)(22, plan);
  a(23, e.text);
  if (Archive::reads && plan) e.plan = std::make_shared<const rollout_plan>(std::move(*plan));
}

template <typename Archive>
void fields(Archive& a, saved_step& c) {
  std::optional<spec> program;
  if (c.program) program = *c.program;
  a(1, c.what)(2, program)(3, c.beside);
  if (Archive::reads && program) c.program = std::make_shared<const spec>(std::move(*program));
}

template <typename Archive>
void fields(Archive& a, saved_supervisor& s) {
  a(1, s.last_event)(2, s.pools)(3, s.stopping)(4, s.quick)(5, s.groups);
  a(6, s.beside);
}

namespace archive {

template <>
spec blank<spec>() {
  return spec(std::string());
}
template <>
numbered_spec blank<numbered_spec>() {
  return {0, spec(std::string())};
}
template <>
probe blank<probe>() {
  return probe::heartbeat();
}
template <>
requirement blank<requirement>() {
  return {std::string(), need::ready};
}
template <>
restart_rule blank<restart_rule>() {
  return {causes(), restart_policy()};
}

}  // namespace archive

std::string write(const saved_supervisor& all) { return archive::write(all); }

std::string write(const saved_step& step) { return archive::write(step); }

saved_supervisor read_supervisor(std::string_view bytes) {
  saved_supervisor all;
  archive::read(bytes, all);
  return all;
}

saved_supervisor read_supervisor(const std::vector<std::string>& parts) {
  auto all = read_supervisor(parts.front());
  for (auto part = parts.begin() + 1; part != parts.end(); ++part) take_in(all, read_step(*part));
  return all;
}

saved_step read_step(std::string_view bytes) {
  saved_step change;
  archive::read(bytes, change);
  return change;
}

void take_in(saved_supervisor& all, const saved_step& change) {
  auto& e = change.what;
  all.last_event = std::max(all.last_event, e.id);
  if (change.beside) all.beside = *change.beside;
  for (auto& p : all.pools) {
    if (p.state.name != e.pool) continue;
    if (change.program) p.specs.insert_or_assign(e.generation, change.program);
    apply(p.state, e);
  }
  for (auto& g : all.groups)
    if (g.name == e.group) apply(g, e);
}

}  // namespace supervisor
