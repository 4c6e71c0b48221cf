// A command of the control socket: from JSON to the pool and back.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/json/object.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/gate.hpp"
#include "supervision/awaited.hpp"
#include "supervisor/run.hpp"
#include "supervisor/supervisor.hpp"

namespace supervisor {

struct command {
  enum class verb : std::uint8_t {
    scale,
    reload,
    restart,
    signal,
    stop,
    upgrade,
    pause,  ///< this and those below: a rollout
    resume,
    abort,
    undo,
    application
  };
  explicit command(verb v) : what(v) {}

  verb what;
  std::string pool;               ///< empty: the only one there is; reload: all
  std::optional<unsigned> count;  ///< scale: absolute
  std::int64_t delta = 0;         ///< scale: relative, where there is no count
  unsigned slot = 0;              ///< restart, signal
  int signal = 0;
  bool quick = false;               ///< stop
  gate how;                         ///< reload, undo
  std::optional<std::uint64_t> to;  ///< undo: this generation
  std::string why;                  ///< the client's words, for the journal

  // application: a verb of its own
  std::string name;
  std::string argument;
  const verb_handler* handler = nullptr;  ///< lives as long as the server
};

/// What a client is answered.
struct reply {
  reply() = default;
  reply(unsigned s, boost::json::object b) : status(s), body(std::move(b)) {}
  unsigned status = 200;  ///< HTTP's
  boost::json::object body;
};

/// The command that POST `path` with this body is; empty where there is none at that path, `more`
/// included. Throws std::invalid_argument with what is wrong, for the client.
std::optional<command> parse_command(std::string_view path, std::string_view body,
                                     const std::map<std::string, verb_handler>& more = {});
/// "scale web +1".
std::string describe(const command&);

/// {"ok": false, "error": NAME, "reason": TEXT, "exit": the command line's exit code}.
reply refusal(boost::system::error_code, std::string reason);

/// A command that was begun, as data: another master can go on waiting for it.
struct undertaking {
  std::vector<std::pair<std::string, awaited>> pools;  ///< what each of them is waited for by
  std::optional<reply> refused;
};

/// Begins any command but stop, upgrade and signal, and no application's. Everything it changes is
/// recorded at this call, with `cause`.
undertaking begin(supervisor&, const command&, std::uint64_t cause);
/// Completes when it has settled. Cancelling it ends the wait, not the change.
boost::asio::awaitable<reply> settle(supervisor&, undertaking);
/// The same of an upgrade; completes only where it fails.
boost::asio::awaitable<outcome> begin_upgrade(supervisor&, std::uint64_t cause);
/// Sends what `signal` is to send.
reply send_signal(supervisor&, const command&, std::uint64_t cause);
/// Carries out a verb of the application's.
boost::asio::awaitable<reply> execute_application(supervisor&, command, std::uint64_t cause);

}  // namespace supervisor
