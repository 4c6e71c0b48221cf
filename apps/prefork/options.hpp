// The command line, as data.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "supervisor/prefork.hpp"
#include "supervisor/run.hpp"
#include "supervisor/spec.hpp"

namespace app {

/// prefork run
struct run_request {
  run_request() : what("demo") {}
  supervisor::spec what;  ///< the demo's function, or a command
  supervisor::prefork_options prefork;
  supervisor::run_options run;
};

/// prefork status, scale, ...: one question to a running master; top asks again and again.
struct control_request {
  enum class verb { status, scale, reload, restart, signal, stop, top };
  enum class format { table, wide, json };
  control_request() = default;

  verb what = verb::status;
  std::string name;     ///< of the master; empty where the socket's path was given
  std::string control;  ///< path of the socket
  format output = format::table;
  std::optional<std::chrono::nanoseconds> timeout;            ///< how long to wait for the answer
  std::string body;                                           ///< JSON to send
  std::chrono::nanoseconds period = std::chrono::seconds(1);  ///< of top
};

/// What is told instead of doing something: help, a version, what is wrong with the command line.
struct message {
  message(int c, std::string t) : code(c), text(std::move(t)) {}
  int code = 0;  ///< 0: for stdout, else for stderr
  std::string text;
};

using request = std::variant<message, run_request, control_request>;

/// `arguments` without the program's name.
request parse(std::vector<std::string> arguments);

}  // namespace app
