// The state of a group: plain data, and the fold of the group's events; and what follows from it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "supervisor/group.hpp"
#include "supervisor/journal.hpp"

namespace supervisor {

/// Where a child stands.
enum class member_phase : std::uint8_t { down, starting, up, stopping };

struct member_state {
  std::string name;
  restart_type type = restart_type::permanent;
  bool significant = false;
  std::string kind;  ///< "process", "pool", "coroutine", "group"

  member_phase now = member_phase::down;
  bool wanted = true;         ///< to be up while the group runs
  bool recycled = false;      ///< up, and to be stopped and started again along with another one
  bool troubled = false;      ///< it has ended by itself, and what follows is not yet decided
  bool failed_start = false;  ///< and that before it had started
  bool asked = false;         ///< for by a command: where it does not start, it is not tried again
  bool added = false;         ///< by that command: where it does not start, it is forgotten
  bool leaving = false;       ///< forgotten once it is down
  time_point deadline = never;  ///< stopping: given up then
  std::uint64_t due = 0;        ///< the event since which a start is owed
  std::uint64_t starts = 0;
  ending last = ending::normal;
  std::string how;  ///< of the last end; empty: it never ended
  time_point ended_at{};
  std::uint64_t last_event = 0;
  friend bool operator==(const member_state&, const member_state&) = default;
};

enum class group_phase : std::uint8_t { starting, running, stopping, stopped };

/// Who ends a group: children that fail, a command, significant children, somebody who leaves the
/// children as they are.
enum class group_end : std::uint8_t { failure, command, significant, released };

struct group_state {
  unsigned version = 1;  ///< of this layout
  std::string name;
  strategy restarts = strategy::one_for_one;
  unsigned most_restarts = 0;
  duration period{};
  auto_shutdown shutdown = auto_shutdown::never;
  std::optional<start_rate> starts;
  start_budget budget;  ///< of those: the fold of what its pools have started

  group_phase now = group_phase::starting;
  std::vector<time_point> window;  ///< of the restarts that count for the intensity
  ending last = ending::normal;    ///< once stopping: how the group ends, for the one it is in
  bool quick = false;              ///< and it is to be quick
  group_end by = group_end::failure;
  std::string why;           ///< and why
  std::string failed_child;  ///< the last that a command could not start, and why
  std::string failure;
  std::uint64_t last_event = 0;
  std::vector<member_state> members;  ///< from left to right

  bool ends() const noexcept { return now == group_phase::stopping || now == group_phase::stopped; }
  member_state* find(std::string_view member) noexcept;
  const member_state* find(std::string_view member) const noexcept;
  friend bool operator==(const group_state&, const group_state&) = default;
};

/// A group that has yet to begin, without its children.
group_state begin_group(std::string name, const group_spec&);
/// Takes in one event of this group, as recorded.
void apply(group_state&, const event&);

/// What the group does next, as the event that records it; nothing while it has to wait.
///   group_started, group_restarting, group_stopping, group_stopped,
///   member_starting, member_stopping, member_rests, member_removed
/// member_added, member_started, member_ended and what is asked for come from outside.
std::optional<event> next_event(const group_state&);
/// All that is wanted is up, and nothing is under way.
bool settled(const group_state&) noexcept;

/// An event of one child, caused by the one before.
event about(event_kind, const group_state&, const member_state&);
group_status describe_group(const group_state&);

}  // namespace supervisor
