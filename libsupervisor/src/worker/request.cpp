// The hot path: a handful of stores at each end of a request.
#include "kernel/channel.hpp"
#include "worker/impl.hpp"

namespace supervisor {

namespace {
constexpr auto relaxed = std::memory_order_relaxed;
constexpr auto release = std::memory_order_release;
}  // namespace

worker::request::request(worker& w, std::string_view activity) noexcept
    : worker_(*w.impl_),
      before_(worker_.requests.last),
      since_(kernel::coarse_now()),
      note_(worker_.requests.take_note()) {
  auto& cell = worker_.activity;
  auto& book = worker_.requests;
  if (note_ < kernel::activity::notes) cell.texts[note_].write(activity);

  book.last = this;
  if (before_) {
    before_->after_ = this;
  } else {
    book.first = this;
    cell.oldest_since.store(since_, relaxed);
    cell.oldest.store(note_, release);
  }
  cell.latest_since.store(since_, relaxed);
  cell.latest.store(note_, release);
  cell.changes.store(cell.changes.load(relaxed) + 1, release);
  const auto begun = cell.requests.load(relaxed) + 1;
  cell.requests.store(begun, relaxed);
  // No fence between these two, the dearest thing there is here: see child::look_at_work().
  cell.in_flight.store(++book.count, release);
  if (cell.watched.load(relaxed) == 0) {
    cell.watched.store(1, relaxed);
    worker_.say(kernel::word::busy);
  }
  if (begun == cell.request_limit.load(relaxed)) worker_.say(kernel::word::recycle);
}

worker::request::~request() {
  auto& cell = worker_.activity;
  auto& book = worker_.requests;
  if (after_) {
    after_->before_ = before_;
  } else {
    book.last = before_;
    if (before_) {
      cell.latest_since.store(before_->since_, relaxed);
      cell.latest.store(before_->note_, release);
    }
  }
  if (before_) {
    before_->after_ = after_;
  } else {
    book.first = after_;
    if (after_) {
      cell.oldest_since.store(after_->since_, relaxed);
      cell.oldest.store(after_->note_, release);
    }
  }
  cell.in_flight.store(--book.count, release);
  cell.changes.store(cell.changes.load(relaxed) + 1, relaxed);
  // The note may be written again from here on; who reads it then finds `changes` changed.
  std::atomic_thread_fence(release);
  book.give_back(note_);
}

}  // namespace supervisor
