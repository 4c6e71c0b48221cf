// The real host: Linux, through Boost.Asio and Boost.Process.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <memory>
#include <string>

#include "host/host.hpp"
#include "process/descriptor_store.hpp"
#include "process/listener_table.hpp"
#include "supervisor/journal.hpp"

namespace supervisor {

class saved_memory;

struct kernel_host_options {
  std::string name;                    ///< of the supervisor, for ps
  std::string program;                 ///< path of this program, for molds; empty: commands only
  std::vector<std::string> arguments;  ///< its argv, for ps
  /// One line of a child's output that goes to the log (output::to::log), or a part of one that is
  /// longer than 16 KiB.
  std::function<void(const child_key&, unsigned slot, bool is_stderr, std::string_view line)>
      on_line;
  /// Told of every listener that is opened or closed.
  listener_table::observer on_listener;
  /// Sockets that may be opened as listeners; those that are not are closed with the first program.
  std::vector<kernel::inherited_listener> inherited;
  /// How long a mold that is up may take over its next answer: all it does is to fork. One that is
  /// stopped or traced is ended by then, and replaced.
  duration mold_patience = std::chrono::seconds(10);
  /// cgroup v2's memory.events of the children; empty: that of our own cgroup, if there is one.
  std::string memory_events;
  /// The soft limit of descriptors goes up to the hard one; children get the old one back.
  bool raise_descriptor_limit = true;
  /// The kernel kills a command when the thread that made it ends (PR_SET_PDEATHSIG): for a program
  /// of one thread, where that is the program.
  bool end_with_thread = true;
  /// Where what must outlive this process is held, longer than the host lives; null: nowhere.
  descriptor_store* store = nullptr;
  /// What another process has saved there; null: none has.
  std::shared_ptr<saved_memory> saved;
  /// Called before what has changed becomes part of a whole, and is known as a change no more.
  std::function<void()> before_save = [] {};
  pid_t predecessor = 0;  ///< that process, whose children are our parent's by now
  /// Descendants whose parent dies fall to this process, which reaps them. It needs SIGCHLD then.
  bool reaps_orphans = false;
  /// How long the end waits for children that were sent KILL, so that no zombie is left to whoever
  /// comes after us; long only where the kernel itself hangs.
  duration last_wait = std::chrono::seconds(10);
};

/// Makes the real host on `executor`: a strand, or an io_context that one thread runs. Journals its
/// molds. Destroying it leaves no child unreaped that is dead, or dies within `last_wait`, having
/// been killed; live ones are left alone.
std::unique_ptr<host> make_kernel_host(boost::asio::any_io_executor executor, journal&,
                                       kernel_host_options);

}  // namespace supervisor
