// What the parts of the real host share.
#pragma once

#include <sys/resource.h>

#include <boost/asio/any_io_executor.hpp>
#include <random>

#include "process/kernel_host.hpp"
#include "process/reaper.hpp"
#include "process/timer_queue.hpp"

namespace supervisor {

struct process_services {
  boost::asio::any_io_executor executor;
  journal& log;
  kernel_host_options options;
  rlimit descriptors;  ///< the limit from before ours was raised
  std::mt19937_64 random{std::random_device{}()};
  timer_queue timers{executor};
  reaper children{executor, timers};
};

inline time_point steady_now() {
  return std::chrono::time_point_cast<duration>(std::chrono::steady_clock::now());
}

}  // namespace supervisor
