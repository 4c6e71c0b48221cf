#include "terminal.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <boost/asio/write.hpp>
#include <cerrno>
#include <cstdlib>
#include <stdexcept>
#include <string_view>

namespace app {

namespace {

constexpr std::string_view take_screen = "\x1b[?1049h\x1b[?25l";
constexpr std::string_view give_back = "\x1b[?25h\x1b[?1049l";

int open_terminal() {
  const char* kind = std::getenv("TERM");
  bool shows = kind && *kind && std::string_view(kind) != "dumb";
  int fd = -1;
  if (shows && ::isatty(STDIN_FILENO) && ::isatty(STDOUT_FILENO))
    fd = ::open("/dev/tty", O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
  if (fd < 0)
    throw std::runtime_error(
        "top draws on a terminal, and this is none (stdin and stdout must be one, and TERM not "
        "dumb); for scripts there is: prefork status -o json");
  return fd;
}

}  // namespace

terminal::terminal(boost::asio::any_io_executor executor) : tty_(executor, open_terminal()) {
  ::tcgetattr(tty_.native_handle(), &before_);
}

terminal::~terminal() { leave(); }

void terminal::enter() {
  termios raw = before_;
  raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);  // ISIG stays: ^C and ^Z are signals
  raw.c_cc[VMIN] = 1;
  raw.c_cc[VTIME] = 0;
  ::tcsetattr(tty_.native_handle(), TCSANOW, &raw);
  entered_ = true;
  write_now(take_screen);
}

void terminal::leave() noexcept {
  if (!std::exchange(entered_, false)) return;
  boost::system::error_code ignored;
  tty_.cancel(ignored);
  waiting_.clear();
  ::tcsetattr(tty_.native_handle(), TCSANOW, &before_);
  write_now(give_back);
}

std::pair<unsigned, unsigned> terminal::size() const noexcept {
  winsize size{};
  if (::ioctl(const_cast<terminal*>(this)->tty_.native_handle(), TIOCGWINSZ, &size) != 0 ||
      size.ws_row == 0 || size.ws_col == 0)
    return {24, 80};  // a serial line does not know
  return {size.ws_row, size.ws_col};
}

void terminal::draw(std::string picture) {
  waiting_ = std::move(picture);
  if (drawing_.empty()) write_waiting();
}

void terminal::write_waiting() {
  if (waiting_.empty()) return;
  drawing_ = std::exchange(waiting_, {});
  boost::asio::async_write(tty_, boost::asio::buffer(drawing_),
                           [this](boost::system::error_code, std::size_t) {
                             drawing_.clear();
                             if (entered_) write_waiting();
                           });
}

/// For the few bytes without which the terminal would be of no use to whoever comes next. One that
/// was stopped (^S) has a second to go on.
void terminal::write_now(std::string_view text) noexcept {
  while (!text.empty()) {
    auto size = ::write(tty_.native_handle(), text.data(), text.size());
    if (size > 0) {
      text.remove_prefix(static_cast<std::size_t>(size));
      continue;
    }
    if (size < 0 && errno != EAGAIN) return;  // the terminal is gone; poll(2) says it is writable
    pollfd writable{tty_.native_handle(), POLLOUT, 0};
    if (::poll(&writable, 1, 1000) <= 0) return;
  }
}

std::string terminal::typed() {
  std::string all;
  char part[256];
  for (ssize_t size; (size = ::read(tty_.native_handle(), part, sizeof part)) > 0;)
    all.append(part, static_cast<std::size_t>(size));
  return all;
}

}  // namespace app
