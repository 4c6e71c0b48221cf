#include "supervisor/simulation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <csignal>

#include "host/interruptible.hpp"
#include "simulation/invariants.hpp"
#include "simulation/simulated_host.hpp"
#include "simulation/virtual_loop.hpp"
#include "supervision/group_keeper.hpp"
#include "supervision/live.hpp"
#include "supervision/pool_keeper.hpp"

namespace asio = boost::asio;

namespace supervisor {

struct simulation::impl {
  impl(std::uint64_t seed, simulation& s);
  ~impl() { crash(); }

  void live();
  void crash();
  bool run_until(const std::function<bool()>& done, duration limit);
  void after_step();
  void at_rest();
  void check();
  simulated_process process(child_id) const;
  [[noreturn]] void fail(const std::string& why) const;
  std::string lines(std::size_t from) const;

  simulated_host host;
  invariants promises{host};
  journal log;
  std::deque<event> events;
  std::shared_ptr<void> recorder;
  time_point began;
  policy decide;
  std::string name;
  std::optional<::supervisor::supervisor> self;
  std::optional<int> code;
  std::uint64_t next_step = 0;  ///< after which `work` is due
  std::function<void()> work;
};

simulation::impl::impl(std::uint64_t seed, simulation& s)
    : host(seed),
      log([this] { return std::pair(host.now(), host.wall_now()); }),
      recorder(log.subscribe([this](const event& e) {
        promises.take_in(e);
        events.push_back(e);
      })),
      began(host.now()) {
  host.shuffle();
  host.on_launch = [&s](const launch_request& request) {
    simulated_launch launch;
    launch.pool = request.key.pool;
    launch.slot = request.slot;
    launch.generation = request.generation;
    launch.start = request.key.launch;
    return s.on_launch ? s.on_launch(launch) : process_script{};
  };
  host.on_open = [&s](const std::string& pool, std::uint64_t generation) {
    return s.on_open ? s.on_open(pool, generation) : program_script{};
  };
  host.on_probe = [this, &s](child_id id, const probe& what) {
    return s.on_probe ? s.on_probe(process(id), what) : probe_answer{};
  };
  host.on_cpu_time = [this, &s](child_id id) {
    return s.on_cpu_time ? std::optional(s.on_cpu_time(process(id))) : std::nullopt;
  };
  host.loop().at_rest = [this] { at_rest(); };
}

/// From now on a supervisor lives, and the policy begins.
void simulation::impl::live() {
  event started(event_kind::supervisor_started);
  started.text = name;
  log.record(std::move(started));
  if (!self) self.emplace(host, log, name);
  promises.watch(&*self);
  auto tell = [this](std::string_view what, const std::exception_ptr& failure) {
    self->note(fmt::format("{}: {}", what, words_of(failure)));
    return 1;
  };
  auto done = [this](const std::exception_ptr& error, int result) {
    if (error) std::rethrow_exception(error);
    code = result;
  };
  asio::co_spawn(host.executor_for("the policy"),
                 ::supervisor::live(*self, decide, std::move(tell)), std::move(done));
}

void simulation::impl::crash() {
  promises.watch(nullptr);
  host.crash();
  self.reset();
}

bool simulation::impl::run_until(const std::function<bool()>& done, duration limit) {
  return host.run_until(
      [&] {
        after_step();
        return done();
      },
      limit);
}

void simulation::impl::after_step() {
  promises.look();
  check();
  if (work && host.loop().steps() >= next_step) std::exchange(work, nullptr)();
}

void simulation::impl::at_rest() {
  auto culprit = host.loop().waiting_outside();
  if (!culprit.empty())
    fail(culprit +
         " waits for something outside the simulation, such as a timer of "
         "Asio's own; there are "
         "supervisor::sleep_for(), with_deadline() and interval_timer for that");
  if (code)
    promises.at_end();
  else
    promises.at_rest();
  check();
}

void simulation::impl::check() {
  if (!promises.broken().empty()) fail(promises.broken());
}

/// 0: none.
simulated_process simulation::impl::process(child_id id) const {
  simulated_process p;
  if (!id) return p;
  auto& view = host.look(id);
  auto& request = host.request(id);
  p.pid = view.pid;
  p.pool = request.key.pool;
  p.slot = request.slot;
  p.generation = request.generation;
  p.ready = view.ready;
  p.stopping = view.stopping;
  return p;
}

void simulation::impl::fail(const std::string& why) const {
  constexpr std::size_t shown = 20;
  auto from = events.size() - std::min(events.size(), shown);
  throw simulation_failure(why + "\n" + lines(from));
}

std::string simulation::impl::lines(std::size_t from) const {
  std::string text;
  for (; from < events.size(); ++from) {
    auto& e = events[from];
    auto since = std::chrono::duration<double>(e.at - began).count();
    text += fmt::format("{:12.6f} #{}", since, e.id);
    if (e.cause) text += fmt::format(" (#{})", e.cause);
    text += fmt::format(" {}\n", describe(e, e.at));
  }
  return text;
}

simulation::simulation(std::uint64_t seed) : impl_(std::make_unique<impl>(seed, *this)) {}
simulation::~simulation() = default;

// What the world does.

void simulation::start(policy decide, std::string name) {
  if (impl_->self) throw std::logic_error("the simulation has a supervisor already");
  impl_->decide = std::move(decide);
  impl_->name = std::move(name);
  impl_->live();
}

void simulation::restart_supervisor() {
  if (!impl_->self || impl_->code) throw std::logic_error("the simulation has no supervisor");
  std::vector<std::pair<pool_state, program_specs>> written;
  for (auto& pool : impl_->self->pools())
    written.emplace_back(pool.keeper().state(), pool.keeper().specs());
  std::vector<group_state> groups;
  for (auto& group : impl_->self->groups()) groups.push_back(group.keeper().state());
  impl_->crash();
  impl_->self.emplace(impl_->host, impl_->log, impl_->name);
  for (auto& [state, specs] : written) impl_->self->adopt(std::move(state), std::move(specs));
  for (auto& state : groups) impl_->self->adopt(std::move(state));
  impl_->live();
}

void simulation::send(int number, int value) {
  signal_event signal;
  signal.number = number;
  signal.value = value;
  signal.code = SI_USER;
  signal.sender = 77;
  send(signal);
}

void simulation::send(signal_event signal) { impl_->host.send_signal(signal); }

bool simulation::kill(pid_t pid, int number) {
  for (auto id : impl_->host.living()) {
    if (impl_->host.look(id).pid != pid) continue;
    impl_->host.kill(id, number);
    return true;
  }
  return false;
}

void simulation::queue(unsigned connections) { impl_->host.set_queued(connections); }
void simulation::stall(duration d) { impl_->host.stall(d); }
void simulation::suspend(duration d) { impl_->host.suspend(d); }
void simulation::turn_wall_clock(duration ahead) { impl_->host.turn_wall_clock(ahead); }

// What the test does.

int simulation::run(duration limit) {
  auto began = now();
  if (impl_->run_until([this] { return impl_->code.has_value(); }, limit)) {
    settle();
    return *impl_->code;
  }
  auto waited = std::chrono::duration<double>(now() - began).count();
  impl_->fail(fmt::format("the policy has not ended after {} s{}", waited,
                          now() - began < limit ? ", and nothing can happen any more" : ""));
}

void simulation::run_for(duration d) {
  auto end = later(now(), d);
  run_until([] { return false; }, d);
  impl_->host.run_for(end - now());
}

void simulation::after_step(std::uint64_t steps, std::function<void()> work) {
  impl_->next_step = steps;
  impl_->work = std::move(work);
}

bool simulation::run_until(const std::function<bool()>& done, duration limit) {
  return impl_->run_until(done, limit);
}

void simulation::settle() { run_for({}); }

// What the test sees.

bool simulation::running() const { return impl_->self && !impl_->code; }
std::optional<int> simulation::exit_code() const { return impl_->code; }

pool_status simulation::pool(std::string_view name) const {
  for (auto& status : pools())
    if (status.name == name) return status;
  throw std::out_of_range(fmt::format("no pool is named {}", name));
}

std::vector<pool_status> simulation::pools() const {
  std::vector<pool_status> all;
  if (!impl_->self) return all;
  for (auto& pool : impl_->self->pools()) all.push_back(pool.status());
  return all;
}

std::vector<simulated_process> simulation::processes() const {
  std::vector<simulated_process> all;
  for (auto id : impl_->host.living()) all.push_back(impl_->process(id));
  return all;
}

std::uint64_t simulation::launches() const { return impl_->host.launches(); }
const std::deque<event>& simulation::events() const { return impl_->events; }
std::size_t simulation::count(event_kind kind) const {
  return static_cast<std::size_t>(std::ranges::count(impl_->events, kind, &event::kind));
}
std::string simulation::journal_text() const { return impl_->lines(0); }

time_point simulation::now() const { return impl_->host.now(); }
wall_time simulation::wall_now() const { return impl_->host.wall_now(); }
duration simulation::elapsed() const { return now() - impl_->began; }
std::uint64_t simulation::steps() const { return impl_->host.loop().steps(); }
std::uint64_t simulation::random() { return impl_->host.random(); }

}  // namespace supervisor
