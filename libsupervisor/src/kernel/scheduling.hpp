// When the scheduler lets this process run.
#pragma once

namespace supervisor::kernel {

/// Asks for short turns (Linux 6.12, sched_setattr(2)). For what is done soon that means to run at
/// once when woken, on a CPU where others of the same priority are busy; it means no larger share.
/// Children get turns of the usual length. Left alone is a process whose policy or priority
/// somebody has raised: that is not to be lost in its children.
void ask_for_short_turns() noexcept;

}  // namespace supervisor::kernel
