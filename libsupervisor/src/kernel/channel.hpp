// The words on the socket between the supervisor and one child.
//
// A function worker has a SOCK_SEQPACKET pair, a command a datagram socket of its own whose address
// is in NOTIFY_SOCKET; either way the socket is the identity. The child's words are those of
// sd_notify(3), lines of NAME=VALUE in one packet; the supervisor's go to function workers only.
#pragma once

#include <string_view>

namespace supervisor::kernel::word {

// From the child.
inline constexpr std::string_view ready = "READY=1";
inline constexpr std::string_view stopping = "STOPPING=1";
inline constexpr std::string_view status = "STATUS=";  // and the text
inline constexpr std::string_view heartbeat = "WATCHDOG=1";
inline constexpr std::string_view recycle = "X_RECYCLE=1";  // a fresh one is to take its place
inline constexpr std::string_view busy = "X_BUSY=1";        // see activity.hpp
inline constexpr std::string_view alive = "X_ALIVE=1";      // the answer to ping

// To a function worker, each a packet of its own.
inline constexpr std::string_view poke = "X_POKE=1";  // accept until the queue is empty
inline constexpr std::string_view ping = "X_PING=1";

}  // namespace supervisor::kernel::word
