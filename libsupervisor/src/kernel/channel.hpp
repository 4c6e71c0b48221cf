// The words on the socket between the supervisor and one child.
//
// A function worker has a SOCK_SEQPACKET pair, a command a datagram socket of its own whose address
// is in NOTIFY_SOCKET; either way the socket is the identity. The child's words are those of
// sd_notify(3), lines of NAME=VALUE in one packet; the supervisor's go to function workers only.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace supervisor::kernel {

/// As LISTEN_FDNAMES can have it, and as systemd takes it.
inline bool can_name_descriptor(std::string_view text) noexcept {
  constexpr std::size_t longest = 255;
  auto fits = [](char c) { return c >= ' ' && c <= '~' && c != ':'; };
  return !text.empty() && text.size() <= longest && std::ranges::all_of(text, fits);
}

}  // namespace supervisor::kernel

namespace supervisor::kernel::word {

// From the child.
inline constexpr std::string_view ready = "READY=1";
inline constexpr std::string_view stopping = "STOPPING=1";
inline constexpr std::string_view reloading = "RELOADING=1";  // until the next READY=1
inline constexpr std::string_view status = "STATUS=";         // and the text
// Descriptors come along that are kept for the next worker of its slot; or go, by their name.
inline constexpr std::string_view store = "FDSTORE=1";
inline constexpr std::string_view unstore = "FDSTOREREMOVE=1";
inline constexpr std::string_view descriptor_name = "FDNAME=";
inline constexpr std::string_view unpolled = "FDPOLL=0";
inline constexpr std::string_view heartbeat = "WATCHDOG=1";
inline constexpr std::string_view recycle = "X_RECYCLE=1";  // a fresh one is to take its place
inline constexpr std::string_view busy = "X_BUSY=1";        // see activity.hpp
inline constexpr std::string_view alive = "X_ALIVE=1";      // the answer to ping
inline constexpr std::string_view extend = "EXTEND_TIMEOUT_USEC=";  // it needs so long from now on

// To a function worker, each a packet of its own.
inline constexpr std::string_view poke = "X_POKE=1";  // accept until the queue is empty
inline constexpr std::string_view ping = "X_PING=1";
// Before all others, where there are any: "X_STORED=NAME:NAME", and with it the descriptors of
// these names that workers before this one have had stored.
inline constexpr std::string_view stored = "X_STORED=";
// How it is to leave: "X_LEAVE=USEC,STAY". It is killed after so many microseconds, 0: not at all.
// STAY is 1 where other workers of its pool stay, which take what it hands over. Comes before the
// signal that tells it to leave, or as the answer to STOPPING=1; the last one counts.
inline constexpr std::string_view leave = "X_LEAVE=";

// On a relay, with one connection; of one byte, so that bytes can be counted.
inline constexpr std::string_view connection = "c";

}  // namespace supervisor::kernel::word
