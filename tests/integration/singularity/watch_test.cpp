#include "singularity_agent/metrics/watch.hpp"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <catch2/catch.hpp>
#include <optional>

#include "tests/integration/singularity/agent_fixture.hpp"

using namespace fleet;
using test::agent_fixture;

namespace {

const std::string waiting =
    "select count(*) > 0 from pg_locks l join pg_stat_activity a using (pid) where not l.granted and a.datname = "
    "current_database()";

/// `touch` is done to the first of two watched changes in a transaction and, once a round of the watch stands behind
/// it, to the second: as a replay of the spool or a batch of triggers does, in an order of its own. Returns what the
/// round gave.
std::optional<std::size_t> round_between(agent_fixture& with, const std::string& touch,
                                         const std::vector<std::string>& order) {
  std::optional<std::size_t> gave;
  bool ended = false;
  std::string problem;
  const auto meanwhile = [&](postgres::transaction& open) -> boost::asio::awaitable<void> {
    co_await open.query(touch + "'" + order[0] + "'");
    boost::asio::co_spawn(with.io, with.watch.round(), [&](std::exception_ptr thrown, std::size_t samples) {
      ended = true;
      if (!thrown) gave = samples;
    });
    const auto waits = [&] { return ended || with.ask(waiting) == "t"; };
    boost::asio::steady_timer pause(with.io);
    while (!waits()) {
      pause.expires_after(std::chrono::milliseconds(10));
      co_await pause.async_wait(boost::asio::use_awaitable);
    }
    co_await open.query(touch + "'" + order[1] + "'");
  };
  try {
    test::run(with.io, agent::transact(with.pool, meanwhile));
  } catch (const std::exception& failed) {
    problem = failed.what();
  }
  CHECK(problem.empty());
  REQUIRE(test::run_until(with.io, [&] { return ended; }));
  return gave;
}

const std::string tell = "select singularity.tell_metrics('agent-1', 'BugFixerAgent', '{\"latency_p95_ms\": 9000}')";
const std::string samples =
    "select string_agg(proposal_id || coalesce(':' || (metrics_after ->> 'latency_p95_ms'), ''), ' ' order by "
    "sample_id) "
    "from singularity.sample where status = 'monitoring'";

}  // namespace

TEST_CASE("watch: what an agent told once is in one sample of each watched change, and in no later one") {
  agent_fixture with("agent_watch_told");
  for (const auto* id : {"p1", "p2"}) {
    with.approve(id, std::string(id) + "\\n");
    REQUIRE(with.execute());
  }
  const auto sample = [&](const std::string& of) {
    with.psql(
        "update singularity.proposal set next_sample_at = now() + interval '1 hour';"
        "update singularity.proposal set next_sample_at = now() where proposal_id = '" +
        of + "'");
    REQUIRE(test::run(with.io, with.watch.round()) == 1);
  };
  with.psql(tell);
  for (const auto* of : {"p1", "p1", "p2", "p1", "p2"}) sample(of);
  CHECK(with.ask(samples) == "p1:9000 p1 p2:9000 p1 p2");
  with.psql(tell);
  for (const auto* of : {"p1", "p1", "p2"}) sample(of);
  CHECK(with.ask(samples) == "p1:9000 p1 p2:9000 p1 p2 p1:9000 p1 p2:9000");
}

TEST_CASE("watch: what is told while a sample is taken is in the next one") {
  agent_fixture with("agent_watch_told_late");
  with.approve("p1");
  REQUIRE(with.execute());
  const auto due = [&] {
    with.psql("update singularity.proposal set next_sample_at = now()");
    return with.in_transaction([&](postgres::transaction& open) { return with.samples.due_watches(open.on(), 10); })
        .at(0);
  };
  const auto record = [&](const agent::metrics::due_watch& of) {
    return with.in_transaction([&](postgres::transaction& open) {
      return with.samples.record_watch(open.on(), of, of.told, std::chrono::milliseconds(20));
    });
  };
  const auto first = due();
  with.psql(tell);
  CHECK(record(first));
  CHECK(record(due()));
  CHECK(record(due()));
  CHECK(with.ask(samples) == "p1 p1:9000 p1");
}

TEST_CASE("watch: it never holds one change while it waits for another, in whatever order others take them") {
  agent_fixture with("agent_watch_order");
  for (const auto* id : {"p1", "p2"}) {
    with.approve(id, std::string(id) + "\\n");
    REQUIRE(with.execute());
  }
  with.psql("update singularity.proposal set next_sample_at = now()");
  const auto order = GENERATE(std::vector<std::string>{"p1", "p2"}, std::vector<std::string>{"p2", "p1"});
  CAPTURE(order);
  const std::string of = "from (values ('p1'), ('p2')) v(p) where p = ";
  SECTION("a replay's samples") {
    const std::string touch = "select singularity.report_metrics('agent-1', p, '{\"error_rate\": 0.5}') " + of;
    CHECK(round_between(with, touch, order) == std::optional<std::size_t>(2));
    CHECK(with.ask("select count(*) from singularity.sample where source = 'caller'") == "2");
  }
  SECTION("a batch of rollback triggers, when the windows end") {
    with.psql("update singularity.proposal set watch_until = now()");
    const std::string touch = "select singularity.request_rollback('agent-1', p, 'r-' || p, 'operator', '{}') " + of;
    CHECK(round_between(with, touch, order) == std::optional<std::size_t>(0));
    CHECK(with.ask("select count(*) from singularity.proposal where ended_at is not null") == "2");
  }
}
