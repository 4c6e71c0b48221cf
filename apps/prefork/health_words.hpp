// Settings that say how workers are looked after, how long they live, and what is kept of them.
#pragma once

#include <string>

#include "options.hpp"
#include "supervisor/probe.hpp"

namespace app {

/// Throws std::invalid_argument.
supervisor::probe probe_of(const std::string& called, const std::string& text);

// Each takes in one value of the setting of its name; see setting::take.
void take_readiness(const std::string& called, const std::string& text, run_request&);
void take_liveness(const std::string& called, const std::string& text, run_request&);
void take_liveness_period(const std::string& called, const std::string& text, run_request&);
void take_liveness_timeout(const std::string& called, const std::string& text, run_request&);
void take_liveness_failures(const std::string& called, const std::string& text, run_request&);
void take_liveness_start(const std::string& called, const std::string& text, run_request&);
void take_max_requests(const std::string& called, const std::string& text, run_request&);
void take_max_age(const std::string& called, const std::string& text, run_request&);
void take_max_memory(const std::string& called, const std::string& text, run_request&);
void take_recycle_jitter(const std::string& called, const std::string& text, run_request&);
void take_recycle_at_once(const std::string& called, const std::string& text, run_request&);
void take_fd_store_max(const std::string& called, const std::string& text, run_request&);

bool same_probes(const run_request&, const run_request&);  ///< but for their times

}  // namespace app
