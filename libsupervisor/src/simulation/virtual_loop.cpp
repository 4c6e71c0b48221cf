#include "simulation/virtual_loop.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <functional>
#include <stdexcept>

#include "host/waits.hpp"

namespace asio = boost::asio;

namespace supervisor {

namespace {

/// More steps than this at one time are a loop without end.
constexpr std::size_t too_many_steps = 1'000'000;

void push_deadline(auto& heap, auto deadline) {
  heap.push_back(deadline);
  std::ranges::push_heap(heap, std::greater());
}

void count(std::size_t& steps) {
  if (++steps > too_many_steps) throw std::logic_error("the simulated loop comes to no rest");
}

}  // namespace

/// One life of the supervisor's process. What is Asio's own - its timers,
/// sockets - is in the context, which is only asked whether it has something:
/// time does not pass for it.
class virtual_loop::life final : public executor_home {
 public:
  explicit life(virtual_loop& loop) : loop_(loop) {}

  asio::execution_context& context() noexcept override { return context_; }
  bool running() const noexcept override { return loop_.running_ && !over_; }
  void take(job work, name_id name) override {
    if (!over_) loop_.ready_.push_back({std::move(work), name});
  }
  name_id run_as(name_id name) noexcept override {
    look_outside();
    return std::exchange(current_, name);
  }
  void work_begins(name_id name) noexcept override {
    ++busy_[name];
    touched_ = true;
  }
  void work_ends(name_id name) noexcept override { --busy_[name]; }

  /// After a step that began work: whether that was an operation of Asio's own,
  /// and so whose.
  void look_outside() {
    if (!std::exchange(touched_, false)) return;
    if (!waits_outside())
      culprit_ = 0;
    else if (!culprit_)
      culprit_ = current_ + 1;
  }
  bool waits_outside() {
    context_.restart();
    context_.poll();
    return !context_.stopped();
  }
  std::string culprit() {
    if (!culprit_ || !waits_outside()) return {};
    return describe(culprit_ - 1);
  }

  name_id name(std::string_view wanted) {
    auto known = std::ranges::find(names_, wanted);
    if (known == names_.end()) {
      known = names_.insert(known, std::string(wanted));
      busy_.push_back(0);
    }
    return static_cast<name_id>(known - names_.begin());
  }
  std::vector<std::string> busy() const {
    std::vector<std::string> all;
    for (name_id name = 0; name < names_.size(); ++name)
      if (busy_[name] > 0) all.push_back(describe(name));
    return all;
  }

  bool is_busy(std::string_view wanted) const {
    auto known = std::ranges::find(names_, wanted);
    return known != names_.end() && busy_[static_cast<std::size_t>(known - names_.begin())] > 0;
  }

  void end() {
    over_ = true;
    end_waits(context_);
    context_.shutdown();
  }

 private:
  struct io : asio::io_context {
    io() : asio::io_context(1) {}
    using asio::execution_context::shutdown;
  };
  std::string describe(name_id name) const {
    return name ? names_[name] : "a coroutine without a name";
  }

