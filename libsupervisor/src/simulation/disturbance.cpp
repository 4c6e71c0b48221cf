#include "simulation/disturbance.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>

namespace supervisor {

namespace {

/// splitmix64's last step: any number becomes one that looks like chance.
std::uint64_t mix(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

duration part_of(duration all, std::uint64_t chance) { return all / 1000 * (chance % 1000); }

struct launch_trouble {
  const char* name;
  void (*make)(process_script&, std::uint64_t chance);
};

const std::vector<launch_trouble>& troubles() {
  using namespace std::chrono_literals;
  static const std::vector<launch_trouble> all{
      {"fails with EAGAIN",
       [](auto& s, auto) { s.launch_fails = launch_error{"clone", EAGAIN, ""}; }},
      {"fails with EMFILE",
       [](auto& s, auto) { s.launch_fails = launch_error{"pipe", EMFILE, ""}; }},
      {"takes its time", [](auto& s, auto chance) { s.launch_takes = part_of(3s, chance); }},
      {"dies at boot",
       [](auto& s, auto chance) {
         s.ready_after = 2s;
         s.exits_after = part_of(2s, chance);
         s.exit_with = exit_status::exited(1);
       }},
      {"dies soon",
       [](auto& s, auto chance) {
         s.exits_after = part_of(5s, chance);
         s.exit_with = exit_status::signalled(SIGSEGV);
       }},
      {"leaves soon", [](auto& s, auto chance) { s.exits_after = part_of(5s, chance); }},
      {"is never ready", [](auto& s, auto) { s.ready_after.reset(); }},
      {"is ready late", [](auto& s, auto chance) { s.ready_after = part_of(5s, chance); }},
      {"tells all twice", [](auto& s, auto) { s.tells_twice = true; }},
      {"hangs", [](auto& s, auto chance) { s.hangs_after = part_of(5s, chance); }},
      {"is stuck in a request",
       [](auto& s, auto chance) { s.overdue_after = part_of(5s, chance); }},
      {"does not leave", [](auto& s, auto) { s.ignores_stop = true; }},
      {"drains long", [](auto& s, auto chance) { s.drain_takes = part_of(40s, chance); }},
      {"is reaped late", [](auto& s, auto chance) { s.reap_takes = part_of(3s, chance); }},
      {"is traced", [](auto& s, auto chance) { s.traced = part_of(3s, chance); }},
      {"leaks memory",
       [](auto& s, auto chance) {
         s.memory_limit_kib = 100'000;
         s.leaks_kib = static_cast<std::int64_t>(10'000 + chance % 90'000);
       }},
  };
  return all;
}

}  // namespace

std::vector<disturbance> draw_disturbances(std::uint64_t seed, const exploration& how) {
  using kind = disturbance::kind;
  std::vector<kind> bag{kind::nothing, kind::kill,   kind::kill,  kind::launch,
                        kind::launch,  kind::launch, kind::stall, kind::turn};
  if (!how.signals.empty()) bag.insert(bag.end(), 3, kind::signal);
  if (how.restarts_supervisor) bag.push_back(kind::restart);
  std::vector<disturbance> all(how.events);
  for (std::uint64_t i = 0; i < all.size(); ++i) {
    auto chance = mix(mix(seed) + i * 0x9e3779b97f4a7c15);
    all[i].what = bag[chance % bag.size()];
    all[i].after = part_of(how.apart, mix(chance + 1));
    all[i].chance = mix(chance + 2);
  }
  return all;
}

template <typename... Ts>
void disturber::tell(fmt::format_string<Ts...> what, Ts&&... of_what) {
  if (!tells_) return;
  auto at = std::chrono::duration<double>(sim_.elapsed()).count();
  told_ += fmt::format("{:12.6f} {}\n", at, fmt::format(what, std::forward<Ts>(of_what)...));
}

disturber::disturber(simulation& sim, const exploration& how, bool tells)
    : sim_(sim), how_(how), tells_(tells) {
  sim_.on_launch = [this, planned = std::move(sim_.on_launch)](const simulated_launch& launch) {
    auto script = planned ? planned(launch) : process_script{};
    if (troubles_.empty()) return script;
    auto chance = troubles_.front();
    troubles_.pop_front();
    auto& what = troubles()[chance % troubles().size()];
    what.make(script, mix(chance));
    tell("  {}.{} {}", launch.pool, launch.slot, what.name);
    return script;
  };
}

void disturber::disturb(const disturbance& d) {
  using kind = disturbance::kind;
  using namespace std::chrono_literals;
  sim_.run_for(d.after);
  switch (d.what) {
    case kind::nothing:
      break;
    case kind::kill:
      kill(d.chance);
      break;
    case kind::launch:
      tell("the next launch will have trouble");
      troubles_.push_back(d.chance);
      break;
    case kind::signal: {
      auto number = how_.signals[d.chance % how_.signals.size()];
      tell("{}", signal_name(number));
      sim_.send(number);
      break;
    }
    case kind::stall: {
      auto lost = part_of(10s, d.chance);
      tell("nothing runs for {} ms", lost / 1ms);
      sim_.stall(lost);
      break;
    }
    case kind::turn: {
      auto ahead = part_of(2h, d.chance) - 1h;
      tell("the wall clock jumps by {} s", ahead / 1s);
      sim_.turn_wall_clock(ahead);
      break;
    }
    case kind::restart:
      if (sim_.exit_code()) break;
      tell("the supervisor is killed");
      sim_.restart_supervisor();
      break;
  }
}

void disturber::kill(std::uint64_t chance) {
  auto living = sim_.processes();
  if (living.empty()) return;
  auto& who = living[chance % living.size()];
  constexpr int ways[]{SIGKILL, SIGSEGV, SIGTERM};
  auto number = ways[mix(chance) % std::size(ways)];
  tell("{}.{} pid {} gets {}", who.pool, who.slot, who.pid, signal_name(number));
  sim_.kill(who.pid, number);
}

}  // namespace supervisor
