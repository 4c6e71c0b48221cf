#include "process/output.hpp"

#include <unistd.h>

#include <cerrno>

namespace supervisor {

namespace {
/// What is read in one turn of the loop: a child that floods its pipe must not keep it. So little
/// because each of these bytes may be a line, which costs a system call or two to log.
constexpr std::size_t bytes_a_turn = 1024;
/// At the end, what a pipe holds.
constexpr std::size_t bytes_at_the_end = 64 * 1024;
}  // namespace

line_reader::line_reader(boost::asio::any_io_executor executor, kernel::unique_fd pipe, on_line f,
                         std::function<void()> ended)
    : on_line_(std::move(f)),
      ended_(std::move(ended)),
      pipe_(std::move(executor), std::move(pipe), [this] { read(); }) {}

void line_reader::read() {
  read_some();
  if (!pipe_) ended_();
}

void line_reader::cut_off() {
  for (auto i = bytes_at_the_end / bytes_a_turn; i > 0 && pipe_ && read_some(); --i) continue;
  if (pipe_) end();
}

bool line_reader::read_some() {
  char buffer[bytes_a_turn];
  ssize_t size = ::read(pipe_.get(), buffer, sizeof buffer);
  if (size > 0) {
    const bool had_rest = !rest_.empty();
    take({buffer, static_cast<std::size_t>(size)});
    if (rest_changed_ && (had_rest || !rest_.empty())) rest_changed_();
    return true;
  }
  if (size == 0 || (errno != EAGAIN && errno != EINTR)) end();
  return false;
}

void line_reader::take(std::string_view text) {
  while (!text.empty()) {
    auto end = text.find('\n');
    auto piece = text.substr(0, end);
    auto room = longest - rest_.size();
    if (piece.size() > room) {
      rest_ += piece.substr(0, room);
      on_line_(std::exchange(rest_, {}), true);
      text.remove_prefix(room);
      continue;
    }
    if (end == text.npos) {
      rest_ += piece;
      return;
    }
    if (rest_.empty()) {
      on_line_(piece, false);
    } else {
      rest_ += piece;
      on_line_(std::exchange(rest_, {}), false);
    }
    text.remove_prefix(end + 1);
  }
}

void line_reader::end() {
  pipe_.reset();
  if (!rest_.empty()) on_line_(std::exchange(rest_, {}), true);
}

void tail::append(std::string_view line, bool partial) {
  text_ += line;
  if (!partial) text_ += '\n';
  if (text_.size() > 2 * size) text_.erase(0, text_.size() - size);
}

std::string tail::take() {
  if (text_.size() > size) text_.erase(0, text_.size() - size);
  return std::exchange(text_, {});
}

}  // namespace supervisor
