#include "simulation/simulated_processes.hpp"

#include <algorithm>
#include <csignal>

namespace supervisor {

namespace {

bool asks_to_stop(int signal) { return signal == SIGTERM || signal == SIGINT || signal == SIGQUIT; }

/// Signals that no worker handles; every other one is taken to have a handler
/// or to be ignored.
bool ends_at_once(int signal) {
  for (int fatal : {SIGKILL, SIGHUP, SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS,
                    SIGXCPU, SIGXFSZ})
    if (signal == fatal) return true;
  return false;
}

/// When what grows from `now` reaches the limit; zero and less: it is there.
duration until_reached(std::int64_t now, std::int64_t a_second, std::int64_t limit) {
  auto seconds = static_cast<double>(limit - now) / static_cast<double>(a_second);
  return std::chrono::nanoseconds(static_cast<std::int64_t>(seconds * 1e9));
}

}  // namespace

timer_id simulated_processes::in(duration d, std::function<void()> work) {
  return loop_.call_at(loop_.after(d), std::move(work), owner::world);
}

// Programs.

void simulated_processes::open(const std::string& pool, std::uint64_t generation,
                               const program_script& plan, host::observer changed) {
  program_key key{pool, generation};
  auto& program = programs_[key];
  program.changed = std::move(changed);
  if (program.view.open || program.opening) return;
  program.view = {};
  program.opening = in(plan.opens_after, [this, key, fails = plan.fails] { settle(key, fails); });
}

program_view simulated_processes::program(const std::string& pool, std::uint64_t generation) const {
  auto it = programs_.find({pool, generation});
  return it == programs_.end() ? program_view{} : it->second.view;
}

void simulated_processes::settle(const program_key& key, std::optional<launch_error> failed) {
  auto& it = programs_.at(key);
  it.opening = 0;
  it.view.open = !failed;
  it.view.failed = std::move(failed);
  loop_.post([this, key] {
    auto found = programs_.find(key);
    if (found == programs_.end()) return;
    if (auto changed = found->second.changed) changed();
  });
  for (auto& [id, c] : children_)
    if (c.view.key.pool == key.first && request(id).generation == key.second) begin(id);
}

void simulated_processes::close(const std::string& pool, std::uint64_t generation) {
  auto it = programs_.find({pool, generation});
  if (it == programs_.end()) return;
  loop_.cancel(it->second.opening);
  programs_.erase(it);
  for (auto& [id, c] : children_) {
    if (c.begun || c.view.key.pool != pool || request(id).generation != generation) continue;
    c.begun = true;
    in({}, [this, which = id] { fail(which, {"mold", ECANCELED, "the program was closed"}); });
  }
}

// The life of a child.

/// The child if it has a pid and is not dead.
simulated_processes::child* simulated_processes::living(child_id id) {
  auto it = children_.find(id);
  if (it == children_.end() || it->second.view.pid == 0 || it->second.dead) return nullptr;
  return &it->second;
}
const simulated_processes::child* simulated_processes::living(child_id id) const {
  return const_cast<simulated_processes*>(this)->living(id);
}

void simulated_processes::notify(child_id id) {
  auto& plan = children_.at(id).plan;
  for (int times = plan.tells_twice ? 2 : 1; times > 0; --times)
    loop_.post([this, id] {
      auto it = children_.find(id);
      if (it == children_.end()) return;
      if (auto changed = it->second.changed) changed();
    });
}

child_id simulated_processes::launch(const launch_request& request, process_script plan,
                                     host::observer changed) {
  requests_.push_back(request);
  child_id id = requests_.size();
  auto& c = children_[id];
  ids_[request.key] = id;
  c.view.id = id;
  c.view.key = request.key;
  c.plan = std::move(plan);
  c.changed = std::move(changed);
  begin(id);
  return id;
}

void simulated_processes::begin(child_id id) {
  auto& c = children_.at(id);
  auto found = programs_.find({c.view.key.pool, request(id).generation});
  if (c.begun || found == programs_.end()) return;
  const auto& program = found->second.view;
  if (!program.open && !program.failed) return;
  c.begun = true;
  auto failed = program.failed ? program.failed : c.plan.launch_fails;
  auto takes = program.failed ? duration{} : c.plan.launch_takes;
  in(takes, [this, id, failed] {
    auto it = children_.find(id);
    if (it == children_.end() || it->second.view.failed) return;  // withdrawn
    failed ? fail(id, *failed) : start(id);
  });
}

void simulated_processes::withdraw(child_id id) {
  auto it = children_.find(id);
  if (it == children_.end() || it->second.view.pid != 0 || it->second.view.failed) return;
  fail(id, {"mold", ECANCELED, "told to leave before it was made"});
}

void simulated_processes::fail(child_id id, launch_error why) {
  auto& c = children_.at(id);
  c.view.failed = std::move(why);
  over(c);
}

void simulated_processes::start(child_id id) {
  auto& c = children_.at(id);
  auto& plan = c.plan;
  c.view.pid = static_cast<pid_t>(1000 + id);
  c.started = loop_.now();
  ++made_;
  notify(id);
  if (plan.ready_after)
    in(*plan.ready_after, [this, id] {
      auto* alive = living(id);
      if (!alive) return;
      alive->view.status = alive->plan.status;
      alive->ready_at = loop_.now();
      if (!alive->plan.stores.empty())
        stored_[{alive->view.key.pool, request(id).slot}] = alive->plan.stores;
      change(id, &child_view::ready);
    });
  if (plan.reloads_after) in(*plan.reloads_after, [this, id] { reload(id); });
  if (plan.hangs_after) in(*plan.hangs_after, [this, id] { change(id, &child_view::hung); });
  if (plan.spent_after) in(*plan.spent_after, [this, id] { change(id, &child_view::spent); });
  if (plan.overdue_after) in(*plan.overdue_after, [this, id] { change(id, &child_view::overdue); });
  if (plan.exits_after)
    in(*plan.exits_after,
       [this, id, how = plan.exit_with, memory = plan.out_of_memory] { die(id, how, memory); });
  if (plan.memory_limit_kib > 0 && plan.leaks_kib > 0)
    in(until_reached(plan.memory_kib, plan.leaks_kib, plan.memory_limit_kib),
       [this, id] { die(id, exit_status::signalled(SIGKILL), true); });
}

void simulated_processes::reload(child_id id) {
  auto* c = living(id);
  if (!c) return;
  auto end = [this, id] {
    auto* alive = living(id);
    if (!alive) return;
    alive->view.reloading = false;
    notify(id);
  };
  ++c->view.reloads;
  c->view.reloading = true;
  // Both words in one batch.
  if (c->plan.reload_takes == duration{}) return end();
  notify(id);
  in(c->plan.reload_takes, end);
}

void simulated_processes::change(child_id id, bool child_view::* fact) {
  auto* c = living(id);
  if (!c || c->view.*fact) return;
  c->view.*fact = true;
  notify(id);
}

bool simulated_processes::signal(child_id id, int number) {
  auto it = children_.find(id);
  if (it == children_.end() || it->second.view.pid == 0 || it->second.view.exited) return false;
  auto& c = it->second;
  if (c.plan.traced > duration{} && number != SIGKILL)
    in(c.plan.traced, [this, id, number] { deliver(id, number); });
  else
    deliver(id, number);
  return true;
}

void simulated_processes::deliver(child_id id, int number) {
  auto* c = living(id);
  if (!c) return;
  if (ends_at_once(number))
    in({}, [this, id, number] { die(id, exit_status::signalled(number), false); });
  else if (asks_to_stop(number) && !c->plan.ignores_stop && !c->view.hung && c->drains_at == never)
    drain(*c);
}

void simulated_processes::drain(child& c) {
  auto id = c.view.id;
  c.drains_at = loop_.now();
  auto takes = c.plan.drain_takes;
  scoreboard board;
  count_requests(c, board);
  if (board.in_flight) takes = std::max(takes, c.plan.service_time - board.latest.age);
  auto until = c.plan.asks_for > duration{} ? later(loop_.now(), c.plan.asks_for) : time_point{};
  in({}, [this, id, until] {
    if (auto* leaving = living(id)) leaving->view.asks_until = until;
    change(id, &child_view::stopping);
  });
  in(takes, [this, id] { die(id, exit_status::exited(0), false); });
}

void simulated_processes::die(child_id id, exit_status how, bool out_of_memory) {
  auto* c = living(id);
  if (!c) return;
  c->dead = true;
  auto seen = [this, id, how, out_of_memory] {
    auto& dead = children_.at(id);
    dead.view.exited = how;
    dead.view.out_of_memory = out_of_memory;
    over(dead);
  };
  if (c->plan.traced == duration{}) return seen();
  notify(id);
  in(c->plan.traced, seen);
}

void simulated_processes::over(child& c) {
  auto report = std::make_shared<exit_report>();
  if (c.view.pid) {
    report->pid = c.view.pid;
    report->uptime = loop_.now() - c.started;
    report->status = *c.view.exited;
    report->max_rss_kib = memory(c);
  }
  report->launch = c.view.failed;
  notify(c.view.id);
  in(c.plan.reap_takes, [this, id = c.view.id, report] { reap(id, report); });
}

void simulated_processes::reap(child_id id, const std::shared_ptr<exit_report>& report) {
  auto& c = children_.at(id);
  c.reported = true;
  reports_.emplace_back(c.view.key, report);
  if (c.forgotten) erase(id);
  send_reports();
}

void simulated_processes::erase(child_id id) {
  ids_.erase(children_.at(id).view.key);
  children_.erase(id);
}

void simulated_processes::send_reports() {
  while (reported_ && !reports_.empty()) {
    auto next = std::move(reports_.front());
    reports_.pop_front();
    if (auto id = ids_.find(next.first); id != ids_.end())
      children_.at(id->second).view.reported = true;
    auto tell = reported_;
    tell(next.first, next.second);
  }
}

// What the supervisor asks and tells.

child_id simulated_processes::find(const child_key& key) const {
  auto it = ids_.find(key);
  return it == ids_.end() ? 0 : it->second;
}

void simulated_processes::watch(child_id id, host::observer changed) {
  auto& c = children_.at(id);
  c.changed = std::move(changed);
  c.forgotten = false;
}

void simulated_processes::forget(child_id id) {
  auto it = children_.find(id);
  if (it == children_.end()) return;
  auto dropped = std::exchange(it->second.changed, nullptr);
  it->second.forgotten = true;
  if (it->second.reported) erase(id);
}

std::vector<std::string> simulated_processes::stored(const std::string& pool, unsigned slot) const {
  auto known = stored_.find({pool, slot});
  return known == stored_.end() ? std::vector<std::string>() : known->second;
}

void simulated_processes::on_report(host::child_reporter tell) {
  reported_ = std::move(tell);
  if (!reports_.empty()) loop_.post([this] { send_reports(); });
}

std::optional<scoreboard> simulated_processes::sample(child_id id) const {
  auto it = children_.find(id);
  if (it == children_.end()) return {};
  auto& c = it->second;
  if (c.plan.request_every <= duration{}) return c.plan.work;
  scoreboard board;
  count_requests(c, board);
  return board;
}

/// One request begins at readiness, and then one every `request_every` until it
/// drains.
void simulated_processes::count_requests(const child& c, scoreboard& board) const {
  auto every = c.plan.request_every;
  if (c.ready_at == never || every <= duration{}) return;
  auto now = loop_.now();
  board.now = c.drains_at == never ? scoreboard::phase::serving : scoreboard::phase::draining;
  auto last = (std::min(now, c.drains_at) - c.ready_at) / every;
  board.requests = static_cast<std::uint64_t>(last) + 1;
  // Those that are not done: begun less than a service time ago.
  auto done = (now - c.ready_at - c.plan.service_time) / every;
  auto first = now - c.ready_at < c.plan.service_time ? 0 : done + 1;
  if (first > last) return;
  board.in_flight = board.connections = static_cast<unsigned>(last - first + 1);
  board.oldest = {"request " + std::to_string(first + 1), now - c.ready_at - first * every};
  board.latest = {"request " + std::to_string(last + 1), now - c.ready_at - last * every};
}

std::int64_t simulated_processes::memory(const child& c) const {
  auto seconds = std::chrono::duration<double>(loop_.now() - c.started).count();
  auto grown = c.plan.memory_kib +
               static_cast<std::int64_t>(static_cast<double>(c.plan.leaks_kib) * seconds);
  return c.plan.memory_limit_kib > 0 ? std::min(grown, c.plan.memory_limit_kib) : grown;
}

std::optional<std::uint64_t> simulated_processes::memory(child_id id) const {
  auto it = children_.find(id);
  if (it == children_.end() || it->second.view.exited) return {};
  auto kib = memory(it->second);
  if (kib <= 0) return {};
  return static_cast<std::uint64_t>(kib) * 1024;
}

// What a test asks.

void simulated_processes::lose_supervisor() {
  std::vector<host::observer> dropped;  // destroyed last: destructors may come back here
  for (auto& [id, c] : children_) dropped.push_back(std::exchange(c.changed, nullptr));
  for (auto& [key, p] : programs_) dropped.push_back(std::exchange(p.changed, nullptr));
  auto reported = std::exchange(reported_, nullptr);
}

std::vector<child_id> simulated_processes::living() const {
  std::vector<child_id> all;
  each_living([&](child_id id, auto&) { all.push_back(id); });
  return all;
}

std::vector<std::string> simulated_processes::leftovers() const {
  std::vector<std::string> all;
  for (auto& [id, c] : children_) {
    auto name = c.view.key.pool + "." + std::to_string(request(id).slot);
    if (c.view.pid) name += " pid " + std::to_string(c.view.pid);
    all.push_back(c.dead ? name + ", dead and not reaped" : name);
    if (c.plan.forks && c.view.pid) all.push_back("a child of " + name);
  }
  for (auto& [at, names] : stored_)
    all.push_back("what was stored of " + at.first + "." + std::to_string(at.second));
  for (auto& [key, p] : programs_)
    all.push_back("the program of " + key.first + ", generation " + std::to_string(key.second));
  return all;
}

}  // namespace supervisor
