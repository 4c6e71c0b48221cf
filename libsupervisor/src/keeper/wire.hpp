// What a keeper and a master say to each other, in packets of one record, on a SOCK_SEQPACKET pair.
// Either may be of a newer or an older program: a record keeps its size, a kind its number.
#pragma once

#include <cstdint>

namespace supervisor::keeper_wire {

enum class kind : std::uint32_t {
  // Of the master.
  put = 1,   ///< holds the descriptor that comes along at `index`, in place of what was there; of
             ///< a process, if `pid` is not 0, whose end is then told; of a state that knows of the
             ///< stop that was asked for, if `count` is not 0
  drop = 2,  ///< what is at `index` is wanted no more
  settled = 3,  ///< what is held is enough for another master to go on from
  over = 4,     ///< its end is the end of all
  upgrade = 8,  ///< another is to go on from what is held, of the program that is on disk now
  well = 9,     ///< it is still there; `count`: the newest keeper_memory::layout that its program
                ///< takes over, and each before that
  // Of the keeper.
  held = 5,   ///< at `index` is the descriptor that comes along; of the process `pid`, if that is
              ///< not 0
  ended = 6,  ///< the process at `index` has ended; it was reaped
  go = 7,     ///< that was all. Of the master before this one, if `pid` is not 0: its end; `count`:
              ///< the deaths in a row
  leave = 10,      ///< another goes on from here: it ends, and undoes nothing
  how_is_it = 11,  ///< to be answered
  upgraded = 12,   ///< how the last upgrade went: `count`, one of upgrade_result; `end`: of whoever
                   ///< could not go on. News, if `pid` is not 0
  strangers = 17,  ///< `count`: those it has reaped that no master has made
  renewed = 18,    ///< this is the keeper of the new program, if `count` is not 0; else it stays of
                   ///< the one before, for errno is `end.status`
  // Of the keeper, to a master that may come: it is not told what is held yet.
  check = 13,  ///< the state comes along
  // And its answers; or else it ends.
  prepared = 14,      ///< it can go on from that
  unreadable = 15,    ///< it cannot
  not_executed = 16,  ///< said in its place: errno is `count`
};

enum class upgrade_result : std::uint32_t {
  committed = 1,
  // Nothing has changed.
  not_opened = 2,  ///< the program; `end.status`: errno, as for the next two
  not_executed = 3,
  not_made = 4,      ///< a process
  unreadable = 5,    ///< the state, for that program
  ended = 6,         ///< before it was prepared
  late = 7,          ///< the same
  master_ended = 8,  ///< the one that was to be replaced
  not_now = 9,       ///< an upgrade is under way, or not everything is held yet
  // The program before that goes on.
  rolled_back = 10,       ///< the new one has ended too soon
  rolled_back_hung = 11,  ///< it was ended, as it did not answer
};

/// As waitid(2) tells it.
struct process_end {
  std::int32_t code = 0;  ///< CLD_EXITED, ...; 0: it has not
  std::int32_t status = 0;
  std::int64_t user_us = 0, system_us = 0, max_rss_kib = 0;
};

struct record {
  kind what = kind::put;
  std::uint32_t index = 0;
  std::int32_t pid = 0;
  std::uint32_t count = 0;
  process_end end;
};
static_assert(sizeof(record) == 48);

/// Where what is known to the keeper too is held. Others begin behind these.
enum place : std::uint32_t { nowhere, state, control, control_lock, pidfile_lock, first_free = 16 };

}  // namespace supervisor::keeper_wire
