#include "fleet.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/system/system_error.hpp>
#include <csignal>
#include <stdexcept>

#include "supervisor/condition.hpp"
#include "supervisor/errc.hpp"
#include "supervisor/journal.hpp"
#include "supervisor/prefork.hpp"

namespace app {

namespace {

namespace asio = boost::asio;
namespace sup = supervisor;
using boost::system::system_error;
using sup::outcome;
using sup::verb_answer;
using kind = pool_change::kind;
using move = listener_change::kind;

verb_answer refuse(boost::system::error_code error, std::string reason) {
  verb_answer answer;
  answer.settled.ok = false;
  answer.settled.error = error;
  answer.settled.reason = std::move(reason);
  return answer;
}

verb_answer refuse(const bad_configuration& error) {
  auto answer = refuse(make_error_code(sup::errc::invalid_argument),
                       "the configuration is wrong, and nothing was changed");
  answer.text = error.what() + std::string("\n");
  return answer;
}

asio::awaitable<verb_answer> answer_with(verb_answer answer) { co_return answer; }

/// A rollback is what the command ends with, whatever else went wrong.
void add(outcome& all, const std::string& whose, const outcome& one) {
  if (one.ok) return;
  all.ok = false;
  bool worse = one.error == make_error_code(sup::errc::rolled_back);
  bool first = !all.error || all.error == make_error_code(sup::errc::degraded);
  if (first || worse) all.error = one.error;
  all.reason += fmt::format("{}{}: {}", all.reason.empty() ? "" : "; ", whose,
                            one.reason.empty() ? one.error.message() : one.reason);
}

}  // namespace

/// An apply on its way; whoever waits for it may leave.
struct fleet::work {
  explicit work(const sup::supervisor& self) : changed(self.executor()) {}
  struct step {
    step(std::string p, asio::awaitable<outcome> s)
        : whose("pool " + p), pool(std::move(p)), settled(std::move(s)) {}
    explicit step(trees::beginning tree)
        : whose("group " + tree.root), settled(std::move(tree.settled)) {}
    std::string whose;
    std::string pool;  ///< empty: a group's
    asio::awaitable<outcome> settled;
  };

  configuration wanted;
  plan made;
  std::vector<sup::listener_spec> moved;  ///< as they were before
  std::uint64_t number = 0;               ///< of this apply
  std::uint64_t cause = 0;
  std::vector<step> steps;
  verb_answer answer;
  bool done = false;
  sup::condition changed;

