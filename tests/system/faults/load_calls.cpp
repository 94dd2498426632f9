// The calls of the load besides proposals: patterns, metrics, votes, SQL.
#include <fmt/format.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "common/postgres/error.hpp"
#include "tests/system/faults/load.hpp"

namespace fleet::test::faults {

namespace json = boost::json;

namespace {

std::string rfc3339_now() {
  return shell("date -u +%Y-%m-%dT%H:%M:%S.%3NZ");
}

/// Every sixth is thought about, so that there is always something to vote on while the database is away.
bool is_thought_about(const std::string& proposal) {
  return std::hash<std::string>{}(proposal) % 6 == 0;
}
constexpr std::chrono::seconds thought_about_for{3};

/// Attempts after which a message that fails is dead.
constexpr int failing_retries = 3;

}  // namespace

void load::feed(caller& as, std::uint64_t n) {
  const auto number = as.name.substr(as.name.size() - 1);
  const auto agent = "agent-" + number;
  if (as.chance() < 0.15) return tell(as, n);
  if (as.chance() < 0.4) {
    const auto proposal = recent(as, "-" + number + "-");
    if (!proposal.empty()) {
      const auto mark = static_cast<std::int64_t>(n) * 10 + number.front() - '0';
      const json::object metrics{{"success_rate", 0.98}, {"mark", mark}};
      as.call(agent, "metrics", fmt::format("mark-{}", mark), "/v1/proposals/" + proposal + "/metrics", metrics,
              {{"mark", mark}, {"proposal", proposal}});
      return;
    }
  }
  // Every tenth is one that all three report, so that it becomes the fleet's.
  const bool shared = n % 10 == 0;
  const auto type = shared ? fmt::format("shared-{}", n) : fmt::format("pattern-{}-{}", number, n);
  const json::object body{{"pattern_type", type},
                          {"success_rate", 0.99},
                          {"agent_type", "BugFixerAgent"},
                          {"code_pattern", {{"before", "a" + type}, {"after", "b" + type}, {"description", type}}}};
  const auto answer = as.call(agent, shared ? "shared_pattern" : "pattern", type, "/v1/patterns", body);
  count_spooled(agent, answer);
}

/// What an agent of a type that proposes nothing says of itself: rising numbers, of which the last one stands.
void load::tell(caller& as, std::uint64_t n) {
  const auto agent = "agent-" + as.name.substr(as.name.size() - 1);
  const auto mark = static_cast<std::int64_t>(n);
  const json::object body{{"agent_type", "LoadAgent"}, {"metrics", {{"mark", mark}}}};
  const auto answer =
      as.call(agent, "agent_metrics", fmt::format("{}-{}", agent, n), "/v1/metrics", body, {{"mark", mark}});
  count_spooled(agent, answer);
}

void load::vote(caller& as, std::uint64_t) {
  const bool looked = look_for_votes();
  const auto now = std::chrono::steady_clock::now();
  for (const auto& [proposal, since] : std::map(asked_)) {
    if (looked && is_thought_about(proposal) && now - since < thought_about_for) continue;
    cast_vote(as, proposal);
    asked_.erase(proposal);
  }
}

/// False: the agent does not know what is asked, since the database is away.
bool load::look_for_votes() {
  std::string body;
  if (fleet_.ask("agent-2", "/v1/votes", &body) != 200) return false;
  const auto waiting = json::parse(body);
  const auto* list = waiting.is_array() ? &waiting.as_array() : waiting.as_object().begin()->value().if_array();
  if (list == nullptr) return false;
  for (const auto& each : *list)
    asked_.emplace(std::string(each.at("proposal_id").as_string()), std::chrono::steady_clock::now());
  return true;
}

void load::cast_vote(caller& as, const std::string& proposal) {
  const bool poor = proposal.find("poor") != std::string::npos;
  json::object ballot{{"proposal_id", proposal},
                      {"vote", poor ? "reject" : "approve"},
                      {"confidence", 0.9},
                      {"reason", "looked at it"}};
  const auto call = [&](const char* op) {
    return as.call("agent-2", op, proposal, "/v1/votes", ballot, {{"vote", ballot.at("vote")}});
  };
  count_spooled("agent-2", call("vote"));
  if (as.chance() < 0.1) call("vote_again");
  if (as.chance() < 0.1) {
    ballot["vote"] = poor ? "approve" : "reject";
    call("vote_otherwise");
  }
}

/// One to five numbered messages in a transaction, for the groups that `take` plays.
void load::publish(caller& as, std::uint64_t n) {
  auto& sql = session(as.name);
  const auto count = 1 + as.random() % 5;
  entry made{.who = as.name, .op = "publish", .subject = fmt::format("batch-{}", n), .began = now()};
  made.detail["n"] = n;
  made.detail["count"] = count;
  bool unknown = false;
  try {
    sql.transaction(
        [&] {
          for (std::uint64_t k = 0; k < count; ++k) {
            const json::object body{{"type", "learning_loop_completed"}, {"batch", n}, {"k", k}};
            sql.query("select quantumflow.publish('learning_loop_completed_queue', $1::jsonb)",
                      postgres::make_params(body));
          }
        },
        unknown);
    made.answer = "done";
  } catch (const std::exception& error) {
    made.answer = unknown ? "ambiguous" : "unsent";
    made.detail["error"] = error.what();
  }
  record_.add(std::move(made));
}

void load::publish_one(caller& as, entry made, const std::string& queue, const json::object& body) {
  try {
    const auto id =
        session(as.name).value("select quantumflow.publish($1, $2::jsonb)", postgres::make_params(queue, body));
    made.detail["message_id"] = std::stoll(id);
    made.answer = "done";
  } catch (const not_sent&) {
    made.answer = "unsent";
  } catch (const postgres::sql_error&) {
    made.answer = "ambiguous";
  }
  record_.add(std::move(made));
}

void load::publish_poison(caller& as, std::uint64_t n) {
  static const char* const queues[] = {"proposals_for_consensus_queue", "votes_for_consensus_queue",
                                       "metrics_to_guardian_queue", "patterns_for_aggregator_queue"};
  const auto mark = fmt::format("poison-{}", n);
  const json::object bodies[] = {{{"type", "nonsense"}, {"poison", mark}},
                                 {{"type", "vote"}, {"proposal_id", "p"}, {"confidence", 7}, {"poison", mark}},
                                 {{"type", "vote"},
                                  {"proposal_id", "no-such-proposal"},
                                  {"instance_id", "agent-0"},
                                  {"vote", "approve"},
                                  {"confidence", 0.9},
                                  {"reason", "?"},
                                  {"timestamp", rfc3339_now()},
                                  {"poison", mark}},
                                 {{"schema_version", 99}, {"poison", mark}}};
  const auto which = as.random() % 4;
  const auto* queue = which == 2 ? queues[1] : queues[as.random() % 4];
  entry made{.who = as.name, .op = "poison", .subject = mark, .began = now()};
  made.detail["queue"] = queue;
  publish_one(as, std::move(made), queue, bodies[which]);
}

/// A message that its takers cannot handle: at the first two attempts, or ever.
void load::publish_failing(caller& as, std::uint64_t n) {
  const auto mark = fmt::format("failing-{}", n);
  const int fails = as.chance() < 0.5 ? 2 : failing_retries + 1;
  const json::object body{{"type", "learning_loop_completed"}, {"poison", mark}, {"fails", fails}};
  entry made{.who = as.name, .op = "failing", .subject = mark, .began = now()};
  made.detail["fails"] = fails;
  publish_one(as, std::move(made), "learning_loop_completed_queue", body);
}

/// A vote against, published past the agent, of an instance that may have voted or not: it must not change a decision.
void load::publish_late_vote(caller& as, std::uint64_t) {
  const auto proposal = recent(as);
  if (proposal.empty()) return;
  auto& sql = session(as.name);
  entry made{.who = as.name, .op = "late_vote", .subject = proposal, .began = now()};
  try {
    const auto decided = sql.query("select decided_at is not null from centralcloud.proposal where proposal_id = $1",
                                   postgres::make_params(proposal));
    if (decided.empty() || decided.front().text(std::size_t{0}) != "t") return;
    const json::object body{
        {"type", "vote"},     {"proposal_id", proposal}, {"instance_id", "agent-2"},  {"vote", "reject"},
        {"confidence", 0.95}, {"reason", "too late"},    {"timestamp", rfc3339_now()}};
    // Twice, as a publisher does that lost its answer.
    for (int twice = 0; twice < 2; ++twice)
      sql.query("select quantumflow.publish('votes_for_consensus_queue', $1::jsonb)", postgres::make_params(body));
    made.answer = "done";
  } catch (const not_sent&) {
    made.answer = "unsent";
  } catch (const postgres::sql_error&) {
    made.answer = "ambiguous";
  }
  record_.add(std::move(made));
}

/// Takes what was published for it, as a consumer in another language does, and writes it down in the same transaction,
/// or fails it.
void load::take(caller& as, std::uint64_t) {
  auto& sql = session(as.name);
  bool unknown = false;
  sql.transaction(
      [&] {
        const auto failing = sql.query(
            "with batch as materialized (select * from quantumflow.take('learning_loop_completed_queue', $1, 100)), "
            "good as (insert into faults.taken (consumer_group, message_id, payload) "
            "  select $1, message_id, payload from batch where attempts >= coalesce((payload ->> 'fails')::int, 0)) "
            "select message_id from batch where attempts < (payload ->> 'fails')::int",
            postgres::make_params(as.name));
        for (const auto& row : failing) {
          sql.query("select quantumflow.fail($1::bigint, 'asked to', $2::int, 50)",
                    postgres::make_params(std::string(row.text(std::size_t{0})), failing_retries));
        }
      },
      unknown);
}

/// A person takes a change back.
void load::operate(caller& as, std::uint64_t) {
  const auto proposal = recent(as);
  if (proposal.empty()) return;
  entry made{.who = as.name, .op = "operator_rollback", .subject = proposal};
  as.ask_coordinator(made, "POST", "/v1/proposals/" + proposal + "/rollback", R"({"reason": "the operator said so"})");
  record_.add(std::move(made));
}

/// A person settles dead letters: has one tried again, which ends as it did before, or clears away those of the votes.
void load::settle_dead(caller& as, std::uint64_t n) {
  if (n % 3 != 0) return retry_dead(as, n % 3 == 1 ? "learning_loop_completed_queue" : "proposals_for_consensus_queue");
  const std::string queue = "votes_for_consensus_queue";
  entry made{.who = as.name, .op = "dlq_purge", .subject = queue};
  const auto body = as.ask_coordinator(made, "DELETE", "/v1/dlq?queue=" + queue);
  if (made.answer == "done") made.detail["purged"] = json::parse(body).at("purged");
  record_.add(std::move(made));
}

void load::retry_dead(caller& as, const std::string& queue) {
  entry looked;  // is no call: it changes nothing
  const auto body = as.ask_coordinator(looked, "GET", "/v1/dlq?queue=" + queue);
  if (looked.answer != "done") return;
  const auto list = json::parse(body).at("dlq").as_array();
  if (list.empty()) return;
  const auto& dead = list[as.random() % list.size()];
  entry made{.who = as.name, .op = "dlq_retry", .subject = json::serialize(dead.at("id"))};
  made.detail["message_id"] = dead.at("message_id");
  made.detail["queue"] = queue;
  as.ask_coordinator(made, "POST", "/v1/dlq/" + made.subject + "/retry");
  record_.add(std::move(made));
}

}  // namespace fleet::test::faults
