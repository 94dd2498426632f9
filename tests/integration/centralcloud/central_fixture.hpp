// The coordinator's parts on a database of their own, with short times; the workers start when a test asks for them.
#pragma once
#include <boost/json/parse.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "centralcloud_daemon/consumers.hpp"
#include "centralcloud_daemon/timers.hpp"
#include "common/postgres/transaction.hpp"
#include "tests/integration/quantumflow/queue_fixture.hpp"

namespace fleet::test {

class central_fixture : public queue_fixture {
 public:
  explicit central_fixture(const std::string& database) : queue_fixture(database) {}
  ~central_fixture() { stop_all(); }

  void stop_all() {
    stop.request_soft();
    run_until(io, [this] { return running == 0; });
  }

  /// Consumers of all four queues, and the timers.
  void start_workers() {
    start_consumers();
    start_timers();
  }
  void start_consumers() {
    for (const auto& each : in.subscriptions()) {
      quantumflow::consumer_options options;
      options.queue = each.queue;
      options.group = central::consumer_group;
      auto after = in.after_commit(each, telemetry::queue_meter(metrics, each.queue));
      workers.push_back(std::make_unique<quantumflow::consumer>(pool, waker, options, each.handler, std::move(after)));
      consume(*workers.back());
    }
  }
  void start_timers() {
    ++running;
    boost::asio::co_spawn(io, timed.run(stop.token()), [this](std::exception_ptr) { --running; });
  }

  void heartbeats(const std::string& instances) {
    psql("select centralcloud.heartbeat(i, '1', '{voter}') from unnest('{" + instances + "}'::text[]) i");
  }
  void publish_text(const std::string& queue, const std::string& payload) {
    publish(queue, boost::json::parse(payload).as_object());
  }
  void propose(const std::string& id, const std::string& profile = "{}", const std::string& risk = "5") {
    publish_text("proposals_for_consensus_queue",
                 R"({"type":"proposal_for_consensus","proposal_id":")" + id +
                     R"(","instance_id":"a","agent_type":"T","code_change":{"patch":"x"},"impact_score":5,)" +
                     R"("risk_score":)" + risk + R"(,"safety_profile":)" + profile +
                     R"(,"metadata":{"change_type":"code_refactoring"},"timestamp":"2026-01-01T00:00:00.000Z"})");
  }
  void cast(const std::string& id, const std::string& instance, const std::string& vote,
            const std::string& confidence) {
    publish_text("votes_for_consensus_queue",
                 R"({"type":"vote","proposal_id":")" + id + R"(","instance_id":")" + instance + R"(","vote":")" + vote +
                     R"(","confidence":)" + confidence + R"(,"reason":"r","timestamp":"2026-01-01T00:00:01.000Z"})");
  }
  void report(const std::string& id, const std::string& status, const std::string& after, int second = 0) {
    const auto at =
        "2026-01-01T00:" + std::to_string(10 + second / 60) + ":" + std::to_string(10 + second % 50) + ".000Z";
    publish_text("metrics_to_guardian_queue",
                 R"({"type":"execution_metrics","proposal_id":")" + id +
                     R"(","instance_id":"a","agent_type":"T","metrics_before":{"cpu_usage":10},"metrics_after":)" +
                     after + R"(,"status":")" + status + R"(","timestamp":")" + at + R"("})");
  }

  /// What a statement gives, once it gives `expected`; the last answer when the time is over.
  std::string eventually(const std::string& sql, const std::string& expected) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20) * patience();
    std::string got = trimmed(psql(sql));
    while (got != expected && std::chrono::steady_clock::now() < deadline) {
      // psql blocks the loop: let it do more than one step between two looks.
      io.restart();
      io.run_for(std::chrono::milliseconds(10));
      got = trimmed(psql(sql));
    }
    return got;
  }
  std::string now_gives(const std::string& sql) { return trimmed(psql(sql)); }
  /// Messages of a queue that nobody has taken, as "count".
  static std::string pending(const std::string& queue) {
    return "select count(*) from quantumflow.list_pending_messages('" + queue + "')";
  }
  /// Everything that was published to the coordinator has been handled.
  bool idle() {
    return eventually(
               "select sum(pending + retrying) from quantumflow.list_queues() where queue_name in "
               "('proposals_for_consensus_queue','votes_for_consensus_queue','metrics_to_guardian_queue',"
               "'patterns_for_aggregator_queue')",
               "0") == "0";
  }

  template <class F>
  auto in_own_transaction(F work) {
    using value = typename postgres::detail::awaited<std::invoke_result_t<F&, postgres::transaction&>>::type;
    return run(io, run_in_transaction<value, F>(std::move(work)));
  }

  telemetry::metrics metrics;
  telemetry::logger log = telemetry::logger::none();
  telemetry::event_counter events{metrics, log, telemetry::daemon_prefix::centralcloud};
  central::consensus::engine_settings consensus_settings;
  central::guardian::watch_settings guardian_settings;
  central::patterns::pattern_settings pattern_settings;
  central::producers out{events, base::system_clock()};
  central::consensus::engine votes{out, consensus_settings, log};
  central::guardian::watch changes{out, guardian_settings, log, metrics};
  central::patterns::aggregator patterns{out, pattern_settings, log};
  central::consumers in{votes, changes, patterns, events};
  central::timers timed{pool, votes, changes, guardian_settings, log, metrics};
  central::timed_piece piece;  ///< of work that a test has done by hand
  std::vector<std::unique_ptr<quantumflow::consumer>> workers;

 private:
  template <class T, class F>
  boost::asio::awaitable<T> run_in_transaction(F work) {
    auto lease = co_await pool.acquire();
    co_return co_await postgres::in_transaction(*lease, work);
  }
  static std::string trimmed(std::string text) {
    while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
    return text;
  }
};

}  // namespace fleet::test
