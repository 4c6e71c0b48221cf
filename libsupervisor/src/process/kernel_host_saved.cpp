// The real host as plain data, and back.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/system/system_error.hpp>
#include <stdexcept>
#include <tuple>
#include <utility>

#include "kernel/descent.hpp"
#include "kernel/descriptors.hpp"
#include "kernel/title.hpp"
#include "kernel/usage.hpp"
#include "process/kernel_host_impl.hpp"

namespace supervisor {

namespace {

/// Held from its first saving on.
void hold(descriptor_store& store, held_index& where, int descriptor) {
  if (!where && descriptor >= 0) where = store.hold(descriptor);
}

/// A command is kept as soon as it is made: one that is not is younger than the last change of
/// anything, `at`. What is older was left behind by a worker. But a mold, and what it has forked,
/// may wait for longer to be known.
bool was_being_made(pid_t pid, time_point at) {
  auto name = kernel::short_name(pid);
  if (name == mold_short_name || name == worker_short_name) return true;
  auto began = kernel::started_at(pid);
  return began && *began >= at;
}

/// Numbers sockets as they are asked for.
class socket_numbers {
 public:
  socket_numbers(descriptor_store& store, saved_host& all) : store_(store), all_(all) {}
  std::vector<saved_listener> operator()(const std::vector<listener_table::named>& names) {
    std::vector<saved_listener> saved;
    for (auto& [name, socket] : names) saved.emplace_back(name, number_of(*socket));
    return saved;
  }

 private:
  std::uint64_t number_of(open_listener& socket) {
    auto known = numbers_.find(&socket);
    if (known != numbers_.end()) return known->second;
    socket.store = &store_;
    hold(store_, socket.where, socket.fd.get());
    hold(store_, socket.file_where, socket.file.get());
    auto shards = socket.parts ? socket.parts->save() : std::vector<saved_shard>();
    all_.sockets.push_back({socket.address, socket.where, socket.file_where, std::move(shards)});
    auto number = all_.sockets.size() - 1;
    numbers_.emplace(&socket, number);
    return number;
  }

