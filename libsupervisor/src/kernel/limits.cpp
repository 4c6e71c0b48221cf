#include "kernel/limits.hpp"

#include <cerrno>
#include <utility>

namespace supervisor::kernel {

std::optional<int> limit_number(std::string_view name) noexcept {
  static constexpr std::pair<std::string_view, int> known[] = {{"as", RLIMIT_AS},
                                                               {"core", RLIMIT_CORE},
                                                               {"cpu", RLIMIT_CPU},
                                                               {"data", RLIMIT_DATA},
                                                               {"fsize", RLIMIT_FSIZE},
                                                               {"memlock", RLIMIT_MEMLOCK},
                                                               {"nofile", RLIMIT_NOFILE},
                                                               {"nproc", RLIMIT_NPROC},
                                                               {"stack", RLIMIT_STACK},
                                                               {"rss", RLIMIT_RSS},
                                                               {"nice", RLIMIT_NICE},
                                                               {"rtprio", RLIMIT_RTPRIO},
                                                               {"msgqueue", RLIMIT_MSGQUEUE},
                                                               {"sigpending", RLIMIT_SIGPENDING}};
  for (auto& [text, number] : known)
    if (text == name) return number;
  return {};
}

int set_limit(int number, const rlimit& value) noexcept {
  return ::setrlimit(static_cast<__rlimit_resource>(number), &value) < 0 ? errno : 0;
}

}  // namespace supervisor::kernel
