#include "tests/bench/load_bench/accounts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <sstream>
#include <vector>

namespace fleet::bench {

namespace {

struct queue_delays {
  const char* queue;
  const char* sql;  ///< one number a message: seconds
};

/// From the publish call's transaction to the handler's, as the daemons' own rows have it; commits are outside.
constexpr queue_delays queues[] = {
    {"proposals_for_consensus",
     "select extract(epoch from p.received_at - s.at) from centralcloud.proposal p join singularity.proposal_step s "
     "using (proposal_id) where s.to_state = 'sent_for_consensus'"},
    {"voting_requests (to each instance)",
     "select extract(epoch from r.received_at - s.at) from singularity.vote_request r join centralcloud.step s "
     "using (proposal_id) where s.state = 'voting'"},
    {"votes_for_consensus",
     "select extract(epoch from v.received_at - r.answered_at) from centralcloud.vote v "
     "join singularity.vote_request r using (proposal_id, instance_id)"},
    {"consensus_results",
     "select extract(epoch from s.at - d.decided_at) from centralcloud.decision d join singularity.proposal_step s "
     "using (proposal_id) where s.to_state = 'consensus_reached'"},
    {"metrics_to_guardian (with the reporter)",
     "select extract(epoch from g.received_at - s.taken_at) from singularity.sample s join centralcloud.sample g "
     "using (proposal_id, status) where status = 'applied'"}};

std::vector<double> numbers(const std::string& lines) {
  std::vector<double> all;
  std::istringstream in(lines);
  for (double one = 0; in >> one;) all.push_back(one);
  return all;
}

void print_row(const char* what, std::vector<double> seconds) {
  if (seconds.empty()) return;
  std::sort(seconds.begin(), seconds.end());
  const auto at = [&](double share) {
    const auto last = static_cast<double>(seconds.size() - 1);
    return seconds[static_cast<std::size_t>(std::lround(share * last))] * 1000;
  };
  std::printf("| %s | %zu | %.0f | %.0f | %.0f | %.0f |\n", what, seconds.size(), at(0.5), at(0.9), at(0.99), at(1));
}

/// Seconds from handing in to the proposal's step.
std::vector<double> since_sent(const test::daemon_fleet& fleet, const load_run& run, const std::string& state) {
  std::istringstream in(
      fleet.psql("select proposal_id || ' ' || extract(epoch from at) from singularity.proposal_step "
                 "where to_state = '" +
                 state + "'"));
  std::vector<double> all;
  std::string id;
  for (double at = 0; in >> id >> at;) all.push_back(at - run.sent_at.at(id));
  return all;
}

double first_sent(const load_run& run) {
  double first = run.settled_at;
  for (const auto& [id, at] : run.sent_at) first = std::min(first, at);
  return first;
}

bool is(const char* what, const std::string& found, const std::string& expected) {
  if (found == expected) return true;
  std::printf("WRONG: %s: %s, expected %s\n", what, found.c_str(), expected.c_str());
  return false;
}

}  // namespace

void print_delays(const test::daemon_fleet& fleet, const load_run& run) {
  std::printf("### %d proposals at once\n\n| ms | n | p50 | p90 | p99 | max |\n|---|---:|---:|---:|---:|---:|\n",
              run.proposals);
  std::vector<double> answered;
  for (const auto& [id, at] : run.answered_at) answered.push_back(at - run.sent_at.at(id));
  print_row("handed in → answered", std::move(answered));
  print_row("handed in → sent to the vote", since_sent(fleet, run, "sent_for_consensus"));
  print_row("handed in → decision known to the agent", since_sent(fleet, run, "consensus_reached"));
  print_row("handed in → execution begun", since_sent(fleet, run, "executing"));
  print_row("handed in → applied", since_sent(fleet, run, "applied"));
  for (const auto& each : queues) print_row(each.queue, numbers(fleet.psql(each.sql)));
  for (const auto* step : {"check_profile", "metrics_before", "apply", "verify", "metrics_after"}) {
    const auto sql = fmt::format(
        "select extract(epoch from finished_at - started_at) from singularity.execution_step where step = '{}'", step);
    print_row(fmt::format("one execution: {}", step).c_str(), numbers(fleet.psql(sql)));
  }
  print_row("one execution, from its beginning",
            numbers(fleet.psql("select extract(epoch from a.at - e.at) from singularity.proposal_step a "
                               "join singularity.proposal_step e using (proposal_id) "
                               "where a.to_state = 'applied' and e.to_state = 'executing'")));
  const auto begun = first_sent(run);
  const auto rate = [&](const std::string& sql) {
    return static_cast<double>(run.proposals) / (std::stod(fleet.psql(sql)) - begun);
  };
  std::printf("\ndecided/s %.1f, applied/s %.1f; commits a proposal %.1f; CPU ms a proposal:",
              rate("select extract(epoch from max(decided_at)) from centralcloud.decision"),
              rate("select extract(epoch from max(applied_at)) from singularity.proposal"),
              static_cast<double>(run.commits) / run.proposals);
  for (const auto& [who, seconds] : run.cpu_seconds)
    std::printf(" %s %.0f", who.c_str(), seconds * 1000 / run.proposals);
  std::printf("\n");
}

bool print_accounts(const test::daemon_fleet& fleet, const load_run& run) {
  const auto n = std::to_string(run.proposals);
  const auto thrice = std::to_string(run.proposals * static_cast<int>(fleet.agents.size()));
  const auto twice = [&](const std::string& count) { return count + "|" + count; };
  bool right = is("accepted", std::to_string(run.sent_at.size()), n);
  const auto pair = [&](const char* what, const std::string& sql, const std::string& count) {
    right = is(what, fleet.psql(sql), twice(count)) && right;
  };
  pair("decisions, proposals of them", "select count(*), count(distinct proposal_id) from centralcloud.decision", n);
  pair("votes counted, different ones",
       "select count(*), count(distinct (proposal_id, instance_id)) from centralcloud.vote where counted", thrice);
  pair("results handled, proposals of them",
       "select count(*), count(distinct proposal_id) from singularity.proposal_step where to_state = "
       "'consensus_reached'",
       n);
  pair("applied, proposals of them",
       "select count(*), count(distinct proposal_id) from singularity.proposal_step where to_state = 'applied'", n);
  pair("samples 'applied', proposals of them",
       "select count(*), count(distinct proposal_id) from centralcloud.sample where status = 'applied'", n);
  right = is("dead letters", fleet.psql("select count(*) from quantumflow.list_dlq_messages()"), "0") && right;
  std::string commits;
  for (const auto& each : fleet.agents)
    commits += each->git("log --format='%(trailers:key=Proposal-Id,valueonly)'") + "\n";
  std::map<std::string, int> found;
  std::istringstream in(commits);
  for (std::string id; in >> id;) ++found[id];
  for (const auto& [id, agent] : run.agents) {
    right = is("commits of a proposal in the repositories", std::to_string(found[id]), "1") && right;
    found.erase(id);
  }
  right = is("commits of other proposals", std::to_string(found.size()), "0") && right;
  std::printf("accounts: %s\n", right ? "nothing lost, nothing handled twice (database and git)" : "WRONG");
  return right;
}

void print_statements(const test::daemon_fleet& fleet) {
  std::printf("\n%s\n",
              fleet
                  .psql("select format('%8s ms %7s calls %7s ms each  %s', round(total_exec_time), calls, "
                        "round(mean_exec_time::numeric, 2), left(regexp_replace(query, '\\s+', ' ', 'g'), 110)) "
                        "from pg_stat_statements where dbid = (select oid from pg_database where datname = "
                        "current_database()) order by total_exec_time desc limit 25")
                  .c_str());
}

}  // namespace fleet::bench
