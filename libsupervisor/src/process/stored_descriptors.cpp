#include "process/stored_descriptors.hpp"

#include <algorithm>
#include <boost/system/system_error.hpp>
#include <tuple>

#include "kernel/hangups.hpp"

namespace supervisor {

void stored_descriptors::obey(event worker, notification& said, std::size_t most) {
  place at{worker.pool, worker.slot};
  auto& shelf = shelves_[at];
  shelf.slot_id = worker.slot_id;
  if (said.unstores) {
    remove(shelf.all, [&](auto& each) { return each.name == said.name; });
    tell(worker, "no longer stores '" + said.name + "'", 0);
  }
  if (said.stores) {
    std::size_t refused = 0;
    for (auto& file : said.descriptors) refused += !add(shelf, said, std::move(file), most);
    auto name = "'" + said.name + "'";
    // recvmsg(2) leaves out what we have no room for.
    if (said.descriptors.empty())
      tell(worker, "cannot store " + name + ": no descriptor has come along", 1);
    else if (refused)
      tell(worker, "may not store " + name + ": its slot may have " + std::to_string(most),
           refused);
    else
      tell(worker, "stores " + name, 0);
  }
  note(at);
}

/// False: it is one too many. One that is kept already is not kept twice, as systemd has it: a
/// worker may store again what it was given.
bool stored_descriptors::add(shelf& to, notification& said, kernel::unique_fd file,
                             std::size_t most) {
  auto same = [&](auto& each) { return kernel::same_file(each.file.get(), file.get()); };
  if (std::ranges::any_of(to.all, same)) return true;
  if (to.all.size() >= most) return false;
  to.all.push_back({++last_, said.name, said.polled, std::move(file)});
  watch(to.all.back());
  return true;
}

void stored_descriptors::remove(std::vector<kept>& all,
                                const std::function<bool(const kept&)>& such) {
  std::erase_if(all, [&](auto& each) {
    if (!such(each)) return false;
    if (hangups_) kernel::forget_hangup(hangups_.get(), each.file.get());
    if (auto* store = services_.options.store) store->drop(each.where);
    return true;
  });
}

void stored_descriptors::watch(const kept& one) {
  if (!one.polled) return;
  try {
    if (!hangups_)
      hangups_ = watched_fd(services_.executor, kernel::make_hangup_set(), [this] { on_hangup(); });
    kernel::watch_hangup(hangups_.get(), one.file.get(), one.id);
  } catch (const boost::system::system_error&) {
    // No descriptor left: then it is kept although its other side may go.
  }
}

void stored_descriptors::on_hangup() {
  while (auto id = kernel::next_hangup(hangups_.get()))
    for (auto& [at, shelf] : shelves_)
      if (std::ranges::find(shelf.all, *id, &kept::id) != shelf.all.end()) {
        let_go(at, *id);
        break;
      }
}

void stored_descriptors::let_go(const place& at, std::uint64_t id) {
  auto& shelf = shelves_.at(at);
  auto gone = std::ranges::find(shelf.all, id, &kept::id);
  event e(event_kind::worker_stored);
  std::tie(e.pool, e.slot) = at;
  e.slot_id = shelf.slot_id;
  auto what = "loses '" + gone->name + "', which it had stored: its other side is gone";
  remove(shelf.all, [&](auto& each) { return each.id == id; });
  tell(std::move(e), std::move(what), 0);
  note(at);
}

void stored_descriptors::tell(event about, std::string what, std::size_t refused) {
  about.count = static_cast<std::int64_t>(shelves_.at({about.pool, about.slot}).all.size());
  about.number = static_cast<std::int64_t>(refused);
  about.text = std::move(what);
  services_.log.record(std::move(about));
}

stored_descriptors::listing stored_descriptors::of(const std::string& pool, unsigned slot) const {
  listing all;
  if (auto known = shelves_.find({pool, slot}); known != shelves_.end())
    for (auto& each : known->second.all) all.emplace_back(each.name, each.file.get());
  return all;
}

void stored_descriptors::drop(const std::string& pool, unsigned slot) {
  auto known = shelves_.find({pool, slot});
  if (known == shelves_.end()) return;
  remove(known->second.all, [](auto&) { return true; });
  note(known->first);
}

// What outlives this process.

/// What is kept now is known to whoever comes after us.
void stored_descriptors::note(const place& at) {
  auto known = shelves_.find(at);
  if (services_.keep) {
    saved_change change;
    change.shelf = save(at, known->second);
    services_.keep(change);
  }
  if (known->second.all.empty()) shelves_.erase(known);
}

saved_shelf stored_descriptors::save(const place& at, shelf& from) {
  auto& store = *services_.options.store;
  saved_shelf saved{at.first, at.second, from.slot_id, {}};
  for (auto& each : from.all) {
    if (!each.where) each.where = store.hold(each.file.get());
    saved.descriptors.push_back({each.name, each.polled, each.where});
  }
  return saved;
}

std::vector<saved_shelf> stored_descriptors::save() {
  std::vector<saved_shelf> saved;
  for (auto& [at, shelf] : shelves_) saved.push_back(save(at, shelf));
  return saved;
}

void stored_descriptors::restore(const std::vector<saved_shelf>& saved) {
  for (auto& from : saved) {
    auto& shelf = shelves_[{from.pool, from.slot}];
    shelf.slot_id = from.slot_id;
    for (auto& each : from.descriptors)
      if (auto file = services_.options.store->take(each.where)) {
        shelf.all.push_back({++last_, each.name, each.polled, std::move(file), each.where});
        watch(shelf.all.back());
      }
  }
}

}  // namespace supervisor
