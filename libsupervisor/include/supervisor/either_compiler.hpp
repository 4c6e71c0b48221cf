// For a library that clang compiled, in a program that g++ compiles.
#pragma once

#include <boost/asio/any_io_executor.hpp>

namespace supervisor::either_compiler {

using executor = boost::asio::any_io_executor;
using blocking = boost::asio::execution::blocking_t;
using outstanding_work = boost::asio::execution::outstanding_work_t;
using relationship = boost::asio::execution::relationship_t;

// What the names below do, compiled once, in the library.
executor require(const executor&, const blocking::never_t&);
executor prefer(const executor&, const blocking::possibly_t&);
executor prefer(const executor&, const outstanding_work::tracked_t&);
executor prefer(const executor&, const outstanding_work::untracked_t&);
executor prefer(const executor&, const relationship::fork_t&);
executor prefer(const executor&, const relationship::continuation_t&);

}  // namespace supervisor::either_compiler

#if !defined(__clang__)

// The two spell the names of these explicit specialisations differently, because the type of their
// last parameter depends on a default argument; what else Asio compiles separately they spell
// alike. So g++ brings its own; into each object, for a source that includes Asio alone needs them
// too.
namespace boost::asio {

template <>
[[gnu::used]] inline any_io_executor any_io_executor::require(
    const execution::blocking_t::never_t& p, int) const {
  return ::supervisor::either_compiler::require(*this, p);
}
template <>
[[gnu::used]] inline any_io_executor any_io_executor::prefer(
    const execution::blocking_t::possibly_t& p, int) const {
  return ::supervisor::either_compiler::prefer(*this, p);
}
template <>
[[gnu::used]] inline any_io_executor any_io_executor::prefer(
    const execution::outstanding_work_t::tracked_t& p, int) const {
  return ::supervisor::either_compiler::prefer(*this, p);
}
template <>
[[gnu::used]] inline any_io_executor any_io_executor::prefer(
    const execution::outstanding_work_t::untracked_t& p, int) const {
  return ::supervisor::either_compiler::prefer(*this, p);
}
template <>
[[gnu::used]] inline any_io_executor any_io_executor::prefer(
    const execution::relationship_t::fork_t& p, int) const {
  return ::supervisor::either_compiler::prefer(*this, p);
}
template <>
[[gnu::used]] inline any_io_executor any_io_executor::prefer(
    const execution::relationship_t::continuation_t& p, int) const {
  return ::supervisor::either_compiler::prefer(*this, p);
}

}  // namespace boost::asio

#endif
