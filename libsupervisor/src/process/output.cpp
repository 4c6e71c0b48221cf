#include "process/output.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace supervisor {

namespace {
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
  for (auto i = bytes_at_the_end / output_in_hand::most; i > 0 && pipe_ && read_some(); --i)
    continue;
  if (pipe_) end();
}

bool line_reader::read_some() {
  output_in_hand own{};
  auto kept = held_ && *held_ ? hand_() : nullptr;
  auto& hand = kept ? *kept : own;
  hand.begin(kept ? *held_ : 0, rest_.size());
  ssize_t size = ::read(pipe_.get(), hand.room(), output_in_hand::most);
  if (size > 0) tell(hand, static_cast<std::size_t>(size));
  hand.end();
  if (size > 0) return true;
  if (size == 0 || (errno != EAGAIN && errno != EINTR)) end();
  return false;
}

void line_reader::go_on(std::string rest) {
  rest_ = std::move(rest);
  auto hand = *held_ ? hand_() : nullptr;
  if (!hand || hand->pipe() != *held_) return;
  rest_.resize(std::min(rest_.size(), hand->rest()));
  tell(*hand, hand->size());
  hand->end();
}

void line_reader::tell(output_in_hand& hand, std::size_t size) {
  const bool had_rest = !rest_.empty();
  for (auto text = hand.untold(size); !text.empty(); text = hand.untold(size)) {
    auto end = text.find('\n');
    auto piece = text.substr(0, end);
    auto room = longest - rest_.size();
    const bool partial = piece.size() > room;
    if (!partial && end == text.npos) {
      rest_ += piece;
      break;
    }
    piece = piece.substr(0, room);
    if (rest_.empty()) {
      on_line_(piece, partial);
    } else {
      rest_ += piece;
      on_line_(std::exchange(rest_, {}), partial);
    }
    hand.tell(piece.size() + (partial ? 0 : 1));
  }
  if (rest_changed_ && (had_rest || !rest_.empty())) rest_changed_();
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
