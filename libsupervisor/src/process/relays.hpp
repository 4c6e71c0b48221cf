// The pairs of sockets on which workers hand connections over to others of their pool.
#pragma once

#include <sys/socket.h>

#include <map>
#include <string>
#include <vector>

#include "kernel/channel.hpp"
#include "kernel/descriptors.hpp"
#include "kernel/sockets.hpp"
#include "process/saved_host.hpp"
#include "worker/boot.hpp"

namespace supervisor {

/// One pair a listener, the same for all generations of a pool. We hold both ends and touch
/// neither: what a worker has sent waits there while no other lives.
class relays {
 public:
  /// Of these listeners; made where there is none yet. Throws system_error.
  std::vector<relay> of(const std::string& pool, const std::vector<std::string>& listeners) {
    std::vector<relay> all;
    for (auto& name : listeners) {
      auto [it, fresh] = pairs_.try_emplace({pool, name});
      if (fresh) it->second.both = kernel::make_channel();
      all.push_back({name, it->second.both.ours.get(), it->second.both.theirs.get()});
    }
    return all;
  }
  /// Sends a connection to whoever accepts on that listener; false: there is no room, or no relay.
  bool give(const std::string& pool, const std::string& listener, int connection) const {
    auto it = pairs_.find({pool, listener});
    return it != pairs_.end() &&
           kernel::send_packet(it->second.both.theirs.get(), kernel::word::connection,
                               {&connection, 1}, MSG_DONTWAIT) == 0;
  }
  /// The pool is no more.
  void forget(const std::string& pool, descriptor_store* store) {
    std::erase_if(pairs_, [&](auto& each) {
      if (each.first.first != pool) return false;
      if (store)
        for (auto where : {each.second.ours, each.second.theirs}) store->drop(where);
      return true;
    });
  }
  /// Held by the store from the first saving on, with what waits in them.
  std::vector<saved_relay> save(descriptor_store& store) {
    std::vector<saved_relay> all;
    for (auto& [name, ends] : pairs_) {
      if (!ends.ours) ends.ours = store.hold(ends.both.ours.get());
      if (!ends.theirs) ends.theirs = store.hold(ends.both.theirs.get());
      all.push_back({name.first, name.second, ends.ours, ends.theirs});
    }
    return all;
  }
  void restore(descriptor_store& store, const std::vector<saved_relay>& saved) {
    for (auto& each : saved)
      pairs_[{each.pool, each.listener}] = {
          {store.take(each.ours), store.take(each.theirs)}, each.ours, each.theirs};
  }

 private:
  struct kept_ends {
    kernel::ends both;
    held_index ours = 0, theirs = 0;
  };
  std::map<std::pair<std::string, std::string>, kept_ends> pairs_;
};

}  // namespace supervisor
