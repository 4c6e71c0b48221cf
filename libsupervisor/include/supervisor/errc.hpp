// What can go wrong, by name; and what the command line's exit codes mean.
#pragma once

#include <boost/system/error_code.hpp>
#include <boost/system/error_condition.hpp>

namespace supervisor {

/// Errors of the library itself; errors of the kernel stay errno in the system category.
enum class errc {
  no_such_pool = 1,  ///< no pool has that name
  no_such_slot,      ///< the pool has no slot of that number
  pool_closed,       ///< the pool is stopping or has stopped
  rolled_back,       ///< a rollout failed; the old generation serves
  superseded,        ///< another command changed what this one waited for
  invalid_argument,  ///< a value out of range; the message names it
  degraded,          ///< settled, but not every wanted worker is ready
  timed_out,         ///< the limit of with_deadline() or open_device() passed
  no_rollout,        ///< none is under way
  not_kept,          ///< that generation's program is no longer kept; the message tells which are
  upgrading,         ///< an upgrade is under way already
  no_keeper,         ///< no keeper would start another master: see supervisor::keeper_role()
  statuses_lost,     ///< SIGCHLD is ignored: the kernel would not keep how children end
};

/// The category of errc.
const boost::system::error_category& supervisor_category() noexcept;
/// As error_code asks for.
boost::system::error_code make_error_code(errc) noexcept;

/// Exit codes of `prefork` and of every program under supervisor::run.
namespace exit_code {
inline constexpr int ok = 0;            ///< done
inline constexpr int failed = 1;        ///< something went wrong that no other code names
inline constexpr int usage = 2;         ///< command line or configuration
inline constexpr int not_running = 3;   ///< no master answers on the control socket
inline constexpr int no_such_pool = 4;  ///< nor slot
inline constexpr int degraded = 5;      ///< settled, but not every wanted worker is ready
inline constexpr int timed_out = 6;     ///< what was asked for may go on
inline constexpr int unreachable = 7;   ///< a master is there but does not answer
inline constexpr int denied = 8;        ///< no permission
inline constexpr int rolled_back = 9;   ///< a rollout or an upgrade failed; the old one serves
inline constexpr int conflict = 10;     ///< in use, or superseded
/// And the signal's number, as a shell has it: INT, QUIT or TERM cancelled the policy.
inline constexpr int signalled = 128;
}  // namespace exit_code

}  // namespace supervisor

/// @cond
template <>
struct boost::system::is_error_code_enum<supervisor::errc> : std::true_type {};
/// @endcond
