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

}  // namespace supervisor::kernel
