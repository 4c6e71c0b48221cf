// What the real host knows, as plain data: for the process that goes on from it.
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "host/archive.hpp"
#include "host/host.hpp"
#include "kernel/pinned_program.hpp"
#include "process/descriptor_store.hpp"
#include "process/shards.hpp"

namespace supervisor {

/// Counted up when an older program could not make sense of what a newer one has saved: but first
/// comes a release that reads the new version, and then one that writes it, so that an upgrade can
/// be rolled back.
inline constexpr unsigned saved_version = 1;
inline constexpr unsigned newest_readable_version = 1;

using held_index = descriptor_store::index;

struct saved_shard {
  std::uint64_t id = 0;
  held_index where = 0;
  std::optional<shard_user> user;
};

struct saved_socket {
  listener_spec address;
  held_index where = 0;
  held_index file = 0;  ///< of a unix socket that we made
  std::vector<saved_shard> shards;
};

/// A socket by the name that means it, and its number among the saved ones.
using saved_listener = std::pair<std::string, std::uint64_t>;

/// The ends of a pool's hand-over at a listener.
struct saved_relay {
  std::string pool, listener;
  held_index ours = 0, theirs = 0;
};

struct saved_file {
  kernel::pinned_program::parts what;
  held_index where = 0;
};

struct saved_mold {
  pid_t pid = 0;  ///< 0: there is none that forks
  held_index process = 0, socket = 0, program = 0, cells = 0;
  std::uint64_t cells_used = 0;
  bool open = false;  ///< one was ready
};

struct saved_program {
  std::string pool;
  std::uint64_t generation = 0;
  std::vector<saved_listener> listeners;
  std::optional<saved_file> file;  ///< of a command
  std::optional<saved_mold> mold;  ///< of functions
};

struct saved_child {
  launch_request request;
  child_id id = 0;
  pid_t pid = 0;
  time_point started{};
  bool ready = false, stopping = false, spent = false;
  std::string status;
  std::optional<std::uint64_t> cell;
  held_index process = 0, talk = 0, out = 0, err = 0;
  std::string out_rest, err_rest;  ///< of a line that has not ended
  time_point asks_until{};
  held_index newline = 0;  ///< the pipe on which it tells that it is ready
  bool reloading = false;
  unsigned reloads = 0;
};

/// What workers of a slot have had stored.
struct saved_descriptor {
  std::string name;
  bool polled = true;
  held_index where = 0;
};

struct saved_shelf {
  std::string pool;
  unsigned slot = 0;
  std::uint64_t slot_id = 0;
  std::vector<saved_descriptor> descriptors;
};

struct saved_host {
  unsigned version = saved_version;
  std::string program;  ///< path of this program, for molds
  child_id last_child = 0;
  std::vector<saved_socket> sockets;
  std::vector<saved_listener> listeners;
  std::vector<saved_program> programs;
  std::vector<saved_relay> relays;
  std::vector<saved_child> children;
  std::string supervisor;  ///< what host::save() was given
  std::uint64_t strangers_reaped = 0;
  std::vector<saved_shelf> shelves;
  time_point at{};  ///< when that was so
};

/// What has changed since.
struct saved_change {
  std::string supervisor;            ///< what host::save_change() was given
  std::optional<saved_child> child;  ///< as it is now
  child_id gone = 0;
  std::uint64_t strangers_reaped = 0;  ///< by now, where that is what has changed
  std::optional<saved_shelf> shelf;    ///< as it is now
  time_point at{};                     ///< of the change
};

class saved_memory;

/// What another process has left, up to date; and what it said of the supervisor: all, then what
/// has changed since.
struct saved_parts {
  saved_host host;
  std::vector<std::string> supervisor;
};
/// Throws std::runtime_error where this program cannot make sense of it.
saved_parts read_saved(const saved_memory&);

/// Brings it up to date; what the supervisor says is left to it.
inline void take_in(saved_host& all, saved_change change) {
  all.strangers_reaped = std::max(all.strangers_reaped, change.strangers_reaped);
  all.at = std::max(all.at, change.at);
  if (auto& now = change.shelf) {
    std::erase_if(all.shelves,
                  [&](auto& each) { return each.pool == now->pool && each.slot == now->slot; });
    if (!now->descriptors.empty()) all.shelves.push_back(std::move(*now));
  }
  if (change.child) change.gone = change.child->id;
  std::erase_if(all.children, [&](auto& each) { return each.id == change.gone; });
  if (!change.child) return;
  all.last_child = std::max(all.last_child, change.child->id);
  all.children.push_back(std::move(*change.child));
}

template <typename Archive>
void fields(Archive& a, listener_spec& l) {
  a(1, l.name)(2, l.kind)(3, l.host)(4, l.port)(5, l.descriptor)(6, l.backlog)(7, l.sharded);
}

template <typename Archive>
void fields(Archive& a, shard_user& u) {
  a(1, u.slot)(2, u.pool)(3, u.listener)(4, u.takes_connections);
}

template <typename Archive>
void fields(Archive& a, saved_shard& s) {
  a(1, s.id)(2, s.where)(3, s.user);
}

template <typename Archive>
void fields(Archive& a, saved_socket& s) {
  a(1, s.address)(2, s.where)(3, s.file)(4, s.shards);
}

template <typename Archive>
void fields(Archive& a, saved_relay& r) {
  a(1, r.pool)(2, r.listener)(3, r.ours)(4, r.theirs);
}

template <typename Archive>
void fields(Archive& a, saved_file& f) {
  a(1, f.what.path)(2, f.what.from_here)(3, f.where)(4, f.what.device)(5, f.what.inode);
}

template <typename Archive>
void fields(Archive& a, saved_mold& m) {
  a(1, m.pid)(2, m.process)(3, m.socket)(4, m.program)(5, m.cells)(6, m.cells_used);
  a(7, m.open);
}

template <typename Archive>
void fields(Archive& a, saved_program& p) {
  a(1, p.pool)(2, p.generation)(3, p.listeners)(4, p.file)(5, p.mold);
}

template <typename Archive>
void fields(Archive& a, child_key& k) {
  a(1, k.pool)(2, k.slot_id)(3, k.launch);
}

template <typename Archive>
void fields(Archive& a, launch_request& r) {
  a(1, r.key)(2, r.slot)(3, r.generation)(4, r.request_limit);
}

template <typename Archive>
void fields(Archive& a, saved_child& c) {
  a(1, c.request)(2, c.id)(3, c.pid)(4, c.started)(5, c.ready)(6, c.stopping)(7, c.spent);
  a(8, c.status)(9, c.cell)(10, c.process)(11, c.talk)(12, c.out)(13, c.err)(14, c.out_rest);
  a(15, c.err_rest)(16, c.asks_until)(17, c.newline)(18, c.reloading);
  a(19, c.reloads);
}

template <typename Archive>
void fields(Archive& a, saved_descriptor& d) {
  a(1, d.name)(2, d.polled)(3, d.where);
}

template <typename Archive>
void fields(Archive& a, saved_shelf& s) {
  a(1, s.pool)(2, s.slot)(3, s.slot_id)(4, s.descriptors);
}

template <typename Archive>
void fields(Archive& a, saved_host& h) {
  a(1, h.version)(2, h.program)(3, h.last_child)(4, h.sockets)(5, h.listeners)(6, h.programs);
  a(7, h.children)(8, h.supervisor)(9, h.relays)(10, h.strangers_reaped)(11, h.shelves);
  a(12, h.at);
}

template <typename Archive>
void fields(Archive& a, saved_change& c) {
  a(1, c.supervisor)(2, c.child)(3, c.gone)(4, c.strangers_reaped)(5, c.shelf)(6, c.at);
}

}  // namespace supervisor
