// One look at a worker from outside, as its probe says.
#pragma once

#include <functional>

#include "process/child.hpp"
#include "process/services.hpp"
#include "supervisor/probe.hpp"

namespace supervisor {

using probe_done = std::function<void(probe_result)>;
/// Ends a look: `done` is not called any more, and nothing of it is left behind.
using probe_end = std::function<void()>;

// Each calls `done` from the loop, once, never from within.

/// As the probe says, of a child or, where it is null, of none.
probe_end begin_probe(process_services&, const std::shared_ptr<child>&, const probe&, probe_done);

/// TCP and HTTP.
probe_end probe_by_connection(boost::asio::any_io_executor, const probe&, probe_done);
/// Runs the probe's program as a worker of `like` is run, but for its listeners.
probe_end probe_by_program(process_services&, const spec& like, const kernel::credentials&,
                           const probe&, probe_done);
/// Heartbeats and lines in the log.
probe_end probe_by_sign(const std::shared_ptr<child>&, const probe&, probe_done);
/// One that cannot be made.
probe_end probe_in_vain(boost::asio::any_io_executor, std::string why, probe_done);

}  // namespace supervisor
