// Asio, Beast and Process, compiled once for the whole program.
#include <boost/asio/impl/src.hpp>
// Process's src.hpp does not compile without all of Asio before it (1.81).
#include <boost/asio.hpp>
#include <boost/beast/src.hpp>
#include <boost/version.hpp>
#if BOOST_VERSION < 108600  // a compiled library from 1.86 on
#include <boost/process/v2/src.hpp>
#endif
