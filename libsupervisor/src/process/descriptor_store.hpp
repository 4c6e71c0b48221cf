// Where descriptors are held that must outlive this process: by its keeper, or by nobody.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "kernel/pidfd.hpp"
#include "kernel/unique_fd.hpp"

namespace supervisor {

class descriptor_store {
 public:
  using index = std::uint32_t;  ///< 0: nowhere
  /// Of a process that was held there: its end, which whoever reaped it tells.
  using teller = std::function<void(index, const kernel::obituary&)>;
  virtual ~descriptor_store() = default;

  /// Has a duplicate held; 0 where that cannot be.
  virtual index hold(int descriptor) = 0;
  /// The same, of a process, whose end is told once it is no child of ours any more.
  virtual index hold_process(int pidfd, pid_t) = 0;
  /// Its index is given again once a state is kept that does not know of it.
  virtual void drop(index) noexcept = 0;
  /// What is held is enough to go on from, with this memory. `stops`: that knows of the stop that
  /// whoever holds it may have told us of.
  virtual void keep_state(int memory, bool stops) = 0;
  /// One that the process before this one has left: ours from now on, and held as before. Empty
  /// where there is none.
  virtual kernel::unique_fd take(index) = 0;
  /// The pids of what was left and not taken are those of processes that nobody knows.
  struct leftover {
    index where = 0;
    pid_t pid = 0;  ///< 0: no process
    kernel::unique_fd descriptor;
  };
  virtual std::vector<leftover> take_rest() = 0;
  /// From now on; what was told before comes first, from within.
  virtual void on_end(teller) = 0;
  /// Has this program replaced by what is on disk now in its place. Calls `failed` from the loop
  /// where that cannot be; where it can, another process goes on from what is held.
  virtual void upgrade(std::function<void(std::string why)> failed) = 0;
};

}  // namespace supervisor
