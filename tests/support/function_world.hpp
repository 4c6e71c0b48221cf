// A real host whose workers are functions of this test program.
#pragma once

#include <algorithm>

#include "support/kernel_world.hpp"

namespace test {

inline supervisor::kernel_host_options options_for(std::string program) {
  supervisor::kernel_host_options options;
  options.program = std::move(program);
  options.arguments = {"test"};
  return options;
}

struct function_world : kernel_world {
  explicit function_world(std::string program = "/proc/self/exe")
      : kernel_world(options_for(std::move(program))) {}
  explicit function_world(supervisor::kernel_host_options options)
      : kernel_world(std::move(options)) {}

  void open(const supervisor::spec& what, std::uint64_t generation = 1) {
    host->open_program("pool", generation, std::make_shared<const supervisor::spec>(what), [] {});
  }
  supervisor::program_view program(std::uint64_t generation = 1) {
    return host->program("pool", generation);
  }
  bool opened(std::uint64_t generation = 1) {
    return run_until([&] { return program(generation).open || program(generation).failed; }) &&
           program(generation).open;
  }
  supervisor::child_id start(std::uint64_t generation = 1) {
    supervisor::launch_request request;
    request.key = {"pool", launched.size() + 1, 1};
    request.generation = generation;
    launched.push_back(host->launch(request, [this] { ++changes; }));
    return launched.back();
  }
  bool ready(supervisor::child_id id) {
    return run_until([&] { return view(id).ready || view(id).over(); }) && view(id).ready;
  }

  /// What a launch leaves to do, the next workers' pipes, is done soon after it.
  void come_to_rest() {
    bool later = false;
    host->call_at(host->now() + std::chrono::milliseconds(100), [&] { later = true; });
    BOOST_REQUIRE(run_until([&] { return later; }));
    context.restart();
    context.poll();
  }

  const supervisor::event& last(supervisor::event_kind kind) const {
    auto it = std::find_if(events.rbegin(), events.rend(), [&](auto& e) { return e.kind == kind; });
    BOOST_REQUIRE((it != events.rend()));
    return *it;
  }
  unsigned count(supervisor::event_kind kind) const {
    unsigned n = 0;
    for (auto& each : events) n += each.kind == kind;
    return n;
  }
  pid_t mold() const {
    pid_t pid = 0;
    for (auto& each : events)
      if (each.kind == supervisor::event_kind::mold_started) pid = each.pid;
    return pid;
  }
  void signal_mold(int number) {
    auto fd = supervisor::kernel::open_pidfd(mold());
    BOOST_CHECK(!supervisor::kernel::send_signal(fd.get(), number));
  }
};

}  // namespace test
