// The policy for a configuration: keeps its pools as they are wanted, and changes what differs.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "config.hpp"
#include "plan.hpp"
#include "scalers.hpp"
#include "supervisor/run.hpp"
#include "trees.hpp"

namespace app {

/// Outlives the supervisor that runs its policy.
class fleet {
 public:
  /// Changes what a file says of the master, as the command line wants it.
  using override_ = std::function<void(run_request&)>;
  fleet(std::string file, configuration first, override_);

  /// The policy: opens and starts what `first` says, then obeys signals; HUP reads the file again.
  boost::asio::awaitable<int> run(supervisor::supervisor&);
  /// The verbs `plan` and `apply` of the control socket; the argument is a file.
  std::map<std::string, supervisor::verb_handler> verbs();

 private:
  struct work;
  using awaitable = boost::asio::awaitable<supervisor::verb_answer>;

  configuration load(const std::string& file) const;
  configuration running(const supervisor::supervisor&) const;
  supervisor::verb_answer plan_file(const supervisor::supervisor&, const std::string& file) const;
  awaitable apply_file(supervisor::supervisor&, const std::string& file);
  std::shared_ptr<work> begin(supervisor::supervisor&, configuration wanted);
  void begin_groups(supervisor::supervisor&, work&);
  void begin_pools(supervisor::supervisor&, work&);
  void begin_stops(supervisor::supervisor&, work&);
  boost::asio::awaitable<void> finish(supervisor::supervisor&, std::shared_ptr<work>);
  boost::asio::awaitable<void> settle(supervisor::supervisor&, work&);
  boost::asio::awaitable<void> reload(supervisor::supervisor&);

  std::string file_;  ///< applied last
  configuration first_;
  run_request master_;  ///< with what the master was started
  override_ override_master_;
  std::uint64_t applies_ = 0;
  std::set<std::string> leaving_;  ///< pools that are being stopped
  scalers scalers_;
  trees trees_;
};

}  // namespace app
