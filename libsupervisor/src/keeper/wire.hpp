// What a keeper and a master say to each other, in packets of one record, on a SOCK_SEQPACKET pair.
#pragma once

#include <cstdint>

namespace supervisor::keeper_wire {

enum class kind : std::uint32_t {
  hold = 1,  ///< to the keeper: the descriptor that comes along, until its end
};

struct record {
  kind what = kind::hold;
};

}  // namespace supervisor::keeper_wire
