// The control socket's HTTP/1.1 server.
#pragma once

#include <sys/types.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/status.hpp"
#include "control/waiting_clients.hpp"
#include "host/host.hpp"
#include "supervisor/run.hpp"
#include "supervisor/supervisor.hpp"

namespace supervisor {

/// Serves one supervisor's status and commands; doc/control.md is its contract.
class control_server {
 public:
  using socket = boost::asio::local::stream_protocol::socket;
  struct options {
    options() = default;
    std::string version;
    pid_t pid = 0;
    pid_t main_pid = 0;
    uid_t owner = 0;  ///< this user and root are obeyed
    /// The pid and the uid at the other end. Throws where it cannot be told.
    std::function<std::pair<pid_t, uid_t>(socket&)> identify;
    std::map<std::string, verb_handler> verbs;  ///< the application's own
    /// Children of others that were reaped, but by the host.
    std::function<std::uint64_t()> strangers_reaped_above = [] { return std::uint64_t{0}; };
    socket_store sockets;  ///< of clients that wait; empty: they end with this process
    std::function<std::optional<upgrade_status>()> upgraded;  ///< how the last upgrade went
    /// What clients are answered that have asked another master for an upgrade, once that is known:
    /// see look_at_upgrade().
    std::function<std::optional<reply>()> end_of_upgrade;
  };

  control_server(host&, supervisor&, boost::asio::local::stream_protocol::acceptor, options);
  ~control_server();
  control_server(const control_server&) = delete;

  /// Answers what is in flight, those who wait for the end among it, then takes no more. Returns
  /// the latter's sockets: closing them tells that everything is gone.
  boost::asio::awaitable<std::vector<socket>> finish(int exit_code);
  /// Takes no more clients: they wait for whoever listens next.
  void leave();
  /// options::end_of_upgrade tells another thing now.
  void look_at_upgrade();

 private:
  struct impl;
  std::shared_ptr<impl> impl_;
};

}  // namespace supervisor
