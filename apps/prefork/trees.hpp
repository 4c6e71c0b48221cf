// The groups of a running configuration.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "config.hpp"
#include "supervisor/group.hpp"
#include "supervisor/supervisor.hpp"

namespace app {

class trees {
 public:
  /// Told of a pool that a group has opened.
  using opened = std::function<void(const named_pool&, supervisor::pool)>;
  /// A tree that has pools of which none ran before, and when they have settled.
  struct beginning {
    beginning(std::string r, boost::asio::awaitable<supervisor::outcome> s)
        : root(std::move(r)), settled(std::move(s)) {}
    std::string root;
    boost::asio::awaitable<supervisor::outcome> settled;
  };

  /// Trees that are not as wanted are let go, and made anew around their pools, which notice
  /// nothing. Throws system_error.
  std::vector<beginning> change(supervisor::supervisor&, const configuration& wanted,
                                const opened&);
  const std::vector<named_group>& running() const noexcept { return running_; }
  /// False where one of them has failed, or does. When all have ended.
  boost::asio::awaitable<bool> end_well();

 private:
  struct progress;
  void release(const configuration& wanted);
  static boost::asio::awaitable<supervisor::outcome> settle(const supervisor::supervisor&,
                                                            std::vector<std::string> fresh,
                                                            std::shared_ptr<progress>);

  std::shared_ptr<progress> progress_;
  std::vector<named_group> running_;
  std::map<std::string, supervisor::group> roots_;
};

}  // namespace app
