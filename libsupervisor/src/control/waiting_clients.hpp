// Clients that wait for what they have asked for: the master that comes after this one answers
// them.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <string>
#include <vector>

#include "control/command.hpp"

namespace supervisor {

/// What is known of one.
struct waiting_client {
  std::uint32_t where = 0;  ///< its socket is held there
  std::uint64_t cause = 0;  ///< the command's event
  std::string command;      ///< "scale web +1"
  bool stop = false;        ///< of everything; else `what`
  bool upgrade = false;     ///< of the master's program; else `what`
  undertaking what;
};

/// Where sockets outlive this process.
struct socket_store {
  std::function<std::uint32_t(int socket)> hold;
  std::function<void(std::uint32_t)> drop;
  /// One that the process before this one has had held, ours from now on; -1 where it is no more.
  std::function<int(std::uint32_t)> take;
};

/// What this supervisor knows of them is saved with its state, whenever it changes.
class waiting_clients {
 public:
  waiting_clients(supervisor&, socket_store);

  /// Keeps one known for as long as it lives.
  class known {
   public:
    known(waiting_clients&, waiting_client);
    ~known();
    known(const known&) = delete;
    const waiting_client& operator*() const { return *place_; }

   private:
    waiting_clients& all_;
    std::list<waiting_client>::iterator place_;
  };
  /// Has its socket held.
  std::uint32_t hold(int socket) { return store_.hold ? store_.hold(socket) : 0; }

  /// Those of the process before this one. Their sockets are ours.
  struct left_one {
    int socket = -1;
    waiting_client client;
  };
  std::vector<left_one> take_left();

 private:
  void save();

  supervisor& self_;
  socket_store store_;
  std::list<waiting_client> all_;
};

}  // namespace supervisor
