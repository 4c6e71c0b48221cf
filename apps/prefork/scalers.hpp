// The coroutines that size pools by their load.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <map>
#include <memory>
#include <string>

#include "options.hpp"
#include "supervisor/supervisor.hpp"

namespace app {

/// At most one for each pool. They are the supervisor's: its end is theirs.
class scalers {
 public:
  /// From now on the pool follows its load as `said` has it; or not at all.
  void follow(supervisor::supervisor&, supervisor::pool, const run_request& said);
  /// The pool leaves.
  void leave(const std::string& pool);
  /// Writes down what a pool was told last, if it was told to follow its load.
  void recall(const std::string& pool, run_request& into) const;

 private:
  struct scaler;
  static boost::asio::awaitable<void> run(supervisor::supervisor&, supervisor::pool,
                                          std::shared_ptr<scaler>);

  std::map<std::string, std::shared_ptr<scaler>> all_;
};

}  // namespace app
