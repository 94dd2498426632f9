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

}  // namespace

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
