#include "health_words.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "values.hpp"

namespace app {

namespace {

namespace sup = supervisor;
using text = const std::string&;

/// Of all probes that were said.
std::vector<sup::probe>& probes_of(text called, run_request& r) {
  if (r.what.liveness.empty())
    complain(fmt::format("{}: there is no liveness probe that it is of", called));
  return r.what.liveness;
}

}  // namespace

sup::probe probe_of(text called, text value) {
  try {
    return sup::probe::parse(value);
  } catch (const std::invalid_argument& error) {
    complain(fmt::format("{}: {}", called, error.what()));
  }
}

void take_readiness(text called, text value, run_request& r) {
  if (value == "notify") {
    r.what.ready = sup::readiness::notify;
  } else if (value == "alive" || value.starts_with("alive:")) {
    r.what.ready = sup::readiness::alive;
    if (value.size() > 5) r.what.alive_for = duration_of(called, value.substr(6));
  } else if (value.starts_with("fd:")) {
    r.what.ready = sup::readiness::newline;
    r.what.ready_descriptor = number_of<int>(value.substr(3));
    if (!r.what.ready_descriptor)
      complain(fmt::format("{}: \"{}\" is not fd:NUMBER", called, value));
  } else if (value.find(':') != value.npos) {
    r.what.ready = sup::readiness::probe;
    r.what.ready_probe = probe_of(called, value).every(std::chrono::milliseconds(250));
  } else if (value != "auto") {
    complain(
        fmt::format("{}: \"{}\" is not auto, notify, alive, alive:SECONDS, fd:NUMBER or a probe "
                    "such as http://ADDR/PATH",
                    called, value));
  }
}

void take_liveness(text called, text value, run_request& r) {
  r.what.liveness.push_back(probe_of(called, value));
}
void take_liveness_period(text called, text value, run_request& r) {
  auto period = duration_of(called, value);
  for (auto& p : probes_of(called, r)) p.period = period;
}
void take_liveness_timeout(text called, text value, run_request& r) {
  auto timeout = duration_of(called, value);
  for (auto& p : probes_of(called, r)) p.timeout = timeout;
}
void take_liveness_failures(text called, text value, run_request& r) {
  auto failures = count_of(called, value);
  for (auto& p : probes_of(called, r)) p.failures = failures;
}
void take_liveness_start(text called, text value, run_request& r) {
  auto start = duration_of(called, value);
  for (auto& p : probes_of(called, r)) p.start = start;
}

void take_max_requests(text called, text value, run_request& r) {
  r.what.recycle.max_requests = count_of(called, value);
}
void take_max_age(text called, text value, run_request& r) {
  r.what.recycle.max_age = duration_of(called, value);
}
void take_max_memory(text called, text value, run_request& r) {
  r.what.recycle.max_memory = size_of(called, value);
}

void take_recycle_jitter(text called, text value, run_request& r) {
  auto jitter = number_of<double>(value);
  if (!jitter || !(*jitter >= 0 && *jitter <= 1))
    complain(fmt::format("{}: \"{}\" is not a number from 0 to 1", called, value));
  r.what.recycle.jitter = *jitter;
}
void take_recycle_at_once(text called, text value, run_request& r) {
  r.what.recycle.at_once = count_of(called, value);
}

void take_fd_store_max(text called, text value, run_request& r) {
  auto most = number_of<unsigned>(value);
  if (!most || *most > sup::most_stored)
    complain(fmt::format("{}: \"{}\" is no number up to {}", called, value, sup::most_stored));
  r.what.fd_store_max = *most;
}

bool same_probes(const run_request& a, const run_request& b) {
  return std::ranges::equal(a.what.liveness, b.what.liveness, {}, &sup::probe::str,
                            &sup::probe::str);
}

}  // namespace app
