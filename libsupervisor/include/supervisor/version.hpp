// The version, and what keeps headers, library and Boost of one kind together.
#pragma once

#include <boost/version.hpp>

#include "supervisor/either_compiler.hpp"

#if !defined(BOOST_ASIO_SEPARATE_COMPILATION)
// Asio is compiled into the library.
#error "use supervisor::supervisor in CMake, or the flags of pkg-config --cflags libsupervisor"
#endif

// CMakeLists.txt reads these.
#define SUPERVISOR_VERSION_MAJOR 0
#define SUPERVISOR_VERSION_MINOR 1
#define SUPERVISOR_VERSION_PATCH 0

#define SUPERVISOR_TEXT_OF(major, minor, patch) #major "." #minor "." #patch
#define SUPERVISOR_TEXT(major, minor, patch) SUPERVISOR_TEXT_OF(major, minor, patch)
/// "0.1.0"
#define SUPERVISOR_VERSION \
  SUPERVISOR_TEXT(SUPERVISOR_VERSION_MAJOR, SUPERVISOR_VERSION_MINOR, SUPERVISOR_VERSION_PATCH)

#define SUPERVISOR_NAME_OF(major, minor, boost) library_##major##_##minor##_with_boost_##boost
#define SUPERVISOR_NAME(major, minor, boost) SUPERVISOR_NAME_OF(major, minor, boost)
/// A name that only a library of the same version, built with the same Boost, defines.
#define SUPERVISOR_LIBRARY \
  SUPERVISOR_NAME(SUPERVISOR_VERSION_MAJOR, SUPERVISOR_VERSION_MINOR, BOOST_VERSION)

namespace supervisor {

extern const char SUPERVISOR_LIBRARY;
/// What does not belong together does not link: the undefined name says what the headers are of.
[[gnu::used]] inline const char* const matching_library = &SUPERVISOR_LIBRARY;

}  // namespace supervisor
