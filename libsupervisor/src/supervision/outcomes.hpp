// What commands are answered.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <string>

#include "supervision/awaited.hpp"
#include "supervision/state.hpp"
#include "supervisor/errc.hpp"
#include "supervisor/supervisor.hpp"

namespace supervisor {

/// Of a command that was not done.
inline outcome failure(boost::system::error_code why, std::string reason) {
  outcome o;
  o.ok = false;
  o.error = why;
  o.reason = std::move(reason);
  return o;
}

inline outcome closed() { return failure(errc::pool_closed, "the pool is stopping"); }
inline awaited refused_as_closed() { return {errc::pool_closed, closed().reason}; }

/// How a settled pool stands.
inline outcome standing(const pool_state& p) {
  if (p.stopped || p.drained) return {};
  for (auto& s : p.slots) {
    bool rolled_out = p.rolling && !s.stays();
    if (s.arrived() || rolled_out) continue;
    if (s.now == phase::waiting)
      return failure(errc::degraded,
                     "slot " + std::to_string(s.number) + " is waiting for " + p.held);
    auto how = s.now == phase::given_up ? " has given up: " + describe_surrender(s)
                                        : " is backing off: " + describe_exit(s);
    return failure(errc::degraded, "slot " + std::to_string(s.number) + how);
  }
  return {};
}

inline boost::asio::awaitable<outcome> answer(outcome o) { co_return o; }

}  // namespace supervisor
