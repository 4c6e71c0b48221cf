// A cell of kernel/activity.hpp, read from another process.
#pragma once

#include "kernel/activity.hpp"
#include "supervisor/scoreboard.hpp"

namespace supervisor::kernel {

/// Of a worker that runs, or is dead: what the notes say is never a mixture of two texts. Where
/// requests come and go faster than they can be read, their texts are left empty.
scoreboard read(const activity&, time_point now);

}  // namespace supervisor::kernel
