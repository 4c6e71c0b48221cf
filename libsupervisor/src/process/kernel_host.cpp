#include "process/kernel_host.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/system/system_error.hpp>

#include "kernel/accept_queue.hpp"
#include "kernel/descriptors.hpp"
#include "kernel/sockets.hpp"
#include "process/kernel_host_impl.hpp"

namespace asio = boost::asio;

namespace supervisor {

namespace {

/// How many children of a program stand ready to be started, and how long after the last launch
/// they are made: the launched ones need the CPU now, and so may others that are dying.
constexpr std::size_t most_prepared = 4;
constexpr auto prepare_after = std::chrono::milliseconds(20);

}  // namespace

kernel_host::~kernel_host() {
  for (auto& [name, program] : programs_)
    if (program.mold) program.mold->close();
}

listener_spec kernel_host::listen(const listener_spec& wanted) {
  auto spec = listeners_.open(wanted);
  follow_listeners();  // who waits at the name waits at what it means now
  auto socket = listeners_.find(listener_names({spec.name})).front().second;
  if (!spec.sharded || socket->parts) return spec;
  socket->parts =
      std::make_shared<shards>(services_, socket->fd.get(), std::exchange(socket->others, {}),
                               spec.backlog, passer_to_workers(), observer_of(socket));
  return spec;
}

shards::observer kernel_host::observer_of(const std::shared_ptr<open_listener>& socket) {
  return [this, of = std::weak_ptr(socket)](unsigned place, int fd) {
    if (auto open = of.lock()) listeners_.tell_shard(*open, place, fd);
  };
}

shards::passer kernel_host::passer_to_workers() {
  return [this](const shard_user& to, int connection) {
    return relays_.give(to.pool, to.listener, connection);
  };
}

void kernel_host::open_program(const std::string& pool, std::uint64_t number,
                               std::shared_ptr<const spec> what, observer changed) {
  listeners_.close_unclaimed();
  auto [it, added] = programs_.try_emplace({pool, number});
  auto& program = it->second;
  bool failed = program.mold && program.mold->view().failed;
  if (!added && program.mold && !failed) return program.mold->watch(std::move(changed));
  if (added || failed) program.what = std::move(what);
  if (added) services_.save_anew();
  if (added && go_on(it->first, program, changed)) return;
  if (added) program.listeners = listeners_.find(program.what->listeners);
  if (program.what->is_function()) {
    program.mold = std::make_shared<mold_program>(
        services_, pool, number, program.what, numbers_of(program.listeners),
        relays_of(pool, program), std::move(changed),
        [this, name = it->first] { prepare_later(name); });
    program.mold->open();
  } else {
    if (!program.view.open) open_command(program);
    // It may have been opened, and workers made, just before a death, and be in no whole yet.
    if (added) go_on_with_children(it->first, program);
    if (changed) asio::post(services_.executor, std::move(changed));
  }
}

void kernel_host::open_command(generation& program) {
  try {
    program.who = find_credentials(*program.what);
    if (!program.file) program.file = find_program(*program.what);
    program.view.open = true;
  } catch (const launch_failure& failure) {
    program.view.failed = failure.error;
  }
}

program_view kernel_host::program(const std::string& pool, std::uint64_t number) const {
  auto it = programs_.find({pool, number});
  if (it == programs_.end()) return {};
  return it->second.view_now();
}

void kernel_host::close_program(const std::string& pool, std::uint64_t number) {
  auto node = programs_.extract({pool, number});
  if (node.empty()) return;
  services_.save_anew();
  if (node.mapped().mold) node.mapped().mold->close();
  if (is_kept()) services_.options.store->drop(node.mapped().file_held);
  auto of_pool = [&](auto& each) { return each.first.first == pool; };
  if (std::ranges::none_of(programs_, of_pool)) relays_.forget(pool, services_.options.store);
}

std::vector<relay> kernel_host::relays_of(const std::string& pool, const generation& program) try {
  std::vector<std::string> names;
  for (auto& [name, socket] : program.listeners) names.push_back(name);
  return relays_.of(pool, names);
} catch (const boost::system::system_error&) {
  return {};  // no descriptor left: then nothing is handed over
}

/// What is handed over must not wait at a listener that those who stay do not have.
bool kernel_host::others_serve_the_same(const child& leaving) const {
  auto& pool = leaving.view().key.pool;
  auto own = programs_.find({pool, leaving.generation()});
  return own != programs_.end() && std::ranges::all_of(programs_, [&](auto& other) {
           return other.first.first != pool ||
                  std::ranges::equal(other.second.listeners, own->second.listeners, {},
                                     &listener_table::named::first, &listener_table::named::first);
         });
}

void kernel_host::serves(child_id id) noexcept {
  auto it = children_.find(id);
  if (it == children_.end()) return;
  for (auto& lease : it->second.leases) lease->serve(true);
}

void kernel_host::tell_terms(child_id id, const leave_terms& terms) noexcept {
  auto it = children_.find(id);
  if (it == children_.end()) return;
  for (auto& lease : it->second.leases) lease->serve(false);
  auto& process = *it->second.process;
  process.tell_terms({terms.by, terms.others_stay && others_serve_the_same(process)});
}

child_id kernel_host::launch(const launch_request& request, observer changed) {
  if (auto known = find(request.key)) {
    watch(known, std::move(changed));
    return known;
  }
  auto program = programs_.find({request.key.pool, request.generation});
  bool open = program != programs_.end();
  auto id = ++last_;
  auto made = open ? take_child(program->second) : make_child(nullptr);
  made->become(id, request, std::move(changed));
  children_[id].process = made;
  keys_[request.key] = id;
  watch_descriptors();
  if (open)
    start(children_[id], program->second);
  else
    made->fail({"program", ENOENT, "generation " + std::to_string(request.generation)});
  return id;
}

std::shared_ptr<child> kernel_host::make_child(std::shared_ptr<const spec> what) {
  return std::make_shared<child>(
      services_, memory_, stored_, std::move(what),
      [this](child& over, auto report) { on_over(over, std::move(report)); });
}

/// One whose pipes are there already, if possible: to make them takes as long as to fork a worker.
std::shared_ptr<child> kernel_host::take_child(generation& program) {
  if (program.mold && child::can_wait_prepared(*program.what))
    program.to_prepare = std::min(program.to_prepare + 1, most_prepared);
  if (program.prepared.empty()) return make_child(program.what);
  auto made = std::move(program.prepared.back());
  program.prepared.pop_back();
  return made;
}

void kernel_host::prepare_later(const program_name& name) {
  auto it = programs_.find(name);
  if (it == programs_.end() || it->second.prepared.size() >= it->second.to_prepare) return;
  if (it->second.preparing) cancel(it->second.preparing);
  it->second.preparing = call_at(now() + prepare_after, [this, name] { prepare(name); });
}

void kernel_host::prepare(const program_name& name) {
  auto it = programs_.find(name);
  if (it == programs_.end()) return;
  auto& program = it->second;
  program.preparing = 0;
  while (program.prepared.size() < program.to_prepare) {
    auto made = make_child(program.what);
    try {
      made->prepare();
    } catch (...) {
      return;  // no descriptor left: whoever is launched will say so
    }
    program.prepared.push_back(std::move(made));
  }
}

void kernel_host::start(held& fresh, const generation& program) {
  auto& made = *fresh.process;
  if (program.what->listeners)
    for (auto& name : *program.what->listeners)
      if (std::ranges::find(program.listeners, name, &listener_table::named::first) ==
          program.listeners.end())
        return made.fail({"listener", ENOENT, name});
  if (auto& failed = program.view_now().failed) return made.fail(*failed);
  try {
    auto taken =
        take_listeners(program.listeners, made.slot(), made.view().key.pool, !!program.mold);
    fresh.leases = std::move(taken.leases);
    if (!taken.own.empty()) follow_listeners();  // with its shard, if that is new
    if (program.mold)
      made.start_function(program.mold, std::move(taken.own));
    else
      made.start_command(taken.all, program.who, program.file ? &*program.file : nullptr);
  } catch (const launch_failure& failure) {
    made.fail(failure.error);
  }
}

/// A child has 4 descriptors here, and up to 3 more that only spare us wakeups at its death.
void kernel_host::watch_descriptors() {
  constexpr std::size_t most_of_a_child = 8;
  bool few = children_.size() >= kernel::descriptor_limit().rlim_cur / most_of_a_child;
  if (few && !services_.few_descriptors)
    for (auto& [id, held] : children_) held.process->spare_descriptors();
  services_.few_descriptors = few;
}

child_id kernel_host::find(const child_key& key) const {
  auto it = keys_.find(key);
  return it == keys_.end() ? 0 : it->second;
}

boost::system::error_code kernel_host::signal(child_id id, int number) {
  auto it = children_.find(id);
  if (it == children_.end()) return {ESRCH, boost::system::system_category()};
  return it->second.process->signal(number);
}

// Looks.

unsigned kernel_host::queued(const listener_names& names) const {
  unsigned waiting = 0;
  for (auto& [name, socket] : listeners_.find(names))
    for (int each : socket->sockets()) waiting += kernel::accept_queue_length(each);
  return waiting;
}

watch_id kernel_host::watch_queue(const listener_names& names, std::function<void()> readable) {
  auto id = ++last_look_;
  auto told = [this, id, readable = std::move(readable)] {
    auto tell = readable;
    queue_watches_.erase(id);
    tell();
  };
  queue_watches_.emplace(id, queue_watch{names, told, watch_sockets(names, told)});
  return id;
}

std::vector<watched_fd> kernel_host::watch_sockets(const listener_names& names,
                                                   const std::function<void()>& told) {
  std::vector<watched_fd> watched;
  for (auto& [name, socket] : listeners_.find(names))
    for (int each : socket->sockets())
      watched.emplace_back(services_.executor, kernel::duplicate(each), told);
  return watched;
}

/// Who waits for connections waits at the sockets that there are by now.
void kernel_host::follow_listeners() try {
  for (auto& [id, watch] : queue_watches_) watch.sockets = watch_sockets(watch.names, watch.told);
} catch (const boost::system::system_error&) {
  // No descriptor left: those it has are watched, and all when it is armed again.
}

pid_t kernel_host::pid_of(child_id id) const noexcept {
  auto it = children_.find(id);
  if (it == children_.end() || it->second.process->view().over()) return 0;
  return it->second.process->view().pid;
}

std::optional<std::uint64_t> kernel_host::memory(child_id id) const {
  auto pid = pid_of(id);
  return pid ? kernel::memory_of(pid) : std::nullopt;
}

std::optional<duration> kernel_host::cpu_time(child_id id) const {
  auto pid = pid_of(id);
  return pid ? kernel::cpu_time_of(pid) : std::nullopt;
}

probe_id kernel_host::start_probe(child_id child, const probe& what,
                                  std::function<void(probe_result)> done) {
  auto id = ++last_look_;
  auto tell = [this, id, done = std::move(done)](probe_result result) {
    auto ended = probes_.extract(id);  // whose callers' callers are here
    auto call = done;
    call(std::move(result));
  };
  auto known = children_.find(child);
  auto of = known == children_.end() ? nullptr : known->second.process;
  probes_.emplace(id, begin_probe(services_, of, what, std::move(tell)));
  return id;
}

void kernel_host::cancel_probe(probe_id id) noexcept {
  auto running = probes_.extract(id);
  if (running) running.mapped()();
}

void kernel_host::forget(child_id id) {
  auto it = children_.find(id);
  if (it == children_.end()) return;
  it->second.process->watch({});
  it->second.forgotten = true;
  if (it->second.process->view().over()) it->second.leases.clear();
  if (it->second.process->reported()) drop(id);
}

std::vector<std::string> kernel_host::stored(const std::string& pool, unsigned slot) const {
  std::vector<std::string> names;
  for (auto& [name, file] : stored_.of(pool, slot)) names.push_back(name);
  return names;
}

void kernel_host::on_over(child& over, std::shared_ptr<const exit_report> report) {
  auto id = over.view().id;
  auto key = over.view().key;
  if (report_) report_(key, std::move(report));
  auto it = children_.find(id);
  if (it == children_.end()) return;
  it->second.leases.clear();
  if (it->second.forgotten) drop(id);
}

void kernel_host::drop(child_id id) {
  auto it = children_.find(id);
  keys_.erase(it->second.process->view().key);
  // Not from within its own call.
  asio::post(services_.executor, [last = std::move(it->second.process)] {});
  children_.erase(it);
}

signal_feed& kernel_host::signals() {
  if (!signals_) signals_ = kernel_signals(services_.executor);
  return *signals_;
}

std::unique_ptr<host> make_kernel_host(asio::any_io_executor executor, journal& log,
                                       kernel_host_options options) {
  return std::make_unique<kernel_host>(std::move(executor), log, std::move(options));
}

}  // namespace supervisor
