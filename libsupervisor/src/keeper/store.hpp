// What a keeper holds, by the numbers that masters have chosen.
#pragma once

#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <utility>

#include "keeper/wire.hpp"
#include "kernel/descriptors.hpp"
#include "kernel/unique_fd.hpp"

namespace supervisor {

/// The memory is there from the start, and costs what is used of it.
class keeper_store {
 public:
  struct place {
    int number = 0;  ///< of the descriptor, and 1 added: what was never written to is 0
    pid_t pid = 0;
    bool tell = false;  ///< the master is yet to be told of the descriptor
    bool tell_end = false;
    keeper_wire::process_end end;
    int fd() const noexcept { return number - 1; }
  };

  keeper_store() noexcept {
    // Of descriptors, where the limit is none; and numbers that were given back, and are not given
    // again before the next state is kept.
    constexpr std::size_t most = 1 << 20, rest = 1 << 18;
    auto count = std::min<std::size_t>(kernel::descriptor_limit().rlim_max, most) + rest;
    void* memory = ::mmap(nullptr, count * sizeof(place), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory != MAP_FAILED) all_ = {static_cast<place*>(memory), count};
  }

  /// Null where there is no such place.
  place* put(std::size_t index, pid_t pid, kernel::unique_fd fd) noexcept {
    if (index >= all_.size()) return nullptr;
    drop(index);
    all_[index] = {fd.release() + 1, pid, false, false, {}};
    used_ = std::max(used_, index + 1);
    return &all_[index];
  }
  void drop(std::size_t index) noexcept {
    if (index >= used_) return;
    if (all_[index].number) ::close(all_[index].fd());
    all_[index] = {};
  }
  int at(std::size_t index) const noexcept { return index < used_ ? all_[index].fd() : -1; }
  std::span<place> places() const noexcept { return all_.first(used_); }
  /// The process of that pid, if it is held and lives.
  place* find(pid_t pid) const noexcept {
    auto used = places();
    auto it = std::ranges::find_if(used, [pid](auto& p) { return p.pid == pid && !p.end.code; });
    return it == used.end() ? nullptr : &*it;
  }

 private:
  std::span<place> all_;
  std::size_t used_ = 0;
};

/// The last ends of children that were not held: what a mold forks is known to its master first.
class unheld_ends {
 public:
  void add(pid_t pid, const keeper_wire::process_end& end) noexcept {
    auto same = find(pid);  // of who had the number before
    *(same == all_.end() ? &all_[count_++ % all_.size()] : same) = {pid, end};
  }
  /// That of the process by this pidfd, if it is there; none where that lives. Either way what is
  /// known of the number is of no more use.
  keeper_wire::process_end take(pid_t pid, int pidfd) noexcept {
    auto known = find(pid);
    if (known == all_.end()) return {};
    auto end = std::exchange(*known, {}).end;
    return kernel::wait_readable(pidfd, duration{}) ? end : keeper_wire::process_end{};
  }

 private:
  struct entry {
    pid_t pid = 0;
    keeper_wire::process_end end;
  };
  entry* find(pid_t pid) noexcept { return std::ranges::find(all_, pid, &entry::pid); }

  std::array<entry, 64> all_;
  std::size_t count_ = 0;
};

}  // namespace supervisor
