// For a library that clang compiled, in a program that g++ compiles.
#pragma once

#if !defined(__clang__)

#include <boost/asio/any_io_executor.hpp>

// The two spell the names of these explicit specialisations differently, because the type of their
// last parameter depends on a default argument; what else Asio compiles separately they spell
// alike. So g++ brings its own; into each object, for a source that includes Asio alone needs them
// too.
namespace boost::asio {

template <>
[[gnu::used]] inline any_io_executor any_io_executor::require(
    const execution::blocking_t::never_t& p, int) const {
  return static_cast<const base_type&>(*this).require(p);
}
template <>
[[gnu::used]] inline any_io_executor any_io_executor::prefer(
    const execution::blocking_t::possibly_t& p, int) const {
  return static_cast<const base_type&>(*this).prefer(p);
}
template <>
[[gnu::used]] inline any_io_executor any_io_executor::prefer(
    const execution::outstanding_work_t::tracked_t& p, int) const {
  return static_cast<const base_type&>(*this).prefer(p);
}
template <>
[[gnu::used]] inline any_io_executor any_io_executor::prefer(
    const execution::outstanding_work_t::untracked_t& p, int) const {
  return static_cast<const base_type&>(*this).prefer(p);
}
template <>
[[gnu::used]] inline any_io_executor any_io_executor::prefer(
    const execution::relationship_t::fork_t& p, int) const {
  return static_cast<const base_type&>(*this).prefer(p);
}
template <>
[[gnu::used]] inline any_io_executor any_io_executor::prefer(
    const execution::relationship_t::continuation_t& p, int) const {
  return static_cast<const base_type&>(*this).prefer(p);
}

}  // namespace boost::asio

#endif
