// What was read of a child's output and is not told yet, where it outlives the process that tells.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace supervisor {

/// One chunk, of one pipe at a time; whoever comes after a process that was killed between any two
/// instructions tells the rest of it. Plain memory: all zero is a chunk of nobody.
class output_in_hand {
 public:
  /// What is read in one turn of the loop: a child that floods its pipe must not keep it. So little
  /// because each of these bytes may be a line, which costs a system call or two to log.
  static constexpr std::size_t most = 1024;

  /// `pipe`: where the store holds it. `rest`: the length of the line's beginning that came before.
  void begin(std::uint32_t pipe, std::size_t rest) noexcept {
    end();
    told_.store(0, std::memory_order_release);
    rest_.store(static_cast<std::uint32_t>(rest), std::memory_order_release);
    // What read(2) has filled in is known by it, for nothing can be noted in the instant behind it.
    // Text does not end with a zero.
    std::memset(bytes_, 0, most);
    pipe_.store(pipe, std::memory_order_release);
  }
  void end() noexcept { pipe_.store(0, std::memory_order_release); }

  std::uint32_t pipe() const noexcept { return pipe_.load(std::memory_order_acquire); }
  std::size_t rest() const noexcept { return rest_.load(std::memory_order_acquire); }
  char* room() noexcept { return bytes_; }
  std::size_t size() const noexcept {
    return std::string_view(bytes_, most).find_last_not_of('\0') + 1;
  }
  std::string_view untold(std::size_t size) const noexcept {
    auto told = told_.load(std::memory_order_acquire);
    return told < size ? std::string_view(bytes_ + told, size - told) : std::string_view();
  }
  /// The rest is told, and so many bytes.
  void tell(std::size_t bytes) noexcept {
    rest_.store(0, std::memory_order_release);
    told_.fetch_add(static_cast<std::uint32_t>(bytes), std::memory_order_release);
  }

 private:
  std::atomic<std::uint32_t> pipe_, rest_, told_;
  char bytes_[most];
  static_assert(std::atomic<std::uint32_t>::is_always_lock_free);
};

}  // namespace supervisor
