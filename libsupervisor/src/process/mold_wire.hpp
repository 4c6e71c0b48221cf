// The packets between a supervisor and its mold, which may be another version of the same program.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace supervisor::mold_wire {

/// Counted up with every change of the packets. An upgraded master has molds of the release before:
/// first comes a release that understands both, and then one that speaks the new.
inline constexpr std::uint64_t version = 5;

/// The most that are in one packet of orders, so that a mold with few descriptors left has room for
/// theirs; and of answers.
inline constexpr std::size_t batch = 8;
inline constexpr std::size_t most_own = 16;  ///< listeners of a worker's own
inline constexpr std::size_t largest_orders = (2 + (6 + most_own) * batch) * sizeof(std::uint64_t);

/// The first field of a packet. In brackets: what follows.
enum class kind : std::uint64_t {
  setup = 1,  ///< [version, see write_setup()]; descriptors: listeners, two of each relay, then
              ///< activity if cells > 0
  orders,  ///< [count, and of each: id, slot, cell, has out, has err, places of its own listeners];
           ///< descriptors: of each its channel, out, err, listeners
  ready,   ///< []
  refused,  ///< [stage, errno, what]
  forked,   ///< [count, and of each: id, pid]; descriptors: of each its pidfd, or none
  failed,   ///< [id, stage, errno, what]
};

/// Numbers are 8 bytes in the machine's order, texts a number and their bytes.
class encoder {
 public:
  explicit encoder(kind k) { number(static_cast<std::uint64_t>(k)); }
  encoder& number(std::uint64_t value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  encoder& text(std::string_view value) {
    number(value.size());
    bytes_.append(value);
    return *this;
  }
  const std::string& bytes() const noexcept { return bytes_; }

 private:
  std::string bytes_;
};

/// Throws std::runtime_error at a packet that ends too early.
class decoder {
 public:
  explicit decoder(std::string_view bytes) : rest_(bytes) {}
  std::uint64_t number() {
    std::uint64_t value = 0;
    cut(sizeof value).copy(reinterpret_cast<char*>(&value), sizeof value);
    return value;
  }
  std::string_view text() { return cut(number()); }
  mold_wire::kind kind() { return static_cast<mold_wire::kind>(number()); }

 private:
  std::string_view cut(std::uint64_t size) {
    if (size > rest_.size()) throw std::runtime_error("a packet of the mold's socket is cut short");
    auto part = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return part;
  }
  std::string_view rest_;
};

}  // namespace supervisor::mold_wire
