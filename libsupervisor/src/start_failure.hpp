// Why a master did not start.
#pragma once

#include <boost/system/system_error.hpp>
#include <exception>
#include <stdexcept>
#include <string>

#include "supervisor/errc.hpp"

namespace supervisor {

/// system_error's words without Boost's "[system:13 at ...]".
inline std::string words_of(const std::exception& error) {
  std::string words = error.what();
  return words.substr(0, words.find(" [system:"));
}

/// Why a master did not start: what to say, and the exit code that the command line documents.
struct start_failure : std::runtime_error {
  start_failure(int c, const std::string& message) : std::runtime_error(message), code(c) {}
  int code;
};

/// Of a file or socket of the master's own that could not be had.
inline int code_of(const boost::system::system_error& error) {
  bool denied = error.code() == boost::system::errc::permission_denied ||
                error.code() == boost::system::errc::operation_not_permitted;
  return denied ? exit_code::denied : exit_code::usage;
}

/// From a failure before anything was started.
inline start_failure explain(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const start_failure& known) {
    return known;
  } catch (const boost::system::system_error& error) {
    // What could not be opened, and the way out, are in its words.
    if (error.code() == boost::system::errc::address_in_use)
      return {exit_code::conflict, words_of(error)};
    return {code_of(error), words_of(error)};
  } catch (const std::invalid_argument& error) {
    return {exit_code::usage, error.what()};
  } catch (const std::exception& error) {
    return {exit_code::failed, error.what()};
  } catch (...) {
    return {exit_code::failed, "an exception of unknown type"};
  }
}

}  // namespace supervisor
