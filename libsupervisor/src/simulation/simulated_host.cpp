#include "simulation/simulated_host.hpp"

#include <boost/system/system_error.hpp>
#include <csignal>
#include <deque>
#include <map>
#include <set>

#include "host/deadline_timer.hpp"
#include "simulation/simulated_signals.hpp"
#include "simulation/virtual_loop.hpp"

namespace supervisor {

namespace {

constexpr time_point start_of_time{std::chrono::hours(1)};
constexpr wall_time start_of_wall{std::chrono::seconds(1'767'225'600)};  // 2026-01-01T00:00:00Z

bool asks_to_stop(int signal) { return signal == SIGTERM || signal == SIGINT || signal == SIGQUIT; }

/// Signals that no worker handles; every other one is taken to have a handler or to be ignored.
bool ends_at_once(int signal) {
  static const std::set<int> all{SIGKILL, SIGABRT, SIGSEGV, SIGBUS,  SIGFPE,
                                 SIGILL,  SIGTRAP, SIGSYS,  SIGXCPU, SIGXFSZ};
  return all.contains(signal);
}

}  // namespace

struct simulated_host::impl {
  struct child {
    child_view view;
    script plan;
    observer changed;
    time_point started{};
    bool begun = false;  ///< its program is open, its making has begun
    bool draining = false;
    bool reported = false;
    bool forgotten = false;
  };
  struct program {
    program_view view;
    observer changed;
    timer_id opening = 0;
  };
  using program_key = std::pair<std::string, std::uint64_t>;

  explicit impl(std::uint64_t s) : seed(s) {}

  std::uint64_t random() noexcept;
  timer_id in(duration d, std::function<void()> work) {
    return loop.call_at(loop.after(d), std::move(work), owner::world);
  }

  // Programs.
  void settle(const program_key& key, std::optional<launch_error> failed);

  // Children.
  void begin(child_id id);
  void start(child_id id);
  void withdraw(child_id);
  void fail(child_id id, launch_error why);
  void die(child_id id, exit_status how, bool out_of_memory);
  void deliver(child& c, int number);
  void over(child& c);
  void reap(child_id id, const std::shared_ptr<exit_report>& report);
  void erase(child_id id);
  void send_reports();
  void notify(child_id id);
  void change(child_id id, bool child_view::* fact);
  child* living(child_id id);

  std::uint64_t seed;
  virtual_loop loop{start_of_time};
  simulated_signals signals{loop};
  std::map<std::string, listener_spec> listeners;
  std::map<program_key, program> programs;
  std::map<child_id, child> children;
  std::map<child_key, child_id> ids;
  std::deque<launch_request> requests;  ///< of every child ever; child_id - 1 is the index
  std::function<void(const child_key&, std::shared_ptr<const exit_report>)> reported;
  std::deque<std::pair<child_key, std::shared_ptr<const exit_report>>>
      reports;  ///< complete, and not yet told
};

/// splitmix64: the same numbers from every compiler and library.
std::uint64_t simulated_host::impl::random() noexcept {
  auto z = seed += 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

// Programs.

void simulated_host::impl::settle(const program_key& key, std::optional<launch_error> failed) {
  auto& it = programs.at(key);
  it.opening = 0;
  it.view.open = !failed;
  it.view.failed = std::move(failed);
  loop.post([this, key] {
    auto found = programs.find(key);
    if (found == programs.end()) return;
    if (auto changed = found->second.changed) changed();
  });
  for (auto& [id, c] : children)
    if (c.view.key.pool == key.first && requests[id - 1].generation == key.second) begin(id);
}

// Children.

/// The child if it has a pid and is not dead.
simulated_host::impl::child* simulated_host::impl::living(child_id id) {
  auto it = children.find(id);
  if (it == children.end() || it->second.view.pid == 0 || it->second.view.exited) return nullptr;
  return &it->second;
}

void simulated_host::impl::notify(child_id id) {
  loop.post([this, id] {
    auto it = children.find(id);
    if (it == children.end()) return;
    if (auto changed = it->second.changed) changed();
  });
}

void simulated_host::impl::begin(child_id id) {
  auto& c = children.at(id);
  auto found = programs.find({c.view.key.pool, requests[id - 1].generation});
  if (c.begun || found == programs.end()) return;
  const auto& program = found->second.view;
  if (!program.open && !program.failed) return;
  c.begun = true;
  auto failed = program.failed ? program.failed : c.plan.launch_fails;
  auto takes = program.failed ? duration{} : c.plan.launch_takes;
  in(takes, [this, id, failed] {
    auto it = children.find(id);
    if (it == children.end() || it->second.view.failed) return;  // withdrawn
    failed ? fail(id, *failed) : start(id);
  });
}

void simulated_host::impl::withdraw(child_id id) {
  auto it = children.find(id);
  if (it == children.end() || it->second.view.pid != 0 || it->second.view.failed) return;
  fail(id, {"mold", ECANCELED, "told to leave before it was made"});
}

void simulated_host::impl::fail(child_id id, launch_error why) {
  auto& c = children.at(id);
  c.view.failed = std::move(why);
  over(c);
}

void simulated_host::impl::start(child_id id) {
  auto& c = children.at(id);
  c.view.pid = static_cast<pid_t>(1000 + id);
  c.started = loop.now();
  notify(id);
  if (c.plan.ready_after)
    in(*c.plan.ready_after, [this, id] {
      if (auto* alive = living(id)) alive->view.status = alive->plan.status;
      change(id, &child_view::ready);
    });
  if (c.plan.hangs_after) in(*c.plan.hangs_after, [this, id] { change(id, &child_view::hung); });
  if (c.plan.overdue_after)
    in(*c.plan.overdue_after, [this, id] { change(id, &child_view::overdue); });
  if (c.plan.exits_after)
    in(*c.plan.exits_after,
       [this, id, how = c.plan.exit_with, memory = c.plan.out_of_memory] { die(id, how, memory); });
}

void simulated_host::impl::change(child_id id, bool child_view::* fact) {
  auto* c = living(id);
  if (!c || c->view.*fact) return;
  c->view.*fact = true;
  notify(id);
}

void simulated_host::impl::deliver(child& c, int number) {
  auto id = c.view.id;
  if (ends_at_once(number)) {
    in({}, [this, id, number] { die(id, exit_status::signalled(number), false); });
  } else if (asks_to_stop(number) && !c.plan.ignores_stop && !c.view.hung && !c.draining) {
    c.draining = true;
    in({}, [this, id] { change(id, &child_view::stopping); });
    in(c.plan.drain_takes, [this, id] { die(id, exit_status::exited(0), false); });
  }
}

void simulated_host::impl::die(child_id id, exit_status how, bool out_of_memory) {
  auto* c = living(id);
  if (!c) return;
  c->view.exited = how;
  c->view.out_of_memory = out_of_memory;
  over(*c);
}

void simulated_host::impl::over(child& c) {
  auto report = std::make_shared<exit_report>();
  if (c.view.pid) {
    report->pid = c.view.pid;
    report->uptime = loop.now() - c.started;
    report->status = *c.view.exited;
  }
  report->launch = c.view.failed;
  notify(c.view.id);
  in(c.plan.reap_takes, [this, id = c.view.id, report] { reap(id, report); });
}

void simulated_host::impl::reap(child_id id, const std::shared_ptr<exit_report>& report) {
  auto& c = children.at(id);
  c.reported = true;
  reports.emplace_back(c.view.key, report);
  if (c.forgotten) erase(id);
  send_reports();
}

void simulated_host::impl::erase(child_id id) {
  ids.erase(children.at(id).view.key);
  children.erase(id);
}

void simulated_host::impl::send_reports() {
  while (reported && !reports.empty()) {
    auto next = std::move(reports.front());
    reports.pop_front();
    if (auto id = ids.find(next.first); id != ids.end())
      children.at(id->second).view.reported = true;
    auto tell = reported;
    tell(next.first, next.second);
  }
}

// What the test does and sees.

simulated_host::simulated_host(std::uint64_t seed) : impl_(std::make_unique<impl>(seed)) {
  keep_time(impl_->loop.context(), *this);
}

simulated_host::~simulated_host() {
  // Coroutines that die with the loop may still cancel their timers, so all else must be there.
  crash();
}

void simulated_host::send_signal(signal_event event) { impl_->signals.deliver(event); }

void simulated_host::kill(child_id id, int number) {
  if (auto* c = impl_->living(id)) impl_->deliver(*c, number);
}

std::size_t simulated_host::poll() { return impl_->loop.settle(); }
bool simulated_host::poll_one() { return impl_->loop.step(); }
bool simulated_host::run_until(const std::function<bool()>& done, duration limit) {
  return impl_->loop.run_until(done, limit);
}
void simulated_host::run_for(duration d) { impl_->loop.run_for(d); }

void simulated_host::shuffle() {
  impl_->loop.pick = [w = impl_.get()](std::uint64_t n) { return w->random() % n; };
}

void simulated_host::crash() {
  std::vector<observer> dropped;  // destroyed last: destructors may come back here
  for (auto& [id, c] : impl_->children) dropped.push_back(std::exchange(c.changed, nullptr));
  for (auto& [key, p] : impl_->programs) dropped.push_back(std::exchange(p.changed, nullptr));
  auto reported = std::exchange(impl_->reported, nullptr);
  impl_->signals.crash();
  impl_->loop.crash();
  keep_time(impl_->loop.context(), *this);
}

std::vector<child_id> simulated_host::living() const {
  std::vector<child_id> all;
  for (auto& [id, c] : impl_->children)
    if (impl_->living(id)) all.push_back(id);
  return all;
}

const launch_request& simulated_host::request(child_id id) const {
  return impl_->requests.at(id - 1);
}
std::uint64_t simulated_host::launches() const noexcept { return impl_->requests.size(); }

// host

time_point simulated_host::now() const noexcept { return impl_->loop.now(); }
wall_time simulated_host::wall_now() const noexcept {
  return start_of_wall + (impl_->loop.now() - start_of_time);
}
std::uint64_t simulated_host::random() noexcept { return impl_->random(); }
boost::asio::any_io_executor simulated_host::executor() noexcept { return impl_->loop.executor(); }
timer_id simulated_host::call_at(time_point when, std::function<void()> work) {
  return impl_->loop.call_at(when, std::move(work), owner::supervision);
}
void simulated_host::cancel(timer_id id) noexcept { impl_->loop.cancel(id); }

listener_spec simulated_host::listen(const listener_spec& wanted) {
  auto known = impl_->listeners.find(wanted.name);
  if (known != impl_->listeners.end()) return known->second;
  auto opened = wanted;
  if (opened.kind == listener_spec::family::tcp && opened.port == 0)
    opened.port = static_cast<std::uint16_t>(40'000 + impl_->listeners.size());
  for (auto& [name, other] : impl_->listeners)
    if (other.kind == opened.kind && other.host == opened.host && other.port == opened.port &&
        other.descriptor == opened.descriptor)
      throw boost::system::system_error(EADDRINUSE, boost::system::system_category(),
                                        "listen on " + opened.host);
  return impl_->listeners[opened.name] = opened;
}

void simulated_host::open_program(const std::string& pool, std::uint64_t generation,
                                  std::shared_ptr<const spec>, observer changed) {
  impl::program_key key{pool, generation};
  auto& program = impl_->programs[key];
  program.changed = std::move(changed);
  if (program.view.open || program.opening) return;
  program.view = {};
  auto plan = on_open ? on_open(pool, generation) : program_script{};
  program.opening = impl_->in(
      plan.opens_after, [w = impl_.get(), key, fails = plan.fails] { w->settle(key, fails); });
}

program_view simulated_host::program(const std::string& pool, std::uint64_t generation) const {
  auto it = impl_->programs.find({pool, generation});
  return it == impl_->programs.end() ? program_view{} : it->second.view;
}

void simulated_host::close_program(const std::string& pool, std::uint64_t generation) {
  auto it = impl_->programs.find({pool, generation});
  if (it == impl_->programs.end()) return;
  impl_->loop.cancel(it->second.opening);
  impl_->programs.erase(it);
  for (auto& entry : impl_->children) {
    auto& c = entry.second;
    if (c.begun || c.view.key.pool != pool || request(c.view.id).generation != generation) continue;
    c.begun = true;
    impl_->in({}, [w = impl_.get(), id = c.view.id] {
      w->fail(id, {"mold", ECANCELED, "the program was closed"});
    });
  }
}

child_id simulated_host::launch(const launch_request& request, observer changed) {
  if (auto known = find(request.key)) {
    watch(known, std::move(changed));
    return known;
  }
  auto plan = on_launch ? on_launch(request) : script{};
  impl_->requests.push_back(request);
  child_id id = impl_->requests.size();
  auto& c = impl_->children[id];
  impl_->ids[request.key] = id;
  c.view.id = id;
  c.view.key = request.key;
  c.plan = std::move(plan);
  c.changed = std::move(changed);
  impl_->begin(id);
  return id;
}

child_id simulated_host::find(const child_key& key) const {
  auto it = impl_->ids.find(key);
  return it == impl_->ids.end() ? 0 : it->second;
}

const child_view& simulated_host::look(child_id id) const { return impl_->children.at(id).view; }

void simulated_host::watch(child_id id, observer changed) {
  auto& c = impl_->children.at(id);
  c.changed = std::move(changed);
  c.forgotten = false;
}

std::optional<scoreboard> simulated_host::sample(child_id id) const {
  auto it = impl_->children.find(id);
  return it == impl_->children.end() ? std::nullopt : it->second.plan.work;
}

boost::system::error_code simulated_host::signal(child_id id, int number) {
  auto* c = impl_->living(id);
  if (!c) {
    if (asks_to_stop(number)) impl_->withdraw(id);
    return {ESRCH, boost::system::system_category()};
  }
  sent.emplace_back(id, number);
  impl_->deliver(*c, number);
  return {};
}

void simulated_host::poke(child_id id) noexcept { poked.push_back(id); }

void simulated_host::forget(child_id id) {
  auto it = impl_->children.find(id);
  if (it == impl_->children.end()) return;
  auto dropped = std::exchange(it->second.changed, nullptr);
  it->second.forgotten = true;
  if (it->second.reported) impl_->erase(id);
}

void simulated_host::on_report(
    std::function<void(const child_key&, std::shared_ptr<const exit_report>)> tell) {
  impl_->reported = std::move(tell);
  if (!impl_->reports.empty()) impl_->loop.post([w = impl_.get()] { w->send_reports(); });
}

signal_feed& simulated_host::signals() { return impl_->signals; }

}  // namespace supervisor
