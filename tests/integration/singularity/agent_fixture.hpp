// One agent's parts on a database and a git repository of their own; workers run when a test asks for them.
#pragma once
#include <boost/json/parse.hpp>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "common/base/text.hpp"
#include "singularity_agent/consumers.hpp"
#include "singularity_agent/database.hpp"
#include "singularity_agent/execution/execution_flow.hpp"
#include "singularity_agent/execution/rollback_worker.hpp"
#include "singularity_agent/metrics/reporter.hpp"
#include "singularity_agent/metrics/watch.hpp"
#include "singularity_agent/proposals/proposal_queue.hpp"
#include "tests/integration/executor/git_fixture.hpp"
#include "tests/integration/quantumflow/queue_fixture.hpp"

namespace fleet::test {

/// Says what the test put there.
class fixed_sampler final : public agent::metrics::sampler {
 public:
  boost::asio::awaitable<base::result<messages::metric_set>> sample() override { co_return values; }
  messages::metric_set values{{"error_rate", base::decimal::from_millionths(10'000)}};
};

class agent_fixture : public queue_fixture {
 public:
  explicit agent_fixture(const std::string& database, std::string verify_command = "true",
                         agent::voter_mode mode = agent::voter_mode::policy)
      : queue_fixture(database) {
    git.options.verify_command = std::move(verify_command);
    git.options.instance = self.str();
    voter_settings.mode = mode;
    voter_settings.command_timeout = std::chrono::seconds(5);
    proposal_settings.max_in_flight = 100;
    proposal_settings.max_pending = 1000;
    proposal_settings.cost_factors = agent::proposals::default_cost_factors();
    executor = std::make_unique<agent::execution::git_executor>(io.get_executor(), git.options);
    queue = std::make_unique<agent::proposals::proposal_queue>(pool, out, wake, log, proposal_settings);
    make_flow();
    make_voter();
  }
  ~agent_fixture() {
    stop.request_soft();
    run_until(io, [this] { return running == 0; });
  }

  /// As after a restart of the agent: nothing but the database and the repository is known.
  void make_flow() {
    agent::execution::flow_options options;
    options.observation_window_seconds = window_seconds;
    options.sample_interval = std::chrono::milliseconds(20);
    flow = std::make_unique<agent::execution::execution_flow>(pool, *executor, measure, samples, executions, wake, log,
                                                              options);
    agent::execution::rollback_options rollback;
    rollback.working_directory = git.repo.string();
    rollback.commands = step_commands;
    rollback.retries.first_pause = std::chrono::milliseconds(1);
    rollbacks = std::make_unique<agent::execution::rollback_worker>(pool, *executor, *flow, measure, executions, wake,
                                                                    events, log, rollback);
  }
  void make_voter() {
    votes = std::make_unique<agent::voting::voter>(pool, out, wake, log, voter_settings);
    agent::consumers::parts parts{queue->repository(), executions, patterns, *votes, events, wake, log};
    in = std::make_unique<agent::consumers>(std::move(parts));
  }

  void start_consumers() {
    for (const auto& each : in->subscriptions()) {
      run(io, quantumflow::subscribe(pool, std::string(each.queue), self.str()));
      quantumflow::consumer_options options;
      options.queue = each.queue;
      options.group = self.str();
      workers.push_back(std::make_unique<quantumflow::consumer>(pool, waker, options, each.handler, each.after));
      consume(*workers.back());
    }
  }

  agent::proposals::submit_answer submit(const std::string& body) {
    auto parsed =
        agent::proposals::parse_submission(boost::json::parse(body).as_object(), agent::proposals::change_form::git);
    if (!parsed) throw base::failure(parsed.error());
    const auto work = [&](postgres::transaction& open) { return queue->submit(open, *parsed); };
    return run(io, agent::transact(pool, work));
  }
  static std::string proposal(const std::string& id, const std::string& content = "two\\n",
                              const std::string& more = R"("safety_profile":{"error_threshold":0.1})") {
    return R"({"proposal_id":")" + id + R"(","agent_type":"BugFixerAgent","code_change":{"files":{"b.txt":")" +
           content + R"("}},)" + more + "}";
  }
  /// Submitted, sent and decided.
  void approve(const std::string& id, const std::string& content = "two\\n",
               const std::string& more = R"("safety_profile":{"error_threshold":0.1})") {
    submit(proposal(id, content, more));
    send_all();
    handle(result(id, "approved"));
  }
  base::result<void> vote(const agent::voting::vote_answer& answer) {
    const auto work = [&](postgres::transaction& open) { return votes->vote(open, answer); };
    return run(io, agent::transact(pool, work));
  }
  void send_all() { run(io, queue->send_best()); }
  bool execute() { return run(io, flow->execute_next()); }
  bool roll_back() { return run(io, rollbacks->roll_back_next(stop.token())); }
  void report_all() {
    while (run(io, reporter.report_batch()) > 0) {
    }
  }

  messages::consensus_result result(const std::string& id, const std::string& status) const {
    return decode<messages::consensus_result>(
        R"({"type":"consensus_result","proposal_id":")" + id + R"(","instance_id":"agent-1","status":")" + status +
        R"(","votes":{"agent-2":"approve"},"confidence":0.9,"decision_rationale":"3 of 3","rule":"consensus",)" +
        R"("timestamp":"2026-01-01T00:00:00.000Z"})");
  }
  static messages::rollback_trigger trigger(const std::string& id, const std::string& rollback_id = "r1") {
    return decode<messages::rollback_trigger>(
        R"({"type":"rollback_trigger","proposal_id":")" + id +
        R"(","instance_id":"agent-1","reason":"error_rate_breach",)" +
        R"("threshold":{"error_rate":0.1,"actual":0.15,"severity":"critical","breaches":1},"rollback_id":")" +
        rollback_id + R"(","strategy":{"steps":["revert_code","clear_cache"],"estimated_duration_sec":15,)" +
        R"("requires_manual_intervention":false,"success_rate":null,"learned_from_count":0},)" +
        R"("timestamp":"2026-01-01T00:00:00.000Z"})");
  }
  static std::string voting_request(const std::string& id, const std::string& risk = "2",
                                    const std::string& deadline = "2099-01-01T00:00:00.000Z") {
    return R"({"type":"voting_request","proposal_id":")" + id + R"(","instance_id":"agent-2","agent_type":"T",)" +
           R"("code_change":{"files":{"b.txt":"x"}},"impact_score":8,"risk_score":)" + risk +
           R"(,"safety_profile":{},"metadata":{},"deadline":")" + deadline +
           R"(","timestamp":"2026-01-01T00:00:00.000Z"})";
  }
  template <class M>
  static M decode(const std::string& text) {
    auto message = M::decode(boost::json::parse(text).as_object());
    if (!message) throw base::failure(message.error());
    return std::move(*message);
  }

  template <class F>
  auto in_transaction(F work) {
    using value = typename postgres::detail::awaited<std::invoke_result_t<F&, postgres::transaction&>>::type;
    return run(io, run_in_transaction<value, F>(std::move(work)));
  }

  quantumflow::outcome handle(const messages::consensus_result& what) {
    return in_transaction([&](postgres::transaction& open) { return in->handle_consensus_result(open, what, none); });
  }
  quantumflow::outcome handle(const messages::rollback_trigger& what) {
    return in_transaction([&](postgres::transaction& open) { return in->handle_rollback_trigger(open, what, none); });
  }
  quantumflow::outcome handle(const messages::voting_request& what) {
    return in_transaction([&](postgres::transaction& open) { return in->handle_voting_request(open, what, none); });
  }

  std::string ask(const std::string& sql) const { return std::string(base::trim(psql(sql))); }
  std::string status(const std::string& id) const {
    return ask("select status from singularity.proposal where proposal_id = '" + id + "'");
  }
  /// What a statement gives once it gives `expected`; the last answer when the time is over.
  std::string eventually(const std::string& sql, const std::string& expected) {
    std::string got;
    run_until(io, [&] { return (got = ask(sql)) == expected; });
    return got;
  }
  std::string commits_of(const std::string& id) const {
    return git.git("log --format='%(trailers:key=Proposal-Id,valueonly)' | grep -cx " + id + " || true");
  }

  base::instance_id self{"agent-1"};
  git_fixture git;
  std::int64_t window_seconds = 600;
  agent::execution::step_commands step_commands;
  telemetry::metrics registry;
  telemetry::logger log = telemetry::logger::none();
  telemetry::event_counter events{registry, log, telemetry::daemon_prefix::singularity};
  agent::wake_ups wake;
  agent::producers out{self, events};
  agent::execution::execution_repository executions{self};
  agent::metrics::sample_repository samples{self};
  agent::patterns::pattern_repository patterns{self};
  fixed_sampler sampler;
  agent::metrics::measurer measure{io.get_executor(), sampler, pool, samples, log, std::chrono::milliseconds(20)};
  agent::metrics::watch watch{pool, measure, samples, wake, log, std::chrono::milliseconds(20)};
  agent::metrics::reporter reporter{pool, out, samples, wake, log};
  agent::voter_settings voter_settings;
  agent::proposals_settings proposal_settings;
  std::unique_ptr<agent::execution::git_executor> executor;
  std::unique_ptr<agent::proposals::proposal_queue> queue;
  std::unique_ptr<agent::execution::execution_flow> flow;
  std::unique_ptr<agent::execution::rollback_worker> rollbacks;
  std::unique_ptr<agent::voting::voter> votes;
  std::unique_ptr<agent::consumers> in;
  std::vector<std::unique_ptr<quantumflow::consumer>> workers;
  quantumflow::message none{};

 private:
  template <class T, class F>
  boost::asio::awaitable<T> run_in_transaction(F work) {
    co_return co_await agent::transact(pool, work);
  }
};

}  // namespace fleet::test
