#include "tests/system/faults/checker.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>

#include "common/quantumflow/sqlite.hpp"
#include "tests/system/faults/audit_proof.hpp"

namespace fleet::test::faults {

namespace fs = std::filesystem;

namespace {

constexpr auto facts_schema = R"(
  create schema faults;
  create table faults.taken (id bigint generated always as identity, consumer_group text not null,
                             message_id bigint not null, payload jsonb not null);
  grant usage on schema faults to coordinator;
  grant insert on faults.taken to coordinator;
  create table faults.history (seq bigint primary key, at float8 not null, began float8, kind text not null, who text,
                               op text, subject text, answer text, detail jsonb not null);
  create index on faults.history (kind, op, subject);
  create table faults.git_commit (agent text not null, place int not null, proposal_id text not null,
                                  kind text not null check (kind in ('apply', 'revert')));
  create table faults.file (agent text not null, path text not null, content text not null);
  create table faults.first_file (agent text not null, path text not null, content text not null);
  create table faults.repository (agent text primary key, dirty text not null, unmarked int not null);
  create table faults.quarantined (agent text not null, kind text not null, body text not null, reason text not null);
  create table faults.audit_verify (what text primary key, exit_code int not null, report jsonb not null, expected text[] not null);
  select quantumflow.subscribe('learning_loop_completed_queue', 'taker-a');
  select quantumflow.subscribe('learning_loop_completed_queue', 'taker-b');)";

/// Every failed attempt that is put on record, in the transaction that does so: what a daemon logs of it is missing
/// where the reply to its COMMIT was lost, and the rows themselves are gone as soon as the message is handled.
constexpr auto charges_schema = R"(
  create table faults.charged (id bigint generated always as identity, queue_name text not null, consumer_group text not null,
                               message_id bigint not null, attempts int not null, body text not null, error text);
  create function faults.note_charge() returns trigger language plpgsql security definer as $$
  begin
    insert into faults.charged (queue_name, consumer_group, message_id, attempts, body, error)
    select q.name, c.consumer_group, new.msg_id, new.attempts, new.body, new.errors -> -1 ->> 'error'
      from quantumflow.cursor c join quantumflow.queue q using (queue_id) where c.cursor_id = new.cursor_id;
    return null;
  end $$;
  create trigger charged after insert or update of attempts on quantumflow.retry
    for each row when (new.attempts > 0) execute function faults.note_charge();)";

constexpr std::size_t lines_a_statement = 500;

std::string text_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

void load_history(sql_session& admin, const history& record) {
  const auto lines = record.lines();
  for (std::size_t at = 0; at < lines.size(); at += lines_a_statement) {
    const auto last = std::min(lines.size(), at + lines_a_statement);
    const std::vector<std::string> some(lines.begin() + static_cast<std::ptrdiff_t>(at),
                                        lines.begin() + static_cast<std::ptrdiff_t>(last));
    admin.query(
        "insert into faults.history select (l ->> 'seq')::bigint, (l ->> 'at')::float8, (l ->> 'began')::float8, "
        "l ->> 'kind', l ->> 'who', l ->> 'op', l ->> 'subject', l ->> 'answer', coalesce(l -> 'detail', '{}') "
        "from unnest($1::text[]) t cross join lateral (select t::jsonb as l) j",
        postgres::make_params(some));
  }
}

/// The trailers that the executor leaves, newest commit first. Returns how many commits have none.
int load_commits(sql_session& admin, agent_process& agent) {
  int unmarked = 0;
  const auto log = agent.git(
      "log --format='%(trailers:key=Proposal-Id,valueonly,separator=%x2C)|"
      "%(trailers:key=Reverts-Proposal-Id,valueonly,separator=%x2C)'");
  std::istringstream lines(log);
  int place = 0;
  for (std::string line; std::getline(lines, line); ++place) {
    const auto bar = line.find('|');
    const auto applied = line.substr(0, bar), reverted = line.substr(bar + 1);
    if (applied.empty() && reverted.empty()) ++unmarked;
    for (const auto& [proposal, kind] : {std::pair{applied, "apply"}, std::pair{reverted, "revert"}}) {
      if (proposal.empty()) continue;
      admin.query("insert into faults.git_commit values ($1, $2, $3, $4)",
                  postgres::make_params(agent.instance, place, proposal, std::string(kind)));
    }
  }
  return unmarked;
}

