#include "process/listener_table.hpp"

#include <algorithm>
#include <boost/system/system_error.hpp>
#include <cerrno>
#include <map>

#include "kernel/reuseport.hpp"
#include "kernel/sockets.hpp"
#include "process/command.hpp"
#include "process/mold_wire.hpp"

namespace supervisor {

open_listener::~open_listener() {
  remove_file();
  if (!store) return;
  store->drop(where);
  store->drop(file_where);
}

void open_listener::remove_file() noexcept {
  if (file) kernel::remove_listener(address, file);
}

/// One that is still open is taken again: under another name, or before its last worker has left.
std::shared_ptr<open_listener> listener_table::find_open(const std::string& address) {
  std::erase_if(sockets_, [](auto& socket) { return socket.expired(); });
  for (auto& each : sockets_)
    if (auto socket = each.lock(); socket->address.address() == address) return socket;
  return nullptr;
}

std::shared_ptr<open_listener> listener_table::make(listener_spec& spec) {
  auto known = std::ranges::find_if(inherited_, [&](const kernel::inherited_listener& each) {
    return each.address.name == spec.name && each.place == 0 && spec.matches(each.address);
  });
  if (known == inherited_.end()) {
    auto fd = kernel::open_listener(spec);
    return std::make_shared<open_listener>(spec, std::move(fd), kernel::pin_file(spec));
  }
  spec.host = known->address.host;
  spec.port = known->address.port;
  if (spec.sharded) kernel::let_others_join(known->fd.get());
  auto socket = std::make_shared<open_listener>(spec, std::move(known->fd), kernel::unique_fd());
  inherited_.erase(known);
  if (spec.sharded) socket->others = take_others(spec.name);
  return socket;
}

/// Those of a sharded one behind the first, in their order.
std::vector<kernel::unique_fd> listener_table::take_others(const std::string& name) {
  std::map<unsigned, kernel::unique_fd> by_place;
  for (auto& each : inherited_)
    if (each.address.name == name) by_place[each.place] = std::move(each.fd);
  std::erase_if(inherited_, [&](auto& each) { return each.address.name == name; });
  std::vector<kernel::unique_fd> all;
  for (auto& [place, fd] : by_place) all.push_back(std::move(fd));
  return all;
}

listener_spec listener_table::open(const listener_spec& wanted) {
  auto known = std::ranges::find(names_, wanted.name, &named::first);
  auto spec = wanted;
  if (known != names_.end() && wanted.matches(known->second->address))
    spec.port = known->second->address.port;
  auto socket = find_open(spec.address());
  if (socket && socket->address.sharded != spec.sharded)
    kernel::refuse_listener(spec, EADDRINUSE,
                            "a listener is sharded or not as long as it is open; give it another "
                            "address, or start anew");
  if (!socket) sockets_.emplace_back(socket = make(spec));
  if (known != names_.end() && known->second != socket) tell_gone(*known);
  if (told_) told_(spec.name, 0, socket->fd.get());
  if (known == names_.end())
    names_.emplace_back(spec.name, std::move(socket));
  else
    known->second = std::move(socket);
  return spec;
}

void listener_table::close(const std::string& name) {
  auto known = std::ranges::find(names_, name, &named::first);
  if (known == names_.end()) return;
  tell_gone(*known);
  if (told_) told_(name, 0, -1);
  names_.erase(known);
}

/// All but the first.
void listener_table::tell_gone(const named& known) const {
  auto count = known.second->sockets().size();
  for (unsigned place = 1; told_ && place < count; ++place) told_(known.first, place, -1);
}

void listener_table::tell_shard(const open_listener& of, unsigned place, int socket) const {
  for (auto& [name, means] : names_)
    if (told_ && means.get() == &of) told_(name, place, socket);
}

void listener_table::remove_files() noexcept {
  for (auto& each : sockets_)
    if (auto socket = each.lock()) socket->remove_file();
}

void listener_table::restore(std::vector<std::shared_ptr<open_listener>> sockets,
                             std::vector<named> names) {
  sockets_.assign(sockets.begin(), sockets.end());
  names_ = std::move(names);
}

std::vector<listener_spec> listener_table::addresses() const {
  std::vector<listener_spec> all;
  for (auto& [name, socket] : names_) {
    all.push_back(socket->address);
    all.back().name = name;
  }
  return all;
}

std::vector<listener_table::named> listener_table::find(
    const std::optional<std::vector<std::string>>& names) const {
  if (!names) return names_;
  std::vector<named> chosen;
  for (auto& name : *names) {
    auto known = std::ranges::find(names_, name, &named::first);
    if (known != names_.end()) chosen.push_back(*known);
  }
  return chosen;
}

std::vector<std::pair<std::string, int>> numbers_of(
    const std::vector<listener_table::named>& listeners) {
  std::vector<std::pair<std::string, int>> all;
  for (auto& [name, socket] : listeners) all.emplace_back(name, socket->fd.get());
  return all;
}

taken_listeners take_listeners(const std::vector<listener_table::named>& listeners, unsigned slot,
                               const std::string& pool, bool is_function) {
  taken_listeners taken;
  for (auto& [name, socket] : listeners) {
    taken.all.emplace_back(name, socket->fd.get());
    if (!socket->parts) continue;
    // What is left at a socket of its own could be given to no other program.
    if (!is_function && !kernel::moves_to_others())
      throw launch_failure{{"listener", EOPNOTSUPP,
                            name + ": a sharded one is for worker functions, or needs "
                                   "net.ipv4.tcp_migrate_req=1"}};
    if (taken.own.size() == mold_wire::most_own)
      throw launch_failure{{"listener", E2BIG, "too many sharded listeners"}};
    try {
      auto& lease = taken.leases.emplace_back(socket->parts->take({slot, pool, name, is_function}));
      taken.all.back().second = lease->socket();
    } catch (const boost::system::system_error& e) {
      throw launch_failure{{"listener", e.code().value(), name}};
    }
    taken.own.emplace_back(taken.all.size() - 1, taken.all.back().second);
  }
  return taken;
}

}  // namespace supervisor
