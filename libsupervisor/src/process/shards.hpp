// A listener with one socket a slot (SO_REUSEPORT), all of them held here.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernel/unique_fd.hpp"
#include "process/descriptor_store.hpp"
#include "process/watched_fd.hpp"

namespace supervisor {

struct process_services;
struct saved_shard;

/// Whose a shard is, as it was last taken.
struct shard_user {
  unsigned slot = 0;
  std::string pool;
  std::string listener;           ///< what the pool calls it
  bool takes_connections = true;  ///< its workers can be given one that was accepted here
  friend bool operator==(const shard_user&, const shard_user&) = default;
};

/// The sockets of one address. New connections go only to slots of which a worker serves, as long
/// as there is one. What still comes to another - it was queued when its worker died or left, or
/// its handshake had begun - is accepted here and passed on to a worker that serves. A slot without
/// workers loses its socket once nothing can come to it any more.
class shards : public std::enable_shared_from_this<shards> {
 public:
  /// Gives a connection to a worker of this pool that serves; false: not now.
  using passer = std::function<bool(const shard_user&, int connection)>;
  /// Told of what comes to a place behind the first in the kernel's order, and of one (-1) that is
  /// no more.
  using observer = std::function<void(unsigned place, int socket)>;
  /// `first` is the listener's own socket; it stays, whoever uses it. `others` were passed with it.
  /// Throws system_error.
  shards(process_services&, int first, std::vector<kernel::unique_fd> others, int backlog, passer,
         observer);
  /// Those that another process has left. Where it had leases, these are to be taken once more.
  shards(process_services&, const std::vector<saved_shard>&, int backlog, passer, observer);
  ~shards();
  /// In the kernel's order, with their sockets held.
  std::vector<saved_shard> save();

  /// One worker's use of its slot's socket, from its launch to its death.
  class lease {
   public:
    ~lease();
    lease(const lease&) = delete;
    int socket() const noexcept;
    /// Whether new connections may come its way.
    void serve(bool);

   private:
    friend class shards;
    lease(std::shared_ptr<shards>, struct shard&);
    std::shared_ptr<shards> of_;
    struct shard& shard_;
    bool serves_ = false;
  };
  /// Opens a socket for the slot where there is none. Throws system_error.
  std::unique_ptr<lease> take(const shard_user&);
  /// All there are.
  std::vector<int> sockets() const;

 private:
  void update();
  const shard_user* heir() const;
  void tend(shard&);
  void close_later(shard&);
  void empty(shard&);
  static bool accept(shard&, bool& more);
  void close(std::uint64_t id);

  process_services& services_;
  int backlog_;
  passer pass_;
  observer told_;
  std::vector<std::unique_ptr<shard>> group_;  ///< in the kernel's order
  std::uint64_t last_ = 0;
};

}  // namespace supervisor
