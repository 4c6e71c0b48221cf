#include "process/saved_memory.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "kernel/descriptors.hpp"

namespace supervisor {

namespace {

/// For changes, at least. It costs memory once it is used.
constexpr std::uint64_t least_room = 256 * 1024;
using length = std::uint64_t;  ///< of each part, before it

}  // namespace

saved_memory::saved_memory(std::string_view whole)
    // As much again, so that writing wholes costs no more than writing changes, in the long run.
    : fd_(kernel::make_fixed_memory(
          "supervisor-state",
          begin + sizeof(length) + whole.size() + std::max(least_room, 2 * whole.size()))),
      size_(kernel::size_of_memory(fd_.get())),
      head_(static_cast<head*>(kernel::map_shared(fd_.get(), size_))) {
  head_->used = begin;
  add(whole);
}

saved_memory::saved_memory(kernel::unique_fd left)
    : fd_(std::move(left)),
      size_(kernel::size_of_memory(fd_.get())),
      head_(static_cast<head*>(kernel::map_shared(fd_.get(), size_))) {}

saved_memory::~saved_memory() { kernel::unmap(head_, size_); }

bool saved_memory::add(std::string_view change) noexcept {
  auto used = head_->used.load(std::memory_order_relaxed);
  const length size = change.size();
  if (sizeof size + size > size_ - used) return false;
  std::memcpy(at(used), &size, sizeof size);
  std::memcpy(at(used + sizeof size), change.data(), size);
  head_->used.store(used + sizeof size + size, std::memory_order_release);
  return true;
}

bool saved_memory::runs_short() const noexcept {
  return size_ - head_->used.load(std::memory_order_relaxed) < least_room / 4;
}

std::vector<std::string> saved_memory::read() const {
  std::vector<std::string> parts;
  auto end = head_->used.load(std::memory_order_acquire);
  auto damaged = [] { return std::runtime_error("the saved state is damaged"); };
  if (end > size_) throw damaged();
  for (std::uint64_t place = begin; place < end;) {
    length size = 0;
    if (sizeof size > end - place) throw damaged();
    std::memcpy(&size, at(place), sizeof size);
    place += sizeof size;
    if (size > end - place) throw damaged();
    parts.emplace_back(at(place), size);
    place += size;
  }
  if (parts.empty()) throw damaged();
  return parts;
}

}  // namespace supervisor
