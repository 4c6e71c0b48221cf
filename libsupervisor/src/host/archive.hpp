// Plain data as bytes that another version of this program can read.
//
// A struct is told by a function fields(archive, value&), found beside it, which names its members
// by numbers that never change their meaning and go up:
//
//     template <typename Archive>
//     void fields(Archive& a, point& p) { a(1, p.x), a(2, p.y); }
//
// A reader passes over numbers that it does not know, and leaves a member alone that is not there:
// so a newer and an older program read each other's.
#pragma once

#include <bitset>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace supervisor::archive {

struct unreadable : std::runtime_error {
  unreadable() : std::runtime_error("the saved state cannot be read: it ends too early") {}
};

/// How a value is made that is then read into; for those that no default can be.
template <typename T>
T blank() {
  return T();
}

template <typename T>
concept number = std::integral<T> || std::is_enum_v<T>;
template <typename T>
concept list = requires(T& t) { t.insert(t.end(), std::declval<typename T::value_type>()); };

class writer {
 public:
  static constexpr bool reads = false;
  template <typename T>
  writer& operator()(std::uint64_t tag, const T& value) {
    put(tag);
    writer part;
    part.encode(value);
    text(part.bytes_);
    return *this;
  }
  const std::string& bytes() const noexcept { return bytes_; }

  void encode(bool value) { put(value); }
  void encode(number auto value) { put(static_cast<std::uint64_t>(value)); }
  void encode(double value) { bytes_.append(reinterpret_cast<const char*>(&value), sizeof value); }
  void encode(const std::string& value) { bytes_ += value; }
  template <typename Rep, typename Period>
  void encode(const std::chrono::duration<Rep, Period>& value) {
    encode(value.count());
  }
  template <typename Clock, typename Duration>
  void encode(const std::chrono::time_point<Clock, Duration>& value) {
    encode(value.time_since_epoch());
  }
  template <std::size_t size>
  void encode(const std::bitset<size>& value) {
    bytes_ += value.to_string();
  }
  template <typename T>
  void encode(const std::optional<T>& value) {
    if (value) element(*value);
  }
  template <list List>
    requires(!std::same_as<List, std::string>)
  void encode(const List& values) {
    for (auto& value : values) element(value);
  }
  template <typename First, typename Second>
  void encode(const std::pair<First, Second>& value) {
    (*this)(1, value.first)(2, value.second);
  }
  template <typename T>
    requires requires(writer& w, T& value) { fields(w, value); }
  void encode(const T& value) {
    fields(*this, const_cast<T&>(value));  // which only reads, with a writer
  }

 private:
  /// Seven bits a byte, the lowest first.
  void put(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }
  void text(std::string_view value) {
    put(value.size());
    bytes_ += value;
  }
  template <typename T>
  void element(const T& value) {
    writer part;
    part.encode(value);
    text(part.bytes_);
  }

  std::string bytes_;
};

class reader {
 public:
  static constexpr bool reads = true;
  explicit reader(std::string_view bytes) : rest_(bytes) {}

  template <typename T>
  reader& operator()(std::uint64_t tag, T& value) {
    while (!rest_.empty() || pending_) {
      if (!pending_) pending_ = get();
      if (*pending_ > tag) return *this;
      bool found = *std::exchange(pending_, std::nullopt) == tag;
      reader part(text());
      if (found) return part.decode(value), *this;
    }
    return *this;
  }

  void decode(bool& value) { value = get() != 0; }
  template <number T>
  void decode(T& value) {
    value = static_cast<T>(get());
  }
  void decode(double& value) {
    auto bytes = cut(sizeof value);
    std::memcpy(&value, bytes.data(), sizeof value);
  }
  void decode(std::string& value) { value = std::exchange(rest_, {}); }
  template <typename Rep, typename Period>
  void decode(std::chrono::duration<Rep, Period>& value) {
    Rep count{};
    decode(count);
    value = std::chrono::duration<Rep, Period>(count);
  }
  template <typename Clock, typename Duration>
  void decode(std::chrono::time_point<Clock, Duration>& value) {
    Duration since{};
    decode(since);
    value = std::chrono::time_point<Clock, Duration>(since);
  }
  template <std::size_t size>
  void decode(std::bitset<size>& value) {
    auto digits = std::exchange(rest_, {});
    if (digits.size() > size || digits.find_first_not_of("01") != digits.npos) throw unreadable();
    value = std::bitset<size>(std::string(digits));
  }
  template <typename T>
  void decode(std::optional<T>& value) {
    value.reset();
    if (!rest_.empty()) value = element<T>();
  }
  template <list List>
    requires(!std::same_as<List, std::string>)
  void decode(List& values) {
    values = List();
    while (!rest_.empty()) values.insert(values.end(), element<typename List::value_type>());
  }
  template <typename First, typename Second>
  void decode(std::pair<First, Second>& value) {
    (*this)(1, value.first)(2, value.second);
  }
  template <typename T>
    requires requires(reader& r, T& value) { fields(r, value); }
  void decode(T& value) {
    fields(*this, value);
  }

 private:
  std::uint64_t get() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      auto byte = static_cast<unsigned char>(cut(1).front());
      value |= std::uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return value;
    }
    throw unreadable();
  }
  std::string_view cut(std::uint64_t size) {
    if (size > rest_.size()) throw unreadable();
    auto part = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return part;
  }
  std::string_view text() { return cut(get()); }
  template <typename T>
  T element() {
    reader part(text());
    auto value = blank<T>();
    part.decode(value);
    return value;
  }

  std::string_view rest_;
  std::optional<std::uint64_t> pending_;  ///< the number of the next member, read already
};

template <typename T>
std::string write(const T& value) {
  writer out;
  out.encode(value);
  return out.bytes();
}
/// Throws unreadable.
template <typename T>
void read(std::string_view bytes, T& value) {
  reader(bytes).decode(value);
}

}  // namespace supervisor::archive
