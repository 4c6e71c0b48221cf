// The supervisor behind its handle.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "host/foundation.hpp"
#include "supervision/group_keeper.hpp"
#include "supervision/pool_keeper.hpp"
#include "supervisor/condition.hpp"
#include "supervisor/supervisor.hpp"
#include "supervisor/task_group.hpp"

namespace supervisor {

struct supervisor::impl : std::enable_shared_from_this<impl> {
  impl(host&, journal&, std::string name, std::unique_ptr<foundation>);
  ~impl();
  void take_reports();
  /// Goes on where another supervisor has saved. Throws std::runtime_error.
  void restore();

  /// The end of one that others may be about to call: what is under way here ends first, in the
  /// loop, in a few turns of it.
  static void close(std::shared_ptr<impl>);

  listener_spec listen(const listener_spec&);
  void close_listener(const std::string& listener);
  ::supervisor::pool open(std::string name, spec, unsigned size);
  std::shared_ptr<pool_keeper> find(std::string_view) const;
  std::shared_ptr<pool_keeper> add(pool_state, program_specs);
  std::shared_ptr<pool_keeper> adopt(pool_state, program_specs);
  std::vector<pool_status> status() const;

  std::shared_ptr<group_keeper> open_group(std::string name, group_spec);
  /// Forgets a stopped one of that name.
  std::shared_ptr<group_keeper> add_group(group_state, std::vector<child_spec>,
                                          std::function<void()> told);
  /// One whose written state is known; else null.
  std::shared_ptr<group_keeper> resume_group(const std::string& name, const group_spec&,
                                             std::function<void()> told);
  bool is_taken(std::string_view name) const;

  /// None is made, and no signal touched, before somebody asks.
  signal_dispatcher& signals();
  void interrupt(const signal_event&);
  void failed(int number, const std::exception_ptr&);

  /// The first of: a signal, a request, the deadline; the end of every stop, for who hastens them.
  boost::asio::awaitable<signal_event> first_of(std::vector<int> numbers, time_point deadline,
                                                bool hastens = false);
  boost::asio::awaitable<void> stop(bool quick);
  void request_stop(bool quick);
  void announce_stop(bool quick, time_point serves_until);
  boost::asio::awaitable<outcome> upgrade();

  std::unique_ptr<foundation> own;  ///< in the library door; goes last
  host& outside;
  const boost::asio::any_io_executor executor;
  journal& log;
  std::string name;
  task_group keeping;           ///< pools and their slots; cancelled by close() alone
  task_group stops;             ///< those that other threads have asked for
  task_group tasks;             ///< the policy's
  condition asked;              ///< serve() has something to look at
  condition asleep;             ///< never notified: its deadlines are all there is
  std::optional<bool> request;  ///< to stop; true: quickly
  bool stop_requested = false;
  std::function<void(const signal_event&)> fallback;  ///< see on_interrupt()
  bool interrupted = false;
  bool stop_announced = false;
  bool stopping = false;
  bool closing = false;
  unsigned stops_running = 0;
  std::vector<int> impatient;  ///< signals that hasten a stop
  std::vector<std::shared_ptr<pool_keeper>> pools;
  std::vector<std::shared_ptr<group_keeper>> groups;  ///< those within others too
  std::vector<std::weak_ptr<group_keeper>> trees;     ///< those within none
  std::set<std::string> adopted;                      ///< not yet named by the policy
  std::map<std::string, group_state> written;         ///< groups that are not
  std::optional<signal_dispatcher> dispatcher;
  std::shared_ptr<void> neighbourhood;
  struct upgrade_attempt;
  std::shared_ptr<upgrade_attempt> upgrading;  ///< there is one under way
  bool goes_on = false;
  std::string beside;  ///< saved for another room
  void keep_beside(std::string);

 private:
  void keep(const event&);
  void save_later();
  void save();
  void tell_dependents(std::string_view changed);
  std::optional<std::string> find_circle(const std::string& pool, const spec&) const;
  static void drain(std::shared_ptr<impl>);
  void tell_of_the_living();
  signal_dispatcher::observer signal_observer();
  boost::asio::awaitable<void> take(boost::asio::awaitable<signal_event>,
                                    std::optional<signal_event>& taken);
  boost::asio::awaitable<void> hasten(bool quick);
  void hurry(bool kill);
  group_world world_of_groups();
  std::vector<boost::asio::awaitable<outcome>> begin_stops(bool quick);
  void ended(std::weak_ptr<group_keeper>);
  void refuse_faults(const group_spec&) const;
  const group_keeper* group_of(std::string_view pool) const;
  std::shared_ptr<group_keeper> open_tree(const std::string& group, const group_spec& what,
                                          std::function<void()> told);

  bool saving_ = false;  ///< save() is yet to come
  bool saved_once_ = false;
  std::uint64_t last_event_ = 0;
  boost::system::error_code failed_save_;
};

}  // namespace supervisor
