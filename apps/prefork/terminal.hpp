// A terminal taken over for pictures, and given back as it was.
#pragma once

#include <termios.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <string>
#include <utility>

namespace app {

/// The controlling terminal, opened anew: that it does not block is nobody else's business.
class terminal {
 public:
  /// Throws std::runtime_error, with words for people, where there is none that can show pictures.
  explicit terminal(boost::asio::any_io_executor);
  ~terminal();  ///< leaves
  terminal(const terminal&) = delete;

  /// Another screen, no cursor, keys as they are typed.
  void enter();
  void leave() noexcept;
  std::pair<unsigned, unsigned> size() const noexcept;  ///< lines and columns
  /// Draws a picture; while the terminal takes the one before, the last one asked for waits.
  void draw(std::string picture);
  /// What was typed since; empty where nothing was.
  std::string typed();
  boost::asio::posix::stream_descriptor& descriptor() noexcept { return tty_; }

 private:
  void write_waiting();
  void write_now(std::string_view) noexcept;

  boost::asio::posix::stream_descriptor tty_;
  termios before_{};
  bool entered_ = false;
  std::string drawing_, waiting_;
};

}  // namespace app