std::vector<std::string> names_in(const std::string& list) {
  std::vector<std::string> names;
  std::istringstream in(list);
  for (std::string name; std::getline(in, name, '\0');)
    if (!name.empty()) names.push_back(name);
  return names;
}

/// Everything that git knows of, as it is in the work tree and as it was in the first commit, which is the suite's own.
void load_files(sql_session& admin, agent_process& agent) {
  for (const auto& path : names_in(agent.git("ls-files -z"))) {
    admin.query("insert into faults.file values ($1, $2, $3)",
                postgres::make_params(agent.instance, path, text_of(fs::path(agent.repository) / path)));
  }
  const auto first = agent.git("rev-list --max-parents=0 HEAD");
  for (const auto& path : names_in(agent.git("ls-tree -r -z --name-only " + first))) {
    auto content = agent.git(fmt::format("show '{}:{}'; printf .", first, path));  // the point keeps its last newline
    content.pop_back();
    admin.query("insert into faults.first_file values ($1, $2, $3)",
                postgres::make_params(agent.instance, path, content));
  }
}

void load_repository(sql_session& admin, agent_process& agent) {
  const int unmarked = load_commits(admin, agent);
  admin.query("insert into faults.repository values ($1, $2, $3)",
              postgres::make_params(agent.instance, agent.git("status --porcelain --ignored"), unmarked));
  load_files(admin, agent);
}

void load_quarantine(sql_session& admin, const std::string& agent, const std::string& spool) {
  quantumflow::sqlite::connection from(spool);
  auto rows = from.prepare("select kind, body, reason from quarantine");
  while (rows.step()) {
    admin.query("insert into faults.quarantined values ($1, $2, $3, $4)",
                postgres::make_params(agent, rows.text(0), rows.text(1), rows.text(2)));
  }
}

}  // namespace

std::vector<invariant> load_invariants(const std::string& folder) {
  std::vector<invariant> all;
  for (const auto& each : fs::directory_iterator(folder)) {
    if (each.path().extension() != ".sql") continue;
    invariant one;
    one.name = each.path().stem().string();
    one.sql = text_of(each.path());
    one.sentence = one.sql.substr(0, one.sql.find('\n'));
    if (one.sentence.starts_with("-- ")) one.sentence.erase(0, 3);
    all.push_back(std::move(one));
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  if (all.empty()) throw std::runtime_error("no invariants in " + folder);
  return all;
}

void prepare_facts(sql_session& admin) {
  admin.script(facts_schema);
  admin.script(charges_schema);
}

void collect_facts(sql_session& admin, world& fleet, const history& record) {
  load_history(admin, record);
  for (auto& agent : fleet.agents) {
    load_repository(admin, *agent);
    load_quarantine(admin, agent->instance, fleet.spool_path(agent->instance));
  }
  admin.script("analyze");
  prove_audit(admin, fleet);
}

std::vector<violation> check(sql_session& admin, const std::vector<invariant>& all) {
  std::vector<violation> found;
  for (const auto& each : all) {
    try {
      for (const auto& row : admin.query(each.sql))
        found.push_back({each.name, std::string(row.text(std::size_t{0})), std::string(row.text(std::size_t{1}))});
    } catch (const std::exception& error) {
      // The others still count, and what could not be looked at does not pass.
      found.push_back({each.name, "(the check itself)", error.what()});
    }
  }
  return found;
}

std::string explain(const std::vector<violation>& found, const history& record, std::size_t max) {
  std::string text;
  std::map<std::string, std::size_t> shown;
  for (const auto& each : found) {
    if (++shown[each.invariant] > max) continue;
    text += fmt::format("BROKEN {}: {}: {}\n", each.invariant, each.subject, each.what);
    for (const auto& line : record.about(each.subject, 6)) text += "    " + line.substr(0, 600) + "\n";
  }
  for (const auto& [name, count] : shown)
    if (count > max) text += fmt::format("BROKEN {}: {} more\n", name, count - max);
  return text;
}

}  // namespace fleet::test::faults
