#include "control/status.hpp"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <chrono>

#include "control/text.hpp"

namespace json = boost::json;

namespace supervisor {

namespace {

std::int64_t seconds(duration d) {
  return std::chrono::duration_cast<std::chrono::seconds>(d).count();
}

json::object to_json(const scoreboard& work) {
  json::object row;
  row["phase"] = describe_phase(work);
  row["requests"] = work.requests;
  row["in_flight"] = work.in_flight;
  row["connections"] = work.connections;
  row["busy_s"] = std::chrono::duration<double>(work.oldest.age).count();
  row["activity"] = printable(work.oldest.what);
  return row;
}

json::object to_json(const rollout_record& past) {
  json::object row;
  row["generation"] = past.generation;
  row["what"] = printable(past.what);
  row["began"] = iso_time(past.began);
  if (past.end == rollout_end::running)
    row["ended"] = nullptr;
  else
    row["ended"] = iso_time(past.ended);
  row["end"] = to_string(past.end);
  row["why"] = printable(past.why);
  return row;
}

double exact_seconds(duration d) { return std::chrono::duration<double>(d).count(); }

json::value to_json(const std::optional<rollout_status>& now) {
  if (!now) return nullptr;
  json::object row;
  row["stage"] = now->stage;
  row["generation"] = now->generation;
  row["committed"] = now->committed;
  row["replaced"] = now->replaced;
  row["wanted"] = now->wanted;
  row["paused"] = now->paused;
  row["bake_left_s"] = exact_seconds(now->bake_left);
  row["canary"] = now->plan.canary;
  row["bake_s"] = exact_seconds(now->plan.bake);
  row["batch"] = now->plan.batch;
  row["max_unavailable"] = now->plan.max_unavailable;
  row["progress_deadline_s"] = exact_seconds(now->plan.progress_deadline);
  return row;
}

json::object to_json(const child_status& child) {
  json::object row;
  row["name"] = child.name;
  row["kind"] = child.kind;
  row["state"] = child.state;
  row["restarts"] = child.restarts;
  row["last_end"] = printable(child.last_end);
  return row;
}

template <typename T>
json::array array_of(const std::vector<T>& all) {
  json::array rows;
  for (auto& one : all) rows.push_back(to_json(one));
  return rows;
}

}  // namespace

json::object to_json(const slot_status& slot) {
  json::object row;
  row["slot"] = slot.slot;
  row["pid"] = slot.pid;
  row["state"] = slot.state;
  row["ready"] = slot.ready;
  row["reloading"] = slot.reloading;
  row["generation"] = slot.generation;
  row["restarts"] = slot.restarts;
  row["uptime_s"] = seconds(slot.uptime);
  row["last_exit"] = slot.last_exit;
  if (slot.work)
    row["work"] = to_json(*slot.work);
  else
    row["work"] = nullptr;
  json::array stored;
  for (auto& name : slot.stored) stored.emplace_back(printable(name));
  row["stored"] = std::move(stored);
  row["detail"] = printable(slot.detail);  // JSON is UTF-8; a worker says what it likes
  return row;
}

json::object to_json(const pool_status& pool) {
  json::object row;
  row["name"] = pool.name;
  row["target"] = pool.target;
  row["ready"] = pool.ready;
  row["finished"] = pool.finished;
  row["generation"] = pool.generation;
  row["rolling"] = pool.rolling;
  row["drained"] = pool.drained;
  row["rollout"] = to_json(pool.rollout);
  row["kept"] = json::array(pool.kept.begin(), pool.kept.end());
  row["slots"] = array_of(pool.slots);
  return row;
}

json::object history_to_json(const std::vector<pool_status>& pools) {
  json::array rows;
  for (auto& pool : pools) {
    json::object row;
    row["name"] = pool.name;
    row["generation"] = pool.generation;
    row["rollout"] = to_json(pool.rollout);
    row["kept"] = json::array(pool.kept.begin(), pool.kept.end());
    row["history"] = array_of(pool.history);
    rows.push_back(std::move(row));
  }
  json::object all;
  all["pools"] = std::move(rows);
  return all;
}

json::object to_json(const master_status& master, const std::vector<pool_status>& pools,
                     const std::vector<group_status>& groups) {
  json::object about;
  about["name"] = master.name;
  about["pid"] = master.pid;
  about["main_pid"] = master.main_pid;
  about["version"] = master.version;
  about["uptime_s"] = seconds(master.uptime);
  about["upgrade"] = nullptr;
  if (master.upgrade) {
    json::object upgrade;
    upgrade["end"] = master.upgrade->end;
    upgrade["why"] = printable(master.upgrade->why);
    about["upgrade"] = std::move(upgrade);
  }
  about["strangers_reaped"] = master.strangers_reaped;
  json::object all;
  all["master"] = std::move(about);
  all["pools"] = array_of(pools);
  json::array rows;
  for (auto& group : groups) {
    json::object row;
    row["name"] = group.name;
    row["state"] = group.state;
    row["strategy"] = group.strategy;
    row["reason"] = printable(group.reason);
    row["children"] = array_of(group.children);
    rows.push_back(std::move(row));
  }
  all["groups"] = std::move(rows);
  return all;
}

bool all_ready(const std::vector<pool_status>& pools) noexcept {
  return std::all_of(pools.begin(), pools.end(), [](const pool_status& pool) {
    return pool.drained || pool.ready + pool.finished >= pool.target;
  });
}

}  // namespace supervisor