  virtual_loop& loop_;
  std::vector<std::string> names_{std::string()};
  std::vector<std::int64_t> busy_{0};  ///< by name
  name_id current_ = 0;
  name_id culprit_ = 0;  ///< whose operation is outside: its name and 1
  bool touched_ = false;
  bool over_ = false;
  io context_;
};

virtual_loop::virtual_loop(time_point start) : now_(start), life_(std::make_unique<life>(*this)) {}
virtual_loop::~virtual_loop() = default;

asio::any_io_executor virtual_loop::executor(std::string_view name) {
  return virtual_executor(*life_, name.empty() ? 0 : life_->name(name));
}

asio::execution_context& virtual_loop::context() noexcept { return life_->context(); }

void virtual_loop::post(std::function<void()> work) { ready_.push_back({job(std::move(work)), 0}); }

timer_id virtual_loop::call_at(time_point when, std::function<void()> work, owner whose) {
  auto id = ++last_;
  timers_.emplace(id, timer{when, std::move(work), whose, false});
  if (when <= now_)
    make_due(id);
  else if (when != never)
    push_deadline(deadlines_, deadline{when, id});
  return id;
}

void virtual_loop::make_due(timer_id id) {
  timers_.at(id).due = true;
  post([this, id] {
    auto it = timers_.find(id);
    if (it == timers_.end()) return;  // cancelled since
    auto work = std::move(it->second.work);
    timers_.erase(it);
    work();
  });
}

void virtual_loop::cancel(timer_id id) {
  auto it = timers_.find(id);
  if (it == timers_.end()) return;
  auto work = std::move(it->second.work);  // outlives the entry: its destructor may come back here
  timers_.erase(it);
  if (deadlines_.size() > 4 * timers_.size() + 64) {
    std::erase_if(deadlines_, [this](auto& d) { return !timers_.contains(d.second); });
    std::ranges::make_heap(deadlines_, std::greater());
  }
}

/// Those that were cancelled go when they are at the top.
const virtual_loop::deadline* virtual_loop::next_deadline() {
  while (!deadlines_.empty() && !timers_.contains(deadlines_.front().second)) drop_deadline();
  return deadlines_.empty() ? nullptr : &deadlines_.front();
}

void virtual_loop::drop_deadline() {
  std::ranges::pop_heap(deadlines_, std::greater());
  deadlines_.pop_back();
}

bool virtual_loop::step() {
  if (ready_.empty()) return false;
  auto& chosen = pick && ready_.size() > 1 ? ready_[pick(ready_.size())] : ready_.front();
  auto next = std::move(chosen);
  if (&chosen != &ready_.front()) chosen = std::move(ready_.front());
  ready_.pop_front();
  ++steps_;
  struct run {
    explicit run(virtual_loop& l, executor_home::name_id name) : loop(l), before(l.running_) {
      loop.running_ = true;
      loop.life_->run_as(name);
    }
    ~run() { loop.running_ = before; }
    virtual_loop& loop;
    bool before;
  } at_end{*this, next.name};
  next.work.run();
  life_->look_outside();
  return true;
}

std::size_t virtual_loop::settle() {
  std::size_t steps = 0;
  while (step()) count(steps);
  rest();
  return steps;
}

void virtual_loop::rest() {
  if (at_rest) at_rest();
}

/// Moves the clock to the next deadline, at most to `end`; false when there is
/// none until then.
bool virtual_loop::advance(time_point end) {
  auto* next = next_deadline();
  if (!next || next->first > end) return false;
  now_ = next->first;
  fall_due();
  return true;
}

void virtual_loop::fall_due() {
  for (auto* next = next_deadline(); next && next->first <= now_; next = next_deadline()) {
    auto id = next->second;
    drop_deadline();
    make_due(id);
  }
}

void virtual_loop::stall(duration d) {
  now_ = after(d);
  fall_due();
}

/// Asio keeps memory that is free for what comes next, but only in a thread that runs a context of
/// its own.
bool virtual_loop::run_until(const std::function<bool()>& done, duration limit) {
  bool held = false;
  asio::post(memory_, [&] { held = keep_running_until(done, after(limit)); });
  memory_.restart();
  memory_.poll_one();
  return held;
}

bool virtual_loop::keep_running_until(const std::function<bool()>& done, time_point end) {
  std::size_t steps = 0;
  while (!done()) {
    if (step()) {
      count(steps);
      continue;
    }
    steps = 0;
    rest();
    if (advance(end)) continue;
    if (next_deadline()) now_ = end;
    return false;
  }
  return true;
}

void virtual_loop::run_for(duration d) {
  auto end = after(d);
  do settle();
  while (advance(end));
  now_ = end;
}

std::vector<std::string> virtual_loop::busy() const { return life_->busy(); }
bool virtual_loop::is_busy(std::string_view name) const { return life_->is_busy(name); }
std::string virtual_loop::waiting_outside() { return life_->culprit(); }

void virtual_loop::crash() {
  std::vector<std::function<void()>> dropped;  // destroyed last: destructors may come back here
  auto posted = std::exchange(ready_, {});
  auto& over = *crashed_.emplace_back(std::exchange(life_, std::make_unique<life>(*this)));
  for (auto it = timers_.begin(); it != timers_.end();) {
    auto& [id, timer] = *it;
    if (timer.whose == owner::world) {
      if (timer.due) make_due(id);
      ++it;
    } else {
      dropped.push_back(std::move(timer.work));
      it = timers_.erase(it);
    }
  }
  over.end();
}

}  // namespace supervisor
