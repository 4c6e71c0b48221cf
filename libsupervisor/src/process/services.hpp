// What the parts of the real host share.
#pragma once

#include <sys/resource.h>

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <random>

#include "kernel/descriptors.hpp"
#include "process/kernel_host.hpp"
#include "process/orphan_watch.hpp"
#include "process/reaper.hpp"
#include "process/timer_queue.hpp"

namespace supervisor {

class output_in_hand;
struct saved_change;

struct process_services {
  process_services(boost::asio::any_io_executor e, journal& j, kernel_host_options o)
      : executor(std::move(e)),
        log(j),
        options(std::move(o)),
        descriptors(options.raise_descriptor_limit ? kernel::raise_descriptor_limit()
                                                   : kernel::descriptor_limit()) {
    if (options.reaps_orphans) orphans.emplace(executor, timers, children);
  }

  boost::asio::any_io_executor executor;
  journal& log;
  kernel_host_options options;
  rlimit descriptors;            ///< what children get: the limit from before ours was raised
  bool few_descriptors = false;  ///< for as many children: none is held that need not be
  std::mt19937_64 random{std::random_device{}()};
  timer_queue timers{executor};
  reaper children{executor, timers, options.last_wait};
  std::optional<orphan_watch> orphans;
  /// Where another may go on from us: adds to what is saved, and wants it saved anew.
  std::function<void(const saved_change&)> keep;
  std::function<void()> save_anew = [] {};
  /// In what is saved now.
  std::function<std::shared_ptr<::supervisor::output_in_hand>()> output_in_hand;
};

inline time_point steady_now() {
  return std::chrono::time_point_cast<duration>(std::chrono::steady_clock::now());
}

}  // namespace supervisor
