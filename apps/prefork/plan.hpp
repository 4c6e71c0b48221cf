// What is to be done so that a master runs what a configuration wants: a pure decision.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config.hpp"

namespace app {

struct pool_change {
  enum class kind { unchanged, added, removed, changed };
  pool_change(std::string n, kind k) : name(std::move(n)), what(k) {}
  std::string name;
  kind what;
  unsigned from = 0, to = 0;           ///< workers
  bool rescaled = false;               ///< whether and how they follow the load
  std::string by_load;                 ///< how they do from now on; empty: they do not
  bool resumed = false;                ///< it was drained
  bool rolls = false;                  ///< its workers are replaced by fresh ones
  bool leaves_address = false;         ///< that nobody is to serve any more
  std::vector<std::string> differing;  ///< settings; and listeners that have moved
  std::vector<std::string> rollouts;   ///< settings: how it rolls from now on
  /// From now on; empty: as before.
  std::optional<std::vector<supervisor::requirement>> needs;
  std::string program;  ///< of one that is added
};

struct listener_change {
  enum class kind { opened, moved, closed };
  listener_change(kind k, supervisor::listener_spec l, std::string f = {})
      : what(k), listener(std::move(l)), from(std::move(f)) {}
  kind what;
  supervisor::listener_spec listener;
  std::string from;  ///< the address of one that moves
};

struct group_change {
  enum class kind { added, removed, changed };
  group_change(std::string n, kind k) : name(std::move(n)), what(k) {}
  std::string name;
  kind what;
  std::vector<std::string> differing;  ///< keys
  std::string about;                   ///< one that is added: "one_for_all of db, web"
};

struct plan {
  std::vector<listener_change> listeners;
  std::vector<group_change> groups;  ///< only those that change; as wanted, those removed last
  std::vector<pool_change> pools;    ///< as wanted; those removed come last
  std::vector<std::string> later;    ///< the master's settings that count only when it starts again
  bool empty() const;                ///< but for what counts later
};

plan make_plan(const configuration& running, const configuration& wanted);
/// For a master that goes on where another has died: of that plan, what changes nothing that runs.
/// The rest waits until it is asked for.
plan without_changes(plan);

/// One line a change.
std::vector<std::string> describe(const plan&);
/// The same as a text, which is never empty.
std::string render(const plan&);

}  // namespace app
