// The command line, as data.
#pragma once

#include <chrono>
#include <functional>
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
  supervisor::spec what;                ///< the demo's function, or a command
  supervisor::prefork_options prefork;  ///< as --scale wants it, once all is said
  std::string scale = "static";         ///< what --scale says
  supervisor::run_options run;
};

/// prefork run --config: what the command line says beside the file.
struct config_request {
  std::string file;
  std::function<void(run_request&)> override_master;
};

/// prefork status, scale, ...: one question to a running master; top asks again and again, check
/// asks nobody.
struct control_request {
  enum class verb {
    status,
    scale,
    reload,
    restart,
    signal,
    stop,
    upgrade,
    top,
    check,
    plan,
    apply,
    rollout
  };
  enum class format { table, wide, json };
  control_request() = default;

  verb what = verb::status;
  std::string name;     ///< of the master; empty where the socket's path was given
  std::string control;  ///< path of the socket
  std::string file;     ///< of check, plan and apply: a configuration, which names the master
  std::string action;   ///< of rollout: "status", "undo", ...
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

using request = std::variant<message, run_request, config_request, control_request>;

/// `arguments` without the program's name.
request parse(std::vector<std::string> arguments);

}  // namespace app
