// The real host: Linux, through Boost.Asio and Boost.Process.
#pragma once

#include <boost/asio/io_context.hpp>
#include <memory>
#include <string>

#include "host/host.hpp"
#include "supervisor/journal.hpp"

namespace supervisor {

struct kernel_host_options {
  std::string program;                 ///< path of this program, for molds; empty: commands only
  std::vector<std::string> arguments;  ///< its argv, for ps
  /// One line of a child's output that goes to the log (output::to::log), or a part of one that is
  /// longer than 16 KiB.
  std::function<void(const child_key&, unsigned slot, bool is_stderr, std::string_view line)>
      on_line;
  /// How long a mold that is up may take over its next answer: all it does is to fork. One that is
  /// stopped or traced is ended by then, and replaced.
  duration mold_patience = std::chrono::seconds(10);
  /// cgroup v2's memory.events of the children; empty: that of our own cgroup, if there is one.
  std::string memory_events;
};

/// Makes the real host on `context`, which one thread runs. Journals its molds.
/// Raises the soft descriptor limit to the hard one; children get the old one back.
/// Destroying it leaves no child unreaped that was told to end; live ones are left alone.
std::unique_ptr<host> make_kernel_host(boost::asio::io_context& context, journal&,
                                       kernel_host_options);

}  // namespace supervisor
