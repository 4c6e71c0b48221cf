// A terminal of the test's own, and a child that lives on it.
#pragma once

#include <fcntl.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <system_error>

#include "kernel/unique_fd.hpp"

namespace test {

/// openpty(3): the test is the one who sits before the terminal.
class pty {
 public:
  pty() {
    int master = -1, slave = -1;
    if (::openpty(&master, &slave, nullptr, nullptr, nullptr) != 0)
      throw std::system_error(errno, std::system_category(), "openpty");
    master_.reset(master);
    slave_.reset(slave);
    ::fcntl(master, F_SETFD, FD_CLOEXEC);
    ::fcntl(slave, F_SETFD, FD_CLOEXEC);
  }

  int master() const noexcept { return master_.get(); }
  /// Closes the terminal, as a window is closed.
  void hang_up() {
    slave_.reset();
    master_.reset();
  }
  int slave() const noexcept { return slave_.get(); }

  /// For a forked child: a session of its own with this as its controlling terminal.
  bool become_controlling() const noexcept {
    return ::setsid() >= 0 && ::ioctl(slave_.get(), TIOCSCTTY, 0) == 0;
  }

  /// The window changes: the kernel sends WINCH to the foreground process group.
  void resize(unsigned short rows, unsigned short columns) {
    struct winsize size{};
    size.ws_row = rows;
    size.ws_col = columns;
    if (::ioctl(master_.get(), TIOCSWINSZ, &size) != 0)
      throw std::system_error(errno, std::system_category(), "TIOCSWINSZ");
  }

  /// From now on a background process that writes gets TTOU (tcsetattr(3)).
  void stop_background_output() {
    struct termios mode;
    if (::tcgetattr(slave_.get(), &mode) != 0 ||
        (mode.c_lflag |= TOSTOP, ::tcsetattr(slave_.get(), TCSANOW, &mode)) != 0)
      throw std::system_error(errno, std::system_category(), "tcsetattr");
  }

 private:
  supervisor::kernel::unique_fd master_;
  supervisor::kernel::unique_fd slave_;
};

}  // namespace test
