#include "process/listener_table.hpp"

#include <algorithm>

#include "kernel/sockets.hpp"

namespace supervisor {

open_listener::~open_listener() {
  if (ours) kernel::remove_listener(address);
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
    return each.address.name == spec.name && spec.matches(each.address);
  });
  if (known == inherited_.end()) {
    auto fd = kernel::open_listener(spec);
    return std::make_shared<open_listener>(spec, std::move(fd), true);
  }
  spec.host = known->address.host;
  spec.port = known->address.port;
  auto socket = std::make_shared<open_listener>(spec, std::move(known->fd), false);
  inherited_.erase(known);
  return socket;
}

listener_spec listener_table::open(const listener_spec& wanted) {
  auto known = std::ranges::find(names_, wanted.name, &named::first);
  auto spec = wanted;
  if (known != names_.end() && wanted.matches(known->second->address))
    spec.port = known->second->address.port;
  auto socket = find_open(spec.address());
  if (!socket) sockets_.emplace_back(socket = make(spec));
  if (told_) told_(spec.name, socket->fd.get());
  if (known == names_.end())
    names_.emplace_back(spec.name, std::move(socket));
  else
    known->second = std::move(socket);
  return spec;
}

void listener_table::close(const std::string& name) {
  auto closed = std::erase_if(names_, [&](auto& each) { return each.first == name; });
  if (closed && told_) told_(name, -1);
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

}  // namespace supervisor
