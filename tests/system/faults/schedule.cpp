#include "tests/system/faults/schedule.hpp"

#include <algorithm>
#include <array>
#include <random>
#include <stdexcept>
#include <utility>

namespace fleet::test::faults {

namespace {

using std::chrono::milliseconds;

struct traits {
  fault_kind kind;
  std::string_view name;
  enum class aim { nobody, any_daemon, a_coordinator, an_agent, some_or_all, agent_2 } at;
  int short_ms, long_ms;  ///< the longest it lasts in either mode; at least half of it
};

using aim = traits::aim;
constexpr std::array<traits, 32> all_faults = {
    {{fault_kind::calm, "calm", aim::nobody, 8'000, 30'000},
     {fault_kind::kill_daemon, "kill_daemon", aim::any_daemon, 800, 4'000},
     {fault_kind::kill_coordinator, "kill_coordinator", aim::a_coordinator, 800, 4'000},
     {fault_kind::stop_daemon, "stop_daemon", aim::any_daemon, 500, 4'000},
     {fault_kind::stop_at_once, "stop_at_once", aim::any_daemon, 300, 2'000},
     {fault_kind::freeze_daemon, "freeze_daemon", aim::any_daemon, 3'000, 30'000},
     {fault_kind::restart_postgres, "restart_postgres", aim::nobody, 100, 3'000},
     {fault_kind::kill_postgres, "kill_postgres", aim::nobody, 300, 3'000},
     {fault_kind::terminate_backends, "terminate_backends", aim::nobody, 2'500, 15'000},
     {fault_kind::black_hole, "black_hole", aim::some_or_all, 2'500, 20'000},
     {fault_kind::reset, "reset", aim::some_or_all, 1'500, 10'000},
     {fault_kind::half_open, "half_open", aim::some_or_all, 1'500, 5'000},
     {fault_kind::delay, "delay", aim::some_or_all, 2'500, 20'000},
     {fault_kind::trickle, "trickle", aim::some_or_all, 2'000, 10'000},
     {fault_kind::drop_commit_reply, "drop_commit_reply", aim::some_or_all, 3'000, 10'000},
     {fault_kind::listener_black_hole, "listener_black_hole", aim::some_or_all, 2'000, 15'000},
     {fault_kind::listener_half_open, "listener_half_open", aim::some_or_all, 2'000, 5'000},
     {fault_kind::database_away, "database_away", aim::nobody, 3'000, 120'000},
     {fault_kind::quiet_outage, "quiet_outage", aim::nobody, 6'000, 30'000},
     {fault_kind::held_transaction, "held_transaction", aim::nobody, 4'000, 120'000},
     {fault_kind::connections_used_up, "connections_used_up", aim::nobody, 2'000, 10'000},
     {fault_kind::sighup_storm, "sighup_storm", aim::any_daemon, 1'000, 5'000},
     {fault_kind::spool_disk_full, "spool_disk_full", aim::agent_2, 3'000, 10'000},
     {fault_kind::spool_torn, "spool_torn", aim::an_agent, 3'000, 10'000},
     {fault_kind::spool_power_cut, "spool_power_cut", aim::an_agent, 3'000, 10'000},
     {fault_kind::bad_config, "bad_config", aim::any_daemon, 500, 3'000},
     {fault_kind::schema_ahead, "schema_ahead", aim::any_daemon, 500, 3'000},
     {fault_kind::schema_behind, "schema_behind", aim::any_daemon, 500, 3'000},
     {fault_kind::poison_burst, "poison_burst", aim::nobody, 100, 100},
     {fault_kind::proposals_at_once, "proposals_at_once", aim::nobody, 100, 100},
     {fault_kind::flood, "flood", aim::nobody, 3'000, 15'000},
     {fault_kind::clock_jump, "clock_jump", aim::any_daemon, 6'000, 20'000}}};

const traits& of(fault_kind kind) {
  return *std::find_if(all_faults.begin(), all_faults.end(), [&](const traits& each) { return each.kind == kind; });
}

}  // namespace

std::string_view to_string(fault_kind kind) {
  return of(kind).name;
}

fault_kind parse_fault(std::string_view name) {
  for (const auto& each : all_faults)
    if (each.name == name) return each.kind;
  throw std::runtime_error("there is no fault \"" + std::string(name) + "\"");
}

std::vector<fault_kind> every_fault() {
  std::vector<fault_kind> kinds;
  for (const auto& each : all_faults) kinds.push_back(each.kind);
  return kinds;
}

std::vector<planned_fault> plan(const schedule_options& options) {
  // Distributions of the standard library differ between libraries; the engine does not.
  std::mt19937_64 random(options.seed);
  const auto below = [&](std::uint64_t limit) { return random() % limit; };
  const auto agent = [&] { return "agent-" + std::to_string(below(3)); };
  const auto coordinator = [&] { return "coordinator-" + std::to_string(below(2)); };
  const auto daemon = [&] { return below(5) < 2 ? coordinator() : agent(); };
  std::vector<planned_fault> planned;
  for (int round = 0; round < options.rounds; ++round) {
    auto kinds = options.kinds;
    for (auto i = kinds.size(); i > 1; --i) std::swap(kinds[i - 1], kinds[below(i)]);
    for (const auto kind : kinds) {
      const auto& how = of(kind);
      planned_fault next;
      next.kind = kind;
      next.is_short = options.is_short;
      const auto most = static_cast<std::uint64_t>(options.is_short ? how.short_ms : how.long_ms);
      next.lasts = milliseconds(most / 2 + below(most / 2 + 1));
      next.before = milliseconds(options.is_short ? 300 + below(700) : 2'000 + below(4'000));
      if (how.at == aim::any_daemon) next.target = daemon();
      if (how.at == aim::a_coordinator) next.target = coordinator();
      if (how.at == aim::an_agent) next.target = agent();
      if (how.at == aim::agent_2) next.target = "agent-2";
      if (how.at == aim::some_or_all && below(2) == 0) next.target = daemon();
      planned.push_back(std::move(next));
    }
  }
  return planned;
}

}  // namespace fleet::test::faults
