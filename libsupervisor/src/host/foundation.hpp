// What a supervisor stands on, where it is its own.
#pragma once

#include <memory>
#include <string>

#include "host/host.hpp"
#include "supervisor/journal.hpp"

namespace supervisor {

struct foundation {
  explicit foundation(journal::clock now) : log(std::move(now)) {}

  std::string name;
  journal log;
  std::shared_ptr<void> sink;
  std::unique_ptr<host> outside;
};

}  // namespace supervisor
