// A real host, its children, and everything they said.
#pragma once

#include <boost/asio/io_context.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "process/kernel_host.hpp"
#include "support/leftovers.hpp"

namespace test {

struct kernel_world : leftovers {
  explicit kernel_world(supervisor::kernel_host_options options = {})
      : log([this] {
          return host ? std::pair(host->now(), host->wall_now())
                      : std::pair(supervisor::time_point{}, supervisor::wall_time{});
        }),
        sink(log.subscribe([this](const supervisor::event& e) { events.push_back(e); })) {
    options.on_line = [this](auto& key, unsigned, bool is_stderr, std::string_view line) {
      lines[key.slot_id].push_back((is_stderr ? "! " : "") + std::string(line));
    };
    host = supervisor::make_kernel_host(context.get_executor(), log, std::move(options));
    host->on_report([this](auto& key, auto report) { reports[key.slot_id] = report; });
  }

  ~kernel_world() {
    for (auto id : launched)
      if (!host->look(id).over()) host->signal(id, SIGKILL);
    auto all_reported = [this] {
      for (auto id : launched)
        if (host->look(id).over() && !reports.contains(host->look(id).key.slot_id)) return false;
      return true;
    };
    BOOST_CHECK(run_until(all_reported));
    host.reset();
    context.restart();
    context.poll();
  }

  /// Runs the loop until `done`; false when that does not come within 20 s.
  template <typename Predicate>
  bool run_until(Predicate done) {
    auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!done()) {
      context.restart();
      if (context.run_one_until(deadline) == 0 && std::chrono::steady_clock::now() >= deadline)
        return done();
    }
    return true;
  }

  /// A command of test_child's actions.
  static supervisor::spec script(std::vector<std::string> actions) {
    return supervisor::spec::command(TEST_CHILD, std::move(actions));
  }

  /// Launches a child of its own program; the `nth` launched is slot n, from 1.
  supervisor::child_id launch(const supervisor::spec& what) {
    auto number = launched.size() + 1;
    auto shared = std::make_shared<const supervisor::spec>(what);
    host->open_program("test", number, shared, {});
    supervisor::launch_request request;
    request.key = {"test", number, 1};
    request.slot = static_cast<unsigned>(number);
    request.generation = number;
    launched.push_back(host->launch(request, [this] { ++changes; }));
    return launched.back();
  }

  const supervisor::child_view& view(supervisor::child_id id) const { return host->look(id); }
  bool reported(supervisor::child_id id) const { return reports.contains(view(id).key.slot_id); }
  const supervisor::exit_report& report(supervisor::child_id id) const {
    return *reports.at(view(id).key.slot_id);
  }
  const std::vector<std::string>& output(supervisor::child_id id) {
    return lines[view(id).key.slot_id];
  }
  bool said(supervisor::child_id id, const std::string& line) {
    auto& all = output(id);
    return std::find(all.begin(), all.end(), line) != all.end();
  }
  /// Launches, and runs it to its report.
  const supervisor::exit_report& run(const supervisor::spec& what) {
    auto id = launch(what);
    BOOST_REQUIRE(run_until([&] { return reported(id); }));
    return report(id);
  }

  boost::asio::io_context context{1};
  std::unique_ptr<supervisor::host> host;
  supervisor::journal log;
  std::vector<supervisor::event> events;
  std::shared_ptr<void> sink;
  std::vector<supervisor::child_id> launched;
  std::map<std::uint64_t, std::shared_ptr<const supervisor::exit_report>> reports;
  std::map<std::uint64_t, std::vector<std::string>> lines;
  unsigned changes = 0;
};

}  // namespace test
