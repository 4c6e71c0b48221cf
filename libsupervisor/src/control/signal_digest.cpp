#include "control/signal_digest.hpp"

#include <algorithm>
#include <chrono>

namespace supervisor {

namespace {
constexpr auto span_of_one_line = std::chrono::seconds(1);
}

bool signal_digest::keep(const event& e) {
  if (e.kind != event_kind::signal_received) return false;
  auto& s = storms_[e.number];
  if (e.at >= s.until && !s.kept) {
    s.until = later(e.at, span_of_one_line);
    return false;
  }
  if (!s.kept) {
    s.kept = e;
    next_ = std::min(next_, s.until);
    if (kept_since_ == 0) kept_since_ = e.id;
    return true;
  }
  auto& into = *s.kept;
  if (into.pid != e.pid || into.uid != e.uid) into.pid = several_senders;
  into.count += e.count;
  into.id = e.id;
  into.at = e.at;
  into.wall = e.wall;
  return true;
}

void signal_digest::add(const event& e, std::vector<event>& out) {
  bool explains = kept_since_ != 0 && e.cause >= kept_since_;
  if (explains || e.kind == event_kind::supervisor_stopped) expire(never, out);
  if (!keep(e)) out.push_back(e);
}

void signal_digest::expire(time_point now, std::vector<event>& out) {
  if (next_ > now) return;
  next_ = never;
  kept_since_ = 0;
  auto first = out.size();
  for (auto& [number, s] : storms_) {
    if (!s.kept) continue;
    out.push_back(std::move(*s.kept));
    s.kept.reset();
    s.until = later(out.back().at, span_of_one_line);
  }
  std::ranges::sort(out.begin() + static_cast<std::ptrdiff_t>(first), out.end(), {}, &event::id);
}

}  // namespace supervisor
