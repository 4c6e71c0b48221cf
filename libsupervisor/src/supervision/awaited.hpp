// What a command to a pool is waited for by: data, so that another supervisor can go on waiting.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "supervisor/errc.hpp"

namespace supervisor {

struct awaited {
  enum class until : std::uint8_t {
    nothing,  ///< it is done
    refused,
    settled,
    settled_beside_rollout,
    stopped,
    rolled,
    restarted
  };
  awaited(until w = until::nothing, std::uint64_t i = 0) : what(w), id(i) {}
  awaited(errc e, std::string r) : what(until::refused), why(e), reason(std::move(r)) {}

  until what;
  std::uint64_t id = 0;  ///< rolled: the rollout; restarted: the slot's of the fresh worker
  errc why{};            ///< refused
  std::string reason;
};

}  // namespace supervisor
