// The pairs of sockets on which workers hand connections over to others of their pool.
#pragma once

#include <sys/socket.h>

#include <map>
#include <string>
#include <vector>

#include "kernel/channel.hpp"
#include "kernel/descriptors.hpp"
#include "kernel/sockets.hpp"
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
      if (fresh) it->second = kernel::make_channel();
      all.push_back({name, it->second.ours.get(), it->second.theirs.get()});
    }
    return all;
  }
  /// Sends a connection to whoever accepts on that listener; false: there is no room, or no relay.
  bool give(const std::string& pool, const std::string& listener, int connection) const {
    auto it = pairs_.find({pool, listener});
    return it != pairs_.end() &&
           kernel::send_packet(it->second.theirs.get(), kernel::word::connection, {&connection, 1},
                               MSG_DONTWAIT) == 0;
  }
  /// The pool is no more.
  void forget(const std::string& pool) {
    std::erase_if(pairs_, [&](auto& each) { return each.first.first == pool; });
  }

 private:
  std::map<std::pair<std::string, std::string>, kernel::ends> pairs_;
};

}  // namespace supervisor
