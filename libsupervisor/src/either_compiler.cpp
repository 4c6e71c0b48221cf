#include "supervisor/either_compiler.hpp"

namespace supervisor::either_compiler {

namespace {

/// What Asio's own specialisations do: they may be those that come here.
using base = executor::base_type;
const base& base_of(const executor& e) { return e; }

}  // namespace

executor require(const executor& e, const blocking::never_t& p) { return base_of(e).require(p); }
executor prefer(const executor& e, const blocking::possibly_t& p) { return base_of(e).prefer(p); }
executor prefer(const executor& e, const outstanding_work::tracked_t& p) {
  return base_of(e).prefer(p);
}
executor prefer(const executor& e, const outstanding_work::untracked_t& p) {
  return base_of(e).prefer(p);
}
executor prefer(const executor& e, const relationship::fork_t& p) { return base_of(e).prefer(p); }
executor prefer(const executor& e, const relationship::continuation_t& p) {
  return base_of(e).prefer(p);
}

}  // namespace supervisor::either_compiler
