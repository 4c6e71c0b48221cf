#include "control/waiting_clients.hpp"

#include <utility>

#include "host/archive.hpp"

namespace supervisor {

// The numbers are the schema, as in supervision/saved.cpp.

template <typename Archive>
void fields(Archive& a, awaited& w) {
  a(1, w.what)(2, w.id)(3, w.why)(4, w.reason);
}

template <typename Archive>
void fields(Archive& a, waiting_client& c) {
  a(1, c.where)(2, c.cause)(3, c.command)(4, c.stop)(5, c.what.pools)(6, c.upgrade);
}

waiting_clients::waiting_clients(supervisor& self, socket_store store)
    : self_(self), store_(std::move(store)) {}

waiting_clients::known::known(waiting_clients& all, waiting_client client) : all_(all) {
  place_ = all_.all_.insert(all_.all_.end(), std::move(client));
  all_.save();
}

waiting_clients::known::~known() {
  if (place_->where) all_.store_.drop(place_->where);
  all_.all_.erase(place_);
  all_.save();
}

std::vector<waiting_clients::left_one> waiting_clients::take_left() {
  std::vector<waiting_client> known;
  archive::read(self_.kept_beside(), known);
  std::vector<left_one> left;
  for (auto& client : known)
    if (int socket = store_.take ? store_.take(client.where) : -1; socket >= 0)
      left.push_back({socket, std::move(client)});
  return left;
}

void waiting_clients::save() {
  if (store_.hold) self_.keep_beside(archive::write(all_));
}

}  // namespace supervisor