  static asio::awaitable<verb_answer> wait(std::shared_ptr<work> self) {
    while (!self->done) co_await self->changed.wait();
    co_return self->answer;
  }
};

fleet::fleet(std::string file, configuration first, override_ master)
    : file_(std::move(file)),
      first_(std::move(first)),
      master_(first_.master),
      override_master_(std::move(master)) {}

configuration fleet::load(const std::string& file) const {
  auto wanted = load_configuration(file, inspect_here);
  override_master_(wanted.master);
  return wanted;
}

configuration fleet::running(const sup::supervisor& self) const {
  configuration now;
  now.master = master_;
  now.groups = trees_.running();
  now.master.prefork.listeners = self.listeners();
  for (auto& pool : self.pools()) {
    if (leaving_.contains(pool.name())) continue;
    run_request said;
    said.what = pool.what();
    said.prefork.workers = pool.size();
    said.prefork.rollouts = pool.rollouts();
    scalers_.recall(pool.name(), said);
    auto& known = now.pools.emplace_back(pool.name(), std::move(said));
    known.size = pool.size();
    known.drained = pool.status().drained;
  }
  return now;
}

// --- beginning: everything is recorded at the call

namespace {

/// Opens what is new and moves what moves; where one of them fails, all is as it was before.
std::vector<sup::listener_spec> open_listeners(sup::supervisor& self, const plan& made) {
  std::vector<sup::listener_spec> moved, open = self.listeners();
  std::vector<std::string> opened;
  try {
    for (auto& change : made.listeners) {
      if (change.what == move::closed) continue;
      self.listen(change.listener);
      if (change.what == move::opened)
        opened.push_back(change.listener.name);
      else
        moved.push_back(*std::ranges::find(open, change.listener.name, &sup::listener_spec::name));
    }
  } catch (...) {
    for (auto& name : opened) self.close_listener(name);
    for (auto& listener : moved) self.listen(listener);
    throw;
  }
  return moved;
}

}  // namespace

std::shared_ptr<fleet::work> fleet::begin(sup::supervisor& self, configuration wanted) {
  auto begun = std::make_shared<work>(self);
  begun->made = make_plan(running(self), wanted);
  const bool goes_on = self.goes_on() && applies_ == 0;
  if (goes_on) begun->made = without_changes(std::move(begun->made));
  begun->wanted = std::move(wanted);
  for (auto& change : begun->made.pools)
    if (change.what == kind::added && leaving_.contains(change.name))
      throw system_error(
          make_error_code(sup::errc::pool_closed),
          fmt::format("pool {} is still stopping; apply again when it is gone", change.name));
  for (auto& pool : self.pools())
    if (find_group(begun->wanted.groups, pool.name()))
      throw system_error(make_error_code(sup::errc::pool_closed),
                         fmt::format("group {} has the name of a pool that runs; give it another, "
                                     "or apply without it first",
                                     pool.name()));
  begun->moved = open_listeners(self, begun->made);
  begun->number = ++applies_;
  begun->cause = self.log().ambient();
  if (!goes_on)
    for (auto& line : describe(begun->made)) self.note("plan: " + line);
  begin_groups(self, *begun);
  begin_pools(self, *begun);
  return begun;
}

/// With the pools that are theirs and new.
void fleet::begin_groups(sup::supervisor& self, work& begun) {
  auto opened = [this, &self](const named_pool& pool, sup::pool made) {
    made.rollouts(pool.said.prefork.rollouts);
    scalers_.follow(self, std::move(made), pool.said);
  };
  for (auto& tree : trees_.change(self, begun.wanted, opened))
    begun.steps.emplace_back(std::move(tree));
}

void fleet::begin_pools(sup::supervisor& self, work& begun) {
  for (auto& change : begun.made.pools) {
    auto pool = std::ranges::find(begun.wanted.pools, change.name, &named_pool::name);
    if (change.what == kind::added && !pool->in_group) {
      auto made = self.pool(change.name, pool->said.what, change.to);
      made.rollouts(pool->said.prefork.rollouts);
      scalers_.follow(self, made, pool->said);
      begun.steps.emplace_back(change.name, made.settled());
    } else if (change.what == kind::changed) {
      auto known = *self.find_pool(change.name);
      if (change.needs) known.needs(*change.needs);
      if (!change.rollouts.empty()) known.rollouts(pool->said.prefork.rollouts);
      if (change.rescaled || change.rolls) scalers_.follow(self, known, pool->said);
      if (change.resumed) begun.steps.emplace_back(change.name, known.resume());
      if (change.from != change.to) begun.steps.emplace_back(change.name, known.resize(change.to));
      if (change.rolls) {
        auto how = pool->said.prefork.rollouts;
        // A generation that is kept has its mold keep its sockets open: clients of the old address
        // would wait for ever where they should be refused.
        if (change.leaves_address) how.keep_generations(0);
        begun.steps.emplace_back(change.name, known.roll(pool->said.what, how));
      }
    }
  }
}

// --- and what follows when that has settled

namespace {

/// Those that failed go on with what they had, and so does who is asked for it next.
void restore_listeners(sup::supervisor& self, const std::vector<sup::listener_spec>& moved,
                       const configuration& wanted, const std::set<std::string>& failed) {
  for (auto& listener : moved) {
    auto has_it = [&](const named_pool& pool) {
      return failed.contains(pool.name) &&
             std::ranges::count(*pool.said.what.listeners, listener.name);
    };
    if (std::ranges::any_of(wanted.pools, has_it)) self.listen(listener);
  }
}

}  // namespace

/// Recorded at the call.
void fleet::begin_stops(sup::supervisor& self, work& begun) {
  sup::journal::because because(self.log(), begun.cause);
  begun.steps.clear();
  for (auto& change : begun.made.pools) {
    if (change.what != kind::removed) continue;
    leaving_.insert(change.name);
    scalers_.leave(change.name);
    begun.steps.emplace_back(change.name, self.find_pool(change.name)->stop());
  }
  for (auto& change : begun.made.listeners)
    if (change.what == move::closed) self.close_listener(change.listener.name);
}

asio::awaitable<void> fleet::settle(sup::supervisor& self, work& begun) {
  auto& all = begun.answer.settled;
  std::set<std::string> failed;
  for (auto& step : begun.steps) {
    auto one = co_await std::move(step.settled);
    add(all, step.whose, one);
    if (!one.ok) failed.insert(step.pool);
  }
  if (begun.number != applies_) {
    begun.answer = refuse(make_error_code(sup::errc::superseded), "a later apply took its place");
  } else if (!all.ok) {
    restore_listeners(self, begun.moved, begun.wanted, failed);
  } else {
    begin_stops(self, begun);
    for (auto& step : begun.steps) {
      auto one = co_await std::move(step.settled);
      add(all, step.whose, one);
      leaving_.erase(step.pool);
    }
  }
}

asio::awaitable<void> fleet::finish(sup::supervisor& self, std::shared_ptr<work> begun) {
  begun->answer.text = render(begun->made);
  std::exception_ptr cancelled;
  try {
    co_await settle(self, *begun);
  } catch (...) {
    cancelled = std::current_exception();
    begun->answer = refuse(make_error_code(sup::errc::pool_closed), "the master is stopping");
  }
  begun->done = true;
  begun->changed.notify();
  if (cancelled) std::rethrow_exception(cancelled);
}

// --- what asks for it

verb_answer fleet::plan_file(const sup::supervisor& self, const std::string& file) const {
  try {
    verb_answer answer;
    answer.text = render(make_plan(running(self), load(file)));
    return answer;
  } catch (const bad_configuration& error) {
    return refuse(error);
  }
}

asio::awaitable<verb_answer> fleet::apply_file(sup::supervisor& self, const std::string& file) {
  try {
    auto begun = begin(self, load(file));
    file_ = file;
    self.spawn(finish(self, begun));
    return work::wait(begun);
  } catch (const bad_configuration& error) {
    return answer_with(refuse(error));
  } catch (const system_error& error) {
    std::string words = error.what();
    return answer_with(refuse(error.code(), words.substr(0, words.find(" ["))));
  }
}

std::map<std::string, sup::verb_handler> fleet::verbs() {
  return {{"plan", [this](sup::supervisor& self,
                          const std::string& file) { return answer_with(plan_file(self, file)); }},
          {"apply", [this](sup::supervisor& self, const std::string& file) {
             return apply_file(self, file);
           }}};
}

/// What is thrown is told by the log.
asio::awaitable<void> fleet::reload(sup::supervisor& self) {
  auto applying = apply_file(self, file_);
  auto answer = co_await std::move(applying);
  if (answer.settled.ok) co_return;
  bool wrong = answer.settled.error == make_error_code(sup::errc::invalid_argument);
  auto first = wrong ? answer.text.substr(0, answer.text.find('\n')) + "; " : std::string();
  throw std::runtime_error(first + answer.settled.reason);
}

asio::awaitable<int> fleet::run(sup::supervisor& self) {
  for (int number : {SIGINT, SIGQUIT, SIGTERM}) self.signals().watch(number);
  auto begun = begin(self, std::move(first_));
  self.spawn(finish(self, std::move(begun)));
  sup::signal_options options;
  options.drain_delay = master_.prefork.drain_delay;
  options.reload = [this](sup::supervisor& each) { return reload(each); };
  auto code = co_await sup::obey_signals(self, std::move(options));
  bool well = co_await trees_.end_well();
  co_return code == 0 && !well ? sup::exit_code::failed : code;
}

}  // namespace app