  descriptor_store& store_;
  saved_host& all_;
  std::map<open_listener*, std::uint64_t> numbers_;
};

}  // namespace

saved_parts read_saved(const saved_memory& memory) {
  auto parts = memory.read();
  saved_parts all;
  archive::read(parts.front(), all.host);
  if (all.host.version > newest_readable_version)
    throw std::runtime_error(
        fmt::format("the state is of a newer version of this program: {}, where this one knows {}",
                    all.host.version, newest_readable_version));
  all.supervisor.push_back(all.host.supervisor);
  for (auto part = parts.begin() + 1; part != parts.end(); ++part) {
    saved_change change;
    archive::read(*part, change);
    if (!change.supervisor.empty()) all.supervisor.push_back(std::move(change.supervisor));
    take_in(all.host, std::move(change));
  }
  return all;
}

void kernel_host::save(const std::string& supervisor, bool stops) {
  auto& store = *services_.options.store;
  end_leftovers();
  services_.options.before_save();
  saved_host all;
  all.program = services_.options.program;
  all.last_child = last_;
  all.supervisor = supervisor;
  all.strangers_reaped = strangers_reaped_;
  all.at = now();
  socket_numbers numbers(store, all);
  all.listeners = numbers(listeners_.names());
  for (auto& [name, program] : programs_) {
    auto& saved = all.programs.emplace_back();
    std::tie(saved.pool, saved.generation) = name;
    saved.listeners = numbers(program.listeners);
    if (program.mold) saved.mold = program.mold->save();
    if (!program.file) continue;
    hold(store, program.file_held, program.file->fd());
    saved.file = saved_file{program.file->tell(), program.file_held};
  }
  all.relays = relays_.save(store);
  all.shelves = stored_.save();
  for (auto& [id, held] : children_)
    if (auto saved = held.process->save()) all.children.push_back(std::move(*saved));
  auto fresh = std::make_shared<saved_memory>(archive::write(all));
  store.keep_state(fresh->fd(), stops);
  saved_ = std::move(fresh);
}

void kernel_host::save_change(const std::string& supervisor) {
  saved_change change;
  change.supervisor = supervisor;
  keep(change);
}

void kernel_host::count_stranger() {
  saved_change change;
  change.strangers_reaped = ++strangers_reaped_;
  keep(change);
}

/// Before the first save there is nothing to add to: that will have it all.
void kernel_host::keep(saved_change change) {
  if (!saved_) return;
  change.at = now();
  bool added = saved_->add(archive::write(change));
  if (!added || saved_->runs_short()) services_.save_anew();
}

void kernel_host::inherit() {
  auto& store = *services_.options.store;
  store.on_end([this](held_index where, auto& last) { services_.children.ended_at(where, last); });
  services_.keep = [this](auto& change) { keep(change); };
  services_.output_in_hand = [this] {
    return saved_ ? std::shared_ptr<output_in_hand>(saved_, &saved_->hand()) : nullptr;
  };
  if (!services_.options.saved) return;
  found_ = kernel::children_of(::getppid());
  saved_ = std::move(services_.options.saved);
  auto parts = read_saved(*saved_);
  inherited_ = std::move(parts.host);
  inherited_words_ = std::move(parts.supervisor);
  last_ = inherited_.last_child;
  strangers_reaped_ = inherited_.strangers_reaped;
  if (!inherited_.program.empty()) services_.options.program = inherited_.program;
  for (auto& saved : inherited_.sockets) {
    auto socket =
        std::make_shared<open_listener>(saved.address, store.take(saved.where),
                                        saved.file ? store.take(saved.file) : kernel::unique_fd());
    socket->store = &store;
    socket->where = saved.where;
    socket->file_where = saved.file;
    if (!saved.shards.empty())
      socket->parts = std::make_shared<shards>(services_, saved.shards, saved.address.backlog,
                                               passer_to_workers(), observer_of(socket));
    inherited_sockets_.push_back(std::move(socket));
  }
  std::vector<listener_table::named> names;
  for (auto& [name, number] : inherited_.listeners)
    if (inherited_sockets_.at(number)->fd)  // else it was just closed
      names.emplace_back(name, inherited_sockets_.at(number));
  relays_.restore(store, inherited_.relays);
  stored_.restore(inherited_.shelves);
  listeners_.restore(inherited_sockets_, std::move(names));
}

/// Takes over what another process has left of this program, and its children.
bool kernel_host::go_on(const program_name& name, generation& program, observer changed) {
  auto saved = std::ranges::find_if(inherited_.programs, [&](auto& each) {
    return each.pool == name.first && each.generation == name.second;
  });
  if (saved == inherited_.programs.end()) return false;
  auto& store = *services_.options.store;
  for (auto& [listener, number] : saved->listeners)
    program.listeners.emplace_back(listener, inherited_sockets_.at(number));
  if (program.what->is_function()) {
    program.mold = std::make_shared<mold_program>(
        services_, name.first, name.second, program.what, numbers_of(program.listeners),
        relays_of(name.first, program), std::move(changed), [this, name] { prepare_later(name); });
    program.mold->go_on(saved->mold.value_or(saved_mold()));
  } else {
    if (saved->file) {
      program.file_held = saved->file->where;
      program.file.emplace(saved->file->what, store.take(saved->file->where));
    }
    open_command(program);
    if (changed) boost::asio::post(services_.executor, std::move(changed));
  }
  inherited_.programs.erase(saved);
  go_on_with_children(name, program);
  return true;
}

void kernel_host::go_on_with_children(const program_name& name, generation& program) {
  std::erase_if(inherited_.children, [&](saved_child& saved) {
    auto& key = saved.request.key;
    if (key.pool != name.first || saved.request.generation != name.second) return false;
    auto made = make_child(program.what);
    if (!made->go_on(saved, program.who, program.mold)) return false;
    children_[saved.id].process = made;
    children_[saved.id].leases = leases_of(*made, program);
    keys_[key] = saved.id;
    return true;
  });
  if (program.mold && program.mold->cells()) program.mold->cells()->all_claimed();
}

kernel_host::lease_list kernel_host::leases_of(const child& made, const generation& program) try {
  auto& pool = made.view().key.pool;
  return take_listeners(program.listeners, made.slot(), pool, !!program.mold).leases;
} catch (const launch_failure&) {
  return {};  // then what comes to it is its own alone, as it was
}

void kernel_host::upgrade(std::function<void(std::string)> failed) {
  services_.options.store->upgrade(std::move(failed));
}

bool kernel_host::at_rest() const noexcept { return !services_.children.is_expecting(); }

void kernel_host::end_strangers() noexcept {
  for (auto& [id, held] : children_) held.process->end_if_strange();
}

/// What was held or made and is in no state: what was under way at the moment of the death.
void kernel_host::end_leftovers() {
  auto& store = *services_.options.store;
  for (auto& left : store.take_rest()) store.drop(left.where);
  for (pid_t pid : services_.children.strangers(std::exchange(found_, {})))
    if (was_being_made(pid, inherited_.at))
      kernel::kill_worker_of(services_.options.predecessor, pid);
  inherited_ = {};
  inherited_words_.clear();
  inherited_sockets_.clear();
}

}  // namespace supervisor
