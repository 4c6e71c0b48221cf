#include "simulation/simulated_host.hpp"

#include <boost/system/system_error.hpp>
#include <cerrno>
#include <csignal>
#include <map>

#include "host/deadline_timer.hpp"
#include "simulation/simulated_processes.hpp"
#include "simulation/simulated_signals.hpp"
#include "simulation/virtual_loop.hpp"

namespace supervisor {

namespace {

constexpr time_point start_of_time{std::chrono::hours(1)};
constexpr wall_time start_of_wall{std::chrono::seconds(1'767'225'600)};  // 2026-01-01T00:00:00Z

}  // namespace

struct simulated_host::impl {
  explicit impl(std::uint64_t s) : seed(s) {}
  std::uint64_t random() noexcept;

  std::uint64_t seed;
  duration turned{};  ///< the wall clock
  virtual_loop loop{start_of_time};
  simulated_signals signals{loop};
  simulated_processes processes{loop};
  simulated_looks looks{loop};
  std::map<std::string, listener_spec> listeners;
};

/// splitmix64: the same numbers from every compiler and library.
std::uint64_t simulated_host::impl::random() noexcept {
  auto z = seed += 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

// What the test does and sees.

simulated_host::simulated_host(std::uint64_t seed) : impl_(std::make_unique<impl>(seed)) {
  keep_time(impl_->loop.context(), *this);
}

simulated_host::~simulated_host() {
  // Coroutines that die with the loop may still cancel their timers, so all
  // else must be there.
  crash();
}

void simulated_host::send_signal(signal_event event) { impl_->signals.deliver(event); }

void simulated_host::kill(child_id id, int number) { impl_->processes.signal(id, number); }

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
  impl_->processes.lose_supervisor();
  impl_->signals.crash();
  impl_->looks.crash();
  impl_->loop.crash();
  keep_time(impl_->loop.context(), *this);
}

void simulated_host::stall(duration d) { impl_->loop.stall(d); }
void simulated_host::turn_wall_clock(duration ahead) { impl_->turned += ahead; }

std::vector<child_id> simulated_host::living() const { return impl_->processes.living(); }
void simulated_host::each_living(
    const std::function<void(child_id, const launch_request&)>& look) const {
  impl_->processes.each_living(look);
}
const launch_request& simulated_host::request(child_id id) const {
  return impl_->processes.request(id);
}
std::uint64_t simulated_host::launches() const noexcept { return impl_->processes.launches(); }
std::uint64_t simulated_host::made() const noexcept { return impl_->processes.made(); }
std::vector<std::string> simulated_host::leftovers() const { return impl_->processes.leftovers(); }
virtual_loop& simulated_host::loop() noexcept { return impl_->loop; }

// host

time_point simulated_host::now() const noexcept { return impl_->loop.now(); }
wall_time simulated_host::wall_now() const noexcept {
  return start_of_wall + (impl_->loop.now() - start_of_time) + impl_->looks.asleep + impl_->turned;
}
std::uint64_t simulated_host::random() noexcept { return impl_->random(); }
boost::asio::any_io_executor simulated_host::executor() noexcept { return impl_->loop.executor(); }
boost::asio::any_io_executor simulated_host::executor_for(std::string_view name) {
  return impl_->loop.executor(name);
}
timer_id simulated_host::call_at(time_point when, std::function<void()> work) {
  return impl_->loop.call_at(when, std::move(work), owner::supervision);
}
void simulated_host::cancel(timer_id id) noexcept { impl_->loop.cancel(id); }

listener_spec simulated_host::listen(const listener_spec& wanted) {
  auto known = impl_->listeners.find(wanted.name);
  if (known != impl_->listeners.end() && wanted.matches(known->second)) return known->second;
  auto opened = wanted;
  if (opened.kind == listener_spec::family::tcp && opened.port == 0)
    opened.port = static_cast<std::uint16_t>(40'000 + impl_->listeners.size());
  for (auto& [name, other] : impl_->listeners)
    if (name != opened.name && other.kind == opened.kind && other.host == opened.host &&
        other.port == opened.port && other.descriptor == opened.descriptor)
      throw boost::system::system_error(EADDRINUSE, boost::system::system_category(),
                                        "listen on " + opened.host);
  return impl_->listeners[opened.name] = opened;
}
std::vector<listener_spec> simulated_host::listeners() const {
  std::vector<listener_spec> all;
  for (auto& [name, listener] : impl_->listeners) all.push_back(listener);
  return all;
}
void simulated_host::close_listener(const std::string& name) { impl_->listeners.erase(name); }

void simulated_host::open_program(const std::string& pool, std::uint64_t generation,
                                  std::shared_ptr<const spec>, observer changed) {
  bool known = impl_->processes.program(pool, generation).open;
  auto plan = on_open && !known ? on_open(pool, generation) : program_script{};
  impl_->processes.open(pool, generation, plan, std::move(changed));
}

program_view simulated_host::program(const std::string& pool, std::uint64_t generation) const {
  return impl_->processes.program(pool, generation);
}

void simulated_host::close_program(const std::string& pool, std::uint64_t generation) {
  impl_->processes.close(pool, generation);
}

child_id simulated_host::launch(const launch_request& request, observer changed) {
  if (auto known = find(request.key)) {
    watch(known, std::move(changed));
    return known;
  }
  auto plan = on_launch ? on_launch(request) : script{};
  return impl_->processes.launch(request, std::move(plan), std::move(changed));
}

child_id simulated_host::find(const child_key& key) const { return impl_->processes.find(key); }
const child_view& simulated_host::look(child_id id) const { return impl_->processes.look(id); }
void simulated_host::watch(child_id id, observer changed) {
  impl_->processes.watch(id, std::move(changed));
}
std::optional<scoreboard> simulated_host::sample(child_id id) const {
  if (on_sample) return on_sample(id);
  return impl_->processes.sample(id);
}

std::optional<std::uint64_t> simulated_host::memory(child_id id) const {
  return on_memory ? on_memory(id) : impl_->processes.memory(id);
}
std::optional<duration> simulated_host::cpu_time(child_id id) const {
  return on_cpu_time ? on_cpu_time(id) : std::nullopt;
}
probe_id simulated_host::start_probe(child_id id, const probe& what,
                                     std::function<void(probe_result)> done) {
  return impl_->looks.start(on_probe ? on_probe(id, what) : probe_answer(), std::move(done));
}
void simulated_host::cancel_probe(probe_id id) noexcept { impl_->looks.cancel_probe(id); }
unsigned simulated_host::queued(const listener_names&) const { return impl_->looks.queued(); }
watch_id simulated_host::watch_queue(const listener_names&, std::function<void()> readable) {
  return impl_->looks.watch(std::move(readable));
}
void simulated_host::cancel_watch(watch_id id) noexcept { impl_->looks.cancel_watch(id); }
duration simulated_host::asleep() const noexcept { return impl_->looks.asleep; }
void simulated_host::set_queued(unsigned n) { impl_->looks.set_queued(n); }
void simulated_host::suspend(duration d) { impl_->looks.asleep += d; }
std::size_t simulated_host::looks_running() const noexcept {
  return impl_->looks.probes_running() + impl_->looks.watches();
}

boost::system::error_code simulated_host::signal(child_id id, int number) {
  if (impl_->processes.signal(id, number)) {
    sent.emplace_back(id, number);
    return {};
  }
  if (number == SIGTERM || number == SIGINT || number == SIGQUIT) impl_->processes.withdraw(id);
  return {ESRCH, boost::system::system_category()};
}

void simulated_host::tell_terms(child_id id, const leave_terms& t) noexcept { terms[id] = t; }

void simulated_host::poke(child_id id) noexcept { poked.push_back(id); }
void simulated_host::forget(child_id id) { impl_->processes.forget(id); }
std::vector<std::string> simulated_host::stored(const std::string& pool, unsigned slot) const {
  return impl_->processes.stored(pool, slot);
}
void simulated_host::drop_stored(const std::string& pool, unsigned slot) {
  impl_->processes.drop_stored(pool, slot);
}
void simulated_host::on_report(child_reporter tell) { impl_->processes.on_report(std::move(tell)); }

signal_feed& simulated_host::signals() { return impl_->signals; }

}  // namespace supervisor
