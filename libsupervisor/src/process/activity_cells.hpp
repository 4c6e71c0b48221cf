// The shared memory in which the workers of one program count.
#pragma once

#include <optional>
#include <set>
#include <vector>

#include "kernel/activity.hpp"
#include "kernel/unique_fd.hpp"

namespace supervisor {

/// Sparse: a cell costs memory once it is used. Lives as long as any worker that counts in it.
class activity_cells {
 public:
  static constexpr std::size_t count = 16384;
  activity_cells();  ///< throws system_error
  /// Those of another process, which had given out so many.
  activity_cells(kernel::unique_fd memory, std::size_t used);
  ~activity_cells();
  activity_cells(const activity_cells&) = delete;

  int memory() const noexcept { return memory_.get(); }
  /// A cleared cell; none when all are taken.
  std::optional<std::size_t> take();
  std::size_t used() const noexcept { return used_; }
  void give_back(std::size_t cell) { free_.push_back(cell); }
  /// One that another process has given out is in use.
  void claim(std::size_t cell);
  /// The others of that process are free.
  void all_claimed();
  kernel::activity& at(std::size_t cell) noexcept { return cells_[cell]; }

 private:
  kernel::unique_fd memory_;
  kernel::activity* cells_;
  std::vector<std::size_t> free_;
  std::set<std::size_t> claimed_;
  std::size_t used_ = 0;
};

}  // namespace supervisor
