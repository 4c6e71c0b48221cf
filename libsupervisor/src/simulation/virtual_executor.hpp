// The executor of a virtual loop: it knows on whose behalf it runs something.
#pragma once

#include <boost/asio/execution.hpp>
#include <boost/asio/execution_context.hpp>
#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>

namespace supervisor {

/// One piece of work that is ready to run, once: what Asio posts is a pointer,
/// and stays in here.
class job {
 public:
  template <typename F>
  explicit job(F work) {
    if constexpr (sizeof(F) <= sizeof room_ && alignof(F) <= alignof(void*) &&
                  std::is_nothrow_move_constructible_v<F>) {
      ::new (static_cast<void*>(room_)) F(std::move(work));
      act_ = act_inside<F>;
    } else {
      ::new (static_cast<void*>(room_)) F*(new F(std::move(work)));
      act_ = act_outside<F>;
    }
  }
  job(job&& other) noexcept : act_(std::exchange(other.act_, nullptr)) {
    if (act_) act_(deed::move, other.room_, room_);
  }
  job& operator=(job&& other) noexcept {
    if (this == &other) return *this;
    this->~job();
    return *::new (static_cast<void*>(this)) job(std::move(other));
  }
  ~job() {
    if (act_) act_(deed::destroy, room_, nullptr);
  }

  void run() { act_(deed::run, room_, nullptr); }

 private:
  enum class deed : std::uint8_t { run, move, destroy };
  using place = unsigned char*;

  template <typename F>
  static void act_inside(deed what, place from, place to) {
    auto& work = *std::launder(reinterpret_cast<F*>(from));
    if (what == deed::run) return work();
    if (what == deed::move) ::new (static_cast<void*>(to)) F(std::move(work));
    work.~F();
  }
  template <typename F>
  static void act_outside(deed what, place from, place to) {
    auto* work = *std::launder(reinterpret_cast<F**>(from));
    if (what == deed::run) return (*work)();
    if (what == deed::move)
      ::new (static_cast<void*>(to)) F*(work);
    else
      delete work;
  }

  void (*act_)(deed, place, place) = nullptr;
  alignas(void*) unsigned char room_[4 * sizeof(void*)];
};

/// What executors of one life of the supervisor's process refer to; see
/// virtual_loop.
class executor_home {
 public:
  using name_id = std::uint32_t;

  virtual boost::asio::execution_context& context() noexcept = 0;
  /// Whether the caller is run by the loop, and this life is the present one.
  virtual bool running() const noexcept = 0;
  /// Takes the job over, or drops it, when this life is over.
  virtual void take(job, name_id) = 0;
  /// From now on what runs is of that name; returns the one before.
  virtual name_id run_as(name_id) noexcept = 0;
  /// An operation or a coroutine of that name begins to count as work that is
  /// under way.
  virtual void work_begins(name_id) noexcept = 0;
  virtual void work_ends(name_id) noexcept = 0;

 protected:
  ~executor_home() = default;
};

class virtual_executor {
 public:
  using name_id = executor_home::name_id;

  virtual_executor(executor_home& home, name_id name) noexcept : home_(&home), name_(name) {}
  virtual_executor(const virtual_executor& other) noexcept
      : home_(other.home_), name_(other.name_), blocks_(other.blocks_), tracked_(other.tracked_) {
    if (tracked_) home_->work_begins(name_);
  }
  virtual_executor(virtual_executor&& other) noexcept
      : home_(other.home_),
        name_(other.name_),
        blocks_(other.blocks_),
        tracked_(std::exchange(other.tracked_, false)) {}
  virtual_executor& operator=(const virtual_executor&) = delete;
  ~virtual_executor() {
    if (tracked_) home_->work_ends(name_);
  }

  /// The same, on behalf of somebody.
  virtual_executor named(name_id name) const noexcept { return {*home_, name}; }

  template <typename F>
  void execute(F&& work) const {
    using plain = std::decay_t<F>;
    if (blocks_ && home_->running()) {
      auto before = home_->run_as(name_);
      struct restore {
        executor_home& home;
        name_id name;
        ~restore() { home.run_as(name); }
      } at_end{*home_, before};
      plain now(std::forward<F>(work));
      now();
    } else {
      home_->take(job(plain(std::forward<F>(work))), name_);
    }
  }

  boost::asio::execution_context& query(boost::asio::execution::context_t) const noexcept {
    return home_->context();
  }
  boost::asio::execution::blocking_t query(boost::asio::execution::blocking_t) const noexcept {
    if (blocks_) return boost::asio::execution::blocking.possibly;
    return boost::asio::execution::blocking.never;
  }
  virtual_executor require(boost::asio::execution::blocking_t::possibly_t) const {
    return with(true, tracked_);
  }
  virtual_executor require(boost::asio::execution::blocking_t::never_t) const {
    return with(false, tracked_);
  }
  virtual_executor require(boost::asio::execution::outstanding_work_t::tracked_t) const {
    return with(blocks_, true);
  }
  virtual_executor require(boost::asio::execution::outstanding_work_t::untracked_t) const {
    return with(blocks_, false);
  }

  friend bool operator==(const virtual_executor& a, const virtual_executor& b) noexcept {
    return a.home_ == b.home_ && a.name_ == b.name_ && a.blocks_ == b.blocks_ &&
           a.tracked_ == b.tracked_;
  }
  friend bool operator!=(const virtual_executor& a, const virtual_executor& b) noexcept {
    return !(a == b);
  }

 private:
  virtual_executor with(bool blocks, bool tracked) const noexcept {
    virtual_executor other(*home_, name_);
    other.blocks_ = blocks;
    other.tracked_ = tracked;
    if (tracked) home_->work_begins(name_);
    return other;
  }

  executor_home* home_;
  name_id name_;
  bool blocks_ = true;
  bool tracked_ = false;
};

}  // namespace supervisor
