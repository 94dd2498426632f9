#include "tests/system/faults/campaign.hpp"

#include <fmt/format.h>
#include <signal.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <stdexcept>
#include <thread>

#include "tests/system/faults/injector.hpp"
#include "tests/system/faults/report.hpp"

namespace fleet::test::faults {

namespace fs = std::filesystem;

namespace {

using std::chrono::milliseconds;
using steady = std::chrono::steady_clock;

void say(const std::string& text) {
  std::cout << text << std::endl;  // seen while it runs, also in a file
}

std::string new_directory() {
  std::string pattern = (fs::temp_directory_path() / "fault-tests-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
  return pattern;
}

/// What must come to rest once nobody calls and nothing breaks any more; the first that has not, or "".
std::string unsettled(sql_session& admin) {
  const auto rows = admin.query(R"(
    select * from (
      select 'messages' as what, sum(pending + retrying) as n from quantumflow.list_queues()
      union all select 'agents'' proposals', count(*) from singularity.proposal
       where status in ('pending', 'sent_for_consensus', 'consensus_reached', 'executing') or next_sample_at is not null
      union all select 'samples to report', count(*) from singularity.sample where message_id is null and problem is null
      union all select 'rollbacks', count(*) from singularity.rollback where finished_at is null
      union all select 'votes', count(*) from centralcloud.proposal where state = 'voting'
      union all select 'changes', count(*) from centralcloud.change
       where state in ('executing', 'watching', 'rollback_triggered')) waiting where n > 0 limit 1)");
  if (rows.empty()) return {};
  return fmt::format("{}: {}", rows.front().text(std::size_t{0}), rows.front().text(std::size_t{1}));
}

void settle(world& fleet, sql_session& admin, history& record, std::chrono::seconds limit) {
  const auto began = steady::now();
  std::string left = "nothing asked";
  const auto deadline = began + limit;
  while (!left.empty() && steady::now() < deadline) {
    left = unsettled(admin);
    std::this_thread::sleep_for(milliseconds(100));
  }
  entry made{.kind = "recovery", .op = "settle", .answer = left.empty() ? "done" : "not"};
  made.detail["seconds"] = std::chrono::duration<double>(steady::now() - began).count();
  if (!left.empty()) made.detail["lacking"] = left;
  record.add(std::move(made));
  for (const auto& name : fleet.names()) {
    auto& process = fleet.process(name);
    process.send(SIGTERM);
    const int code = process.wait(std::chrono::seconds(15));
    entry exit{.kind = "exit", .who = name, .op = "SIGTERM", .answer = code == 0 ? "expected" : "unexpected"};
    exit.detail["actual"] = code;
    record.add(std::move(exit));
    if (code == -1) process.kill9();
  }
}

void inject_all(injector& faults, const campaign_options& options) {
  const auto end = steady::now() + std::chrono::minutes(options.minutes);
  const bool is_short = options.minutes == 0;
  constexpr int more_than_any_run = 1'000;
  const auto schedule = plan({options.seed, is_short, options.kinds, is_short ? 1 : more_than_any_run});
  for (const auto& fault : schedule) {
    if (!is_short && steady::now() >= end) break;
    const auto began = steady::now();
    faults.inject(fault);
    const auto took = std::chrono::duration<double>(steady::now() - began).count();
    say(fmt::format("  {:<20} {:<14} {:6} ms, {:.1f} s with recovery", to_string(fault.kind),
                    fault.target.empty() ? "all" : fault.target, fault.lasts.count(), took));
  }
}

load_options load_for(const campaign_options& options) {
  load_options how;
  how.seed = options.seed;
  if (options.minutes > 0) {
    // A long run is to leave the machine to others.
    how.proposal_gap = milliseconds(6'000);
    how.call_gap = milliseconds(1'500);
  }
  return how;
}

/// How much was asked for, so that invariants/alive.sql knows how much must have come of it.
void note_load(history& record, const load_options& how) {
  entry made{.kind = "note", .op = "load"};
  made.detail["proposal_gap_ms"] = how.proposal_gap.count();
  made.detail["call_gap_ms"] = how.call_gap.count();
  record.add(std::move(made));
}

}  // namespace

std::string suite_folder() {
  const char* root = std::getenv("FLEET_SOURCE_DIR");
  return std::string(root != nullptr ? root : FLEET_SOURCE_DIR) + "/tests/system/faults";
}

namespace {

/// Everything but the files, which the fleet and its file system must have left first.
void run_in(campaign_result& result, const campaign_options& options) {
  history record(result.directory + "/history.jsonl");
  world fleet({result.directory, options.agent_environment, options.mutation});
  sql_session admin(fleet.admin_url(), "checker", std::chrono::seconds(120));
  prepare_facts(admin);
  fleet.start_all();
  std::map<std::string, std::string> skipped;
  std::map<std::string, int> injected;
  {
    observer watch(fleet, record);
    const auto how = load_for(options);
    load calls(fleet, record, how);
    injector faults({fleet, record, calls, watch});
    watch.phase("idle");
    std::this_thread::sleep_for(options.minutes > 0 ? std::chrono::seconds(20) : std::chrono::seconds(4));
    watch.phase("load");
    note_load(record, how);
    calls.start();
    std::this_thread::sleep_for(std::chrono::seconds(3));
    inject_all(faults, options);
    calls.stop_calling();
    watch.phase("");
    settle(fleet, admin, record, options.settle);
    calls.stop();
    skipped = faults.skipped();
    injected = faults.injected();
  }
  collect_facts(admin, fleet, record);
  const auto invariants = load_invariants(suite_folder() + "/invariants");
  result.violations = check(admin, invariants);
  result.explanation = explain(result.violations, record);
  std::map<std::string, std::size_t> violations;
  for (const auto& each : result.violations) ++violations[each.invariant];
  result.report = report(
      {injected, skipped, invariants.size(), violations, fleet.proxy.connections(), fleet.proxy.dropped_commits()},
      admin);
  if (!result.violations.empty())
    shell(fmt::format("pg_dump -Fc -f '{}/database.dump' '{}'", result.directory, fleet.admin_url()));
}

}  // namespace

campaign_result run_campaign(const campaign_options& options) {
  campaign_result result;
  result.directory = new_directory();
  say(fmt::format("seed {}, in {}", options.seed, result.directory));
  run_in(result, options);
  const bool keep = !result.violations.empty() || std::getenv("FLEET_KEEP") != nullptr;
  std::error_code ignored;
  if (!keep) fs::remove_all(result.directory, ignored);
  return result;
}

}  // namespace fleet::test::faults
