#include "control/command.hpp"

#include <fmt/format.h>

#include <string.h>
#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <limits>
#include <stdexcept>

#include "control/members.hpp"
#include "control/status.hpp"
#include "supervision/outcomes.hpp"
#include "supervision/pool_keeper.hpp"
#include "supervisor/errc.hpp"
#include "supervisor/journal.hpp"

namespace asio = boost::asio;
namespace json = boost::json;

namespace supervisor {

namespace {

using verb = command::verb;

struct verb_name {
  std::string_view text;
  verb what;
};
constexpr verb_name verbs[] = {{"scale", verb::scale},         {"reload", verb::reload},
                               {"restart", verb::restart},     {"signal", verb::signal},
                               {"stop", verb::stop},           {"upgrade", verb::upgrade},
                               {"rollout/pause", verb::pause}, {"rollout/resume", verb::resume},
                               {"rollout/abort", verb::abort}, {"rollout/undo", verb::undo}};

// --- from JSON

int signal_of(const json::value& value) {
  auto number = value.is_string()
                    ? signal_number(text(value, "signal"))
                    : std::optional<int>(static_cast<int>(integer(value, "signal", 1, SIGRTMAX)));
  if (!number) complain(fmt::format("there is no signal \"{}\"", text(value, "signal")));
  return *number;
}

void parse_scale(command& what, json::object& body) {
  auto count = take(body, "count");
  auto delta = take(body, "delta");
  if (count.has_value() == delta.has_value()) complain("scale takes either \"count\" or \"delta\"");
  if (count) what.count = static_cast<unsigned>(integer(*count, "count", 1, most_workers));
  constexpr std::int64_t most = most_workers;
  if (delta) what.delta = integer(*delta, "delta", -most, most);
}

void parse_slot(command& what, json::object& body) {
  auto slot = take(body, "slot");
  if (!slot) complain("\"slot\" is missing");
  what.slot =
      static_cast<unsigned>(integer(*slot, "slot", 0, std::numeric_limits<std::int32_t>::max()));
}

// --- to JSON

struct error_name {
  errc error;
  std::string_view name;
  unsigned status;
  int exit;
};
constexpr error_name error_names[] = {
    {errc::no_such_pool, "no_such_pool", 404, exit_code::no_such_pool},
    {errc::no_such_slot, "no_such_slot", 404, exit_code::no_such_pool},
    {errc::pool_closed, "pool_closed", 409, exit_code::conflict},
    {errc::rolled_back, "rolled_back", 409, exit_code::rolled_back},
    {errc::superseded, "superseded", 409, exit_code::conflict},
    {errc::no_rollout, "no_rollout", 409, exit_code::failed},
    {errc::not_kept, "not_kept", 409, exit_code::failed},
    {errc::upgrading, "upgrading", 409, exit_code::conflict},
    {errc::no_keeper, "no_keeper", 409, exit_code::failed},
    {errc::degraded, "degraded", 200, exit_code::degraded},
    {errc::invalid_argument, "invalid_argument", 400, exit_code::usage},
};

std::string join(const std::vector<pool>& pools) {
  std::string names;
  for (auto& one : pools) names += (names.empty() ? "" : ", ") + one.name();
  return names;
}

/// The pools that `what` is about, or why there are none.
outcome find_targets(const supervisor& self, const command& what, std::vector<pool>& targets) {
  outcome found;
  auto all = self.pools();
  if (!what.pool.empty()) {
    if (auto named = self.find_pool(what.pool)) targets.push_back(*named);
  } else if (all.size() == 1 || what.what == verb::reload) {
    targets = all;
  }
  if (!targets.empty()) return found;
  found.ok = false;
  found.error = make_error_code(errc::no_such_pool);
  if (all.empty())
    found.reason = "there is no pool";
  else if (what.pool.empty())
    found.reason = "name one of the pools: " + join(all);
  else
    found.reason = fmt::format("there is no pool {}; there is: {}", what.pool, join(all));
  return found;
}

unsigned new_size(unsigned size, const command& what) {
  if (what.count) return *what.count;
  auto wanted = static_cast<std::int64_t>(size) + what.delta;
  return static_cast<unsigned>(std::clamp<std::int64_t>(wanted, 1, most_workers));
}

asio::awaitable<verb_answer> begin_application(supervisor& self, command what,
                                               std::uint64_t cause) {
  journal::because because(self.log(), cause);
  return (*what.handler)(self, std::move(what.argument));
}

awaited begin(const pool& target, const command& what) {
  auto& keeper = target.keeper();
  switch (what.what) {
    case verb::scale:
      return keeper.resize(new_size(target.size(), what));
    case verb::restart:
      return keeper.restart(what.slot);
    case verb::pause:
      return keeper.pause_rollout();
    case verb::resume:
      return keeper.resume_rollout();
    case verb::abort:
      return keeper.abort_rollout(what.why);
    case verb::undo:
      return keeper.undo(what.to, what.how.over(target.rollouts()));
    case verb::reload:
    case verb::signal:
    case verb::stop:
    case verb::upgrade:
    case verb::application:
      break;
  }
  return keeper.roll({}, what.how.over(target.rollouts()));
}

reply report(const outcome& all, const std::vector<pool>& targets) {
  auto answer = all.ok ? reply(200, {}) : refusal(all.error, all.reason);
  answer.body["ok"] = all.ok;
  json::array slots;
  bool degraded = false;
  for (auto& target : targets) {
    auto status = target.status();
    degraded = degraded || (!status.drained && status.ready < status.target);
    for (auto& slot : status.slots) {
      auto row = to_json(slot);
      row["pool"] = status.name;
      slots.push_back(std::move(row));
    }
  }
  if (all.ok) answer.body["exit"] = degraded ? exit_code::degraded : exit_code::ok;
  answer.body["slots"] = std::move(slots);
  return answer;
}

}  // namespace

std::optional<command> parse_command(std::string_view path, std::string_view body,
                                     const std::map<std::string, verb_handler>& more) {
  if (path.empty() || path.front() != '/') return std::nullopt;
  auto known = std::find_if(std::begin(verbs), std::end(verbs),
                            [&](const verb_name& v) { return v.text == path.substr(1); });
  auto other = more.find(std::string(path.substr(1)));
  bool ours = known != std::end(verbs);
  if (!ours && other == more.end()) return std::nullopt;

  command what(ours ? known->what : verb::application);
  what.name = path.substr(1);
  if (!ours) what.handler = &other->second;
  auto members = parse_object(body);
  if (auto why = take(members, "why")) what.why = text(*why, "why");
  if (!ours)
    if (auto argument = take(members, "argument")) what.argument = text(*argument, "argument");
  if (ours && what.what != verb::stop && what.what != verb::upgrade)
    if (auto pool = take(members, "pool")) what.pool = text(*pool, "pool");
  if (what.what == verb::scale) parse_scale(what, members);
  if (what.what == verb::restart || what.what == verb::signal) parse_slot(what, members);
  if (what.what == verb::signal) {
    auto signal = take(members, "signal");
    if (!signal) complain("\"signal\" is missing");
    what.signal = signal_of(*signal);
  }
  if (what.what == verb::undo)
    if (auto to = take(members, "to"))
      what.to = static_cast<std::uint64_t>(
          integer(*to, "to", 1, std::numeric_limits<std::int64_t>::max()));
  if (what.what == verb::undo || what.what == verb::reload) what.how = take_gate(members);
  if (what.what == verb::stop)
    if (auto quick = take(members, "quick")) {
      if (!quick->is_bool()) complain("\"quick\" is true or false");
      what.quick = quick->get_bool();
    }
  if (!members.empty()) {
    auto name = members.begin()->key();
    complain(fmt::format("{} does not know \"{}\"", what.name,
                         std::string_view(name.data(), name.size())));
  }
  return what;
}

std::string describe(const command& what) {
  auto words = what.name;
  std::replace(words.begin(), words.end(), '/', ' ');
  if (!what.argument.empty()) words += ' ' + what.argument;
  if (!what.pool.empty()) words += ' ' + what.pool;
  if (what.what == verb::scale)
    words += what.count ? fmt::format(" {}", *what.count) : fmt::format(" {:+}", what.delta);
  if (what.what == verb::restart || what.what == verb::signal)
    words += fmt::format(" {}", what.slot);
  if (what.what == verb::signal) words += ' ' + signal_name(what.signal);
  if (what.to) words += fmt::format(" to {}", *what.to);
  if (what.quick) words += " quick";
  words += describe(what.how);
  return words;
}

reply refusal(boost::system::error_code error, std::string reason) {
  auto known = std::find_if(std::begin(error_names), std::end(error_names),
                            [&](const error_name& e) { return error == make_error_code(e.error); });
  bool ours = known != std::end(error_names);
  const char* kernels = ours ? nullptr : ::strerrorname_np(error.value());
  json::object body;
  body["ok"] = false;
  body["error"] = ours ? std::string(known->name) : kernels ? kernels : "failed";
  body["reason"] = reason.empty() ? error.message() : std::move(reason);
  int exit = exit_code::failed;
  if (ours)
    exit = known->exit;
  else if (error == boost::system::errc::address_in_use)
    exit = exit_code::conflict;
  else if (error == boost::system::errc::permission_denied)
    exit = exit_code::denied;
  body["exit"] = exit;
  return {ours ? known->status : 500, std::move(body)};
}

asio::awaitable<reply> execute_application(supervisor& self, command what, std::uint64_t cause) {
  auto begun = begin_application(self, std::move(what), cause);
  auto told = co_await std::move(begun);
  auto answer = told.settled.ok ? reply(200, {}) : refusal(told.settled.error, told.settled.reason);
  answer.body["ok"] = told.settled.ok;
  if (told.settled.ok) answer.body["exit"] = exit_code::ok;
  answer.body["text"] = told.text;
  co_return answer;
}

undertaking begin(supervisor& self, const command& what, std::uint64_t cause) {
  journal::because because(self.log(), cause);
  undertaking begun;
  std::vector<pool> targets;
  auto found = find_targets(self, what, targets);
  if (!found.ok) begun.refused = report(found, {});
  for (auto& target : targets) begun.pools.emplace_back(target.name(), begin(target, what));
  return begun;
}

asio::awaitable<outcome> begin_upgrade(supervisor& self, std::uint64_t cause) {
  journal::because because(self.log(), cause);
  return self.upgrade();
}

asio::awaitable<reply> settle(supervisor& self, undertaking begun) {
  if (begun.refused) co_return std::move(*begun.refused);
  outcome all;
  std::vector<pool> targets;
  for (auto& [name, what] : begun.pools) {
    auto target = self.find_pool(name);
    auto settled = failure(errc::pool_closed, "the pool " + name + " is gone");
    if (target) {
      targets.push_back(*target);
      auto waiting = target->keeper().when(std::move(what));
      settled = co_await std::move(waiting);
    }
    if (all.ok) all = std::move(settled);
  }
  co_return report(all, targets);
}

reply send_signal(supervisor& self, const command& what, std::uint64_t cause) {
  journal::because because(self.log(), cause);
  std::vector<pool> targets;
  auto all = find_targets(self, what, targets);
  for (auto& target : targets) {
    all.error = target.signal(what.slot, what.signal);
    all.ok = !all.error;
    if (all.ok) continue;
    all.reason = fmt::format("{}.{}: {}", target.name(), what.slot, all.error.message());
  }
  return report(all, targets);
}

}  // namespace supervisor
