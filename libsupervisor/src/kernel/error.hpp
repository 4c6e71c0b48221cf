// errno as an exception.
#pragma once

#include <boost/system/system_error.hpp>
#include <cerrno>
#include <string>

namespace supervisor::kernel {

inline boost::system::error_code last_error() noexcept {
  return {errno, boost::system::system_category()};
}

[[noreturn]] inline void throw_errno(const std::string& what, int error = errno) {
  throw boost::system::system_error(error, boost::system::system_category(), what);
}

/// The system call `call`, again where a handler without SA_RESTART has interrupted it. Even what
/// never waits may be: file systems in user space, signal(7).
template <typename Call>
auto uninterrupted(Call call) noexcept {
  decltype(call()) result;
  do result = call();
  while (result < 0 && errno == EINTR);
  return result;
}

}  // namespace supervisor::kernel
