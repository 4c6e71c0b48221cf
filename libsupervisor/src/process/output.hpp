// What a child writes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "process/output_in_hand.hpp"
#include "process/watched_fd.hpp"

namespace supervisor {

/// Reads a child's pipe and hands it on line by line. A line longer than 16 KiB comes in parts.
class line_reader {
 public:
  /// `partial`: no newline followed; the line goes on in the next call or was never ended.
  using on_line = std::function<void(std::string_view line, bool partial)>;
  static constexpr std::size_t longest = 16 * 1024;

  /// `ended` is called once, when no writer is left.
  line_reader(boost::asio::any_io_executor, kernel::unique_fd, on_line,
              std::function<void()> ended);

  bool ended() const noexcept { return !pipe_; }
  int pipe() const noexcept { return pipe_.get(); }
  /// The beginning of a line whose end has not come.
  const std::string& rest() const noexcept { return rest_; }
  /// From now on what is read is kept where it outlives this process, once `pipe` is not 0: the
  /// place where the store holds the pipe.
  using keeping = std::function<std::shared_ptr<output_in_hand>()>;
  void keep(keeping hand, const std::uint32_t& pipe) { hand_ = std::move(hand), held_ = &pipe; }
  /// Where another process was that did so, with that line's beginning.
  void go_on(std::string rest);
  /// Calls `changed` when that is another one, once what came before is told.
  void on_rest(std::function<void()> changed) { rest_changed_ = std::move(changed); }
  /// Takes what is there, as much as in one turn of the loop, without waiting for that.
  void read();
  /// The deadline has passed: takes what is there, and ends.
  void cut_off();

 private:
  bool read_some();  ///< false: nothing more for now, or the end
  void tell(output_in_hand&, std::size_t size);
  void end();

  on_line on_line_;
  std::function<void()> ended_;
  std::function<void()> rest_changed_;
  keeping hand_;
  const std::uint32_t* held_ = nullptr;
  std::string rest_;  ///< a line not yet ended
  watched_fd pipe_;
};

/// The last 4 KiB of lines.
class tail {
 public:
  static constexpr std::size_t size = 4 * 1024;
  void append(std::string_view line, bool partial);
  std::string take();

 private:
  std::string text_;
};

}  // namespace supervisor
