// What workers have had stored for those that come after them: FDSTORE=1 of sd_notify(3).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "kernel/unique_fd.hpp"
#include "process/notify.hpp"
#include "process/saved_host.hpp"
#include "process/services.hpp"
#include "process/watched_fd.hpp"

namespace supervisor {

/// By pool and number of the slot: a worker that takes another's place in a rollout is one that
/// comes after it.
class stored_descriptors {
 public:
  using listing = std::vector<std::pair<std::string, int>>;

  explicit stored_descriptors(process_services& services) : services_(services) {}

  /// Does what a worker's message asks, and tells the journal. `worker`: an event about it. `most`:
  /// so many may be kept of its slot.
  void obey(event worker, notification&, std::size_t most);
  /// Oldest first.
  listing of(const std::string& pool, unsigned slot) const;
  void drop(const std::string& pool, unsigned slot);

  /// With all of them held.
  std::vector<saved_shelf> save();
  void restore(const std::vector<saved_shelf>&);

 private:
  using place = std::pair<std::string, unsigned>;
  struct kept {
    std::uint64_t id = 0;
    std::string name;
    bool polled = true;
    kernel::unique_fd file;
    held_index where = 0;
  };
  struct shelf {
    std::uint64_t slot_id = 0;  ///< of the worker that had one stored last
    std::vector<kept> all;
  };

  bool add(shelf&, notification&, kernel::unique_fd, std::size_t most);
  void remove(std::vector<kept>&, const std::function<bool(const kept&)>& such);
  void watch(const kept&);
  void watch_hangups();
  void on_hangup();
  void let_go(const place&, std::uint64_t id);
  void tell(event, std::string what, std::size_t refused);
  void note(const place&);
  saved_shelf save(const place&, shelf&);

  process_services& services_;
  std::map<place, shelf> shelves_;
  std::uint64_t last_ = 0;
  watched_fd hangups_;  ///< once there is one to watch
};

}  // namespace supervisor
