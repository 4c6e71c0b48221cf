// The other end of the control socket.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>

namespace app {

/// No answer came; `code` is the command line's exit code for it.
struct no_answer : std::runtime_error {
  no_answer(int c, const std::string& words) : std::runtime_error(words), code(c) {}
  int code;
};

struct answer {
  answer() = default;
  unsigned status = 0;  ///< HTTP's
  std::string body;
};

using patience = std::optional<std::chrono::nanoseconds>;

/// One exchange with the master behind `path`; `name` is for messages, and empty where the path was
/// given. GET without a body, else POST. With `to_the_end` it returns when the master has closed
/// the connection, as it does when it is gone. Throws no_answer.
answer ask(const std::string& path, const std::string& name, const std::string& target,
           const std::string& body, patience timeout, bool to_the_end = false);

/// The same on a loop; `tell` is called from it, with the answer or why there is none.
using told = std::function<void(const answer&, const std::optional<no_answer>&)>;
void ask_soon(boost::asio::io_context&, const std::string& path, const std::string& name,
              const std::string& target, const std::string& body, patience timeout, told tell,
              bool to_the_end = false);

}  // namespace app
