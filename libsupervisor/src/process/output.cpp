#include "process/output.hpp"

#include <unistd.h>

#include <cerrno>

namespace supervisor {

namespace {
/// Reads a turn: a child that floods its pipe must not keep the loop.
constexpr int reads_a_turn = 4;
}  // namespace

line_reader::line_reader(boost::asio::any_io_executor executor, kernel::unique_fd pipe, on_line f,
                         std::function<void()> ended)
    : on_line_(std::move(f)),
      ended_(std::move(ended)),
      pipe_(std::move(executor), std::move(pipe), [this] { read(); }) {}

void line_reader::read() {
  for (int i = 0; i < reads_a_turn && read_some(); ++i) continue;
  if (!pipe_) ended_();
}

void line_reader::cut_off() {
  for (int i = 0; i < reads_a_turn && pipe_ && read_some(); ++i) continue;
  if (pipe_) end();
}

bool line_reader::read_some() {
  char buffer[16 * 1024];
  ssize_t size = ::read(pipe_.get(), buffer, sizeof buffer);
  if (size > 0) {
    take({buffer, static_cast<std::size_t>(size)});
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
