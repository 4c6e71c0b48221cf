// What is saved, in a memory that outlives this process.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/unique_fd.hpp"
#include "process/output_in_hand.hpp"

namespace supervisor {

/// A whole, and behind it what has changed since, change by change. Whenever a process that adds
/// one ends, the change is there entirely or not at all.
class saved_memory {
 public:
  /// A new one, with room for changes. Throws system_error.
  explicit saved_memory(std::string_view whole);
  /// One that another process has left, which it goes on with. Throws.
  explicit saved_memory(kernel::unique_fd);
  ~saved_memory();
  saved_memory(const saved_memory&) = delete;

  int fd() const noexcept { return fd_.get(); }
  /// False, and nothing is added: there is no room.
  bool add(std::string_view change) noexcept;
  /// Beside the parts, and as it was left.
  output_in_hand& hand() const noexcept { return head_->hand; }
  /// The last event of the journal that is in the log, of those among the changes.
  std::atomic<std::uint64_t>& logged() const noexcept { return head_->logged; }
  /// So full that it is time for a new one.
  bool runs_short() const noexcept;
  /// The whole, then the changes in their order.
  std::vector<std::string> read() const;

  /// Where the parts begin, in all versions.
  static constexpr std::uint64_t begin = 2048;

 private:
  struct head {
    std::atomic<std::uint64_t> used;  ///< of all, this included
    std::atomic<std::uint64_t> logged;
    output_in_hand hand;
  };
  static_assert(std::atomic<std::uint64_t>::is_always_lock_free && sizeof(head) <= begin);

  char* at(std::uint64_t place) const noexcept { return reinterpret_cast<char*>(head_) + place; }

  kernel::unique_fd fd_;
  std::uint64_t size_;
  head* head_;
};

}  // namespace supervisor
