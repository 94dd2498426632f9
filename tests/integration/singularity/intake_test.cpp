#include <catch2/catch.hpp>

#include "tests/integration/singularity/intake_fixture.hpp"
#include "tests/support/full_disk.hpp"

using namespace fleet;
using namespace fleet::test;
using agent::intake::kind;

TEST_CASE("intake: with a database there, everything is applied at once") {
  intake_fixture with("intake_direct");
  with.reopen(with.pool);
  const auto answer = with.take(kind::proposal, agent_fixture::proposal("p1"));
  CHECK_FALSE(answer.spooled);
  CHECK(answer.reply.at("status") == "pending");
  CHECK(with.spool->stats().entries == 0);
  CHECK_THAT(with.error_of(kind::proposal, agent_fixture::proposal("p1", "other\\n")),
             Catch::Contains("other content"));
}

TEST_CASE("intake: a proposal that came in is sent at once, not when the dispatcher looks by itself") {
  intake_fixture with("intake_dispatch");
  with.reopen(with.pool);
  ++with.running;
  boost::asio::co_spawn(with.io, with.queue->dispatch(with.stop.token()), [&](std::exception_ptr) { --with.running; });
  const auto dispatched = [&](const std::string& id) {
    return with.psql("select status from singularity.proposal where proposal_id = '" + id + "'") ==
           "sent_for_consensus";
  };
  with.take(kind::proposal, agent_fixture::proposal("p1"));
  REQUIRE(run_until(with.io, [&] { return dispatched("p1"); }));
  // It has just looked: its next look by itself is five seconds away.
  const auto began = std::chrono::steady_clock::now();
  with.take(kind::proposal, agent_fixture::proposal("p2"));
  CHECK(run_until(with.io, [&] { return dispatched("p2"); }));
  CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(4));
}

TEST_CASE("intake: without a database it is kept, and applied in order, once, when the database is back") {
  intake_fixture with("intake_replay");
  const auto kept = with.take(kind::proposal, agent_fixture::proposal("p1"));
  CHECK(kept.spooled);
  CHECK(kept.reply.at("proposal_id") == "p1");
  CHECK(kept.reply.at("spooled") == true);
  CHECK(with.take(kind::agent_metrics, R"({"agent_type":"T","metrics":{"error_rate":0.5}})").spooled);
  CHECK(with.take(kind::pattern, pattern).spooled);
  CHECK(with.take(kind::proposal, agent_fixture::proposal("p2")).spooled);
  CHECK(with.spool->stats().entries == 4);

  with.reopen(with.pool);
  // What comes now goes behind them, although the database is there.
  CHECK(with.take(kind::proposal, agent_fixture::proposal("p3")).spooled);
  with.replay();
  CHECK(with.psql("select string_agg(proposal_id, ',' order by submitted_at) from singularity.proposal where "
                  "proposal_id like 'p%'") == "p1,p2,p3");
  CHECK(with.psql("select pending from quantumflow.get_queue_stats('patterns_for_aggregator_queue')") == "1");
  CHECK(with.psql("select count(*) from singularity.accepted") == "5");
  CHECK_FALSE(with.take(kind::proposal, agent_fixture::proposal("p4")).spooled);
}

TEST_CASE("intake: what comes while the database does not let this agent in is kept, too") {
  intake_fixture with("intake_locked_out");
  auto stranger = with.settings();
  stranger.url = private_postgres::shared().url(with.name, "nobody_known");
  postgres::pool locked_out(with.io.get_executor(), stranger, 2);
  with.reopen(locked_out);
  CHECK(with.take(kind::proposal, agent_fixture::proposal("p1")).spooled);
  with.reopen(with.pool);
  with.replay();
  CHECK(with.psql("select count(*) from singularity.proposal where proposal_id = 'p1'") == "1");
}

TEST_CASE("intake: an item that was applied, and not forgotten before a crash, is not applied again") {
  intake_fixture with("intake_once");
  CHECK(with.take(kind::pattern, pattern).spooled);
  const auto copy = with.directory / "copy.db";
  with.taking.reset();
  std::filesystem::copy_file(with.directory / "spool.db", copy);
  with.reopen(with.pool);
  with.replay();
  with.stop_all();
  CHECK(with.psql("select pending from quantumflow.get_queue_stats('patterns_for_aggregator_queue')") == "1");

  with.taking.reset();
  std::filesystem::rename(copy, with.directory / "spool.db");
  with.stop = async::stop_source(with.io.get_executor());
  with.reopen(with.pool);
  CHECK(with.spool->stats().entries == 1);
  with.replay();
  CHECK(with.psql("select pending from quantumflow.get_queue_stats('patterns_for_aggregator_queue')") == "1");
}

TEST_CASE("intake: what is wrong is refused at once, database or not") {
  intake_fixture with("intake_wrong");
  CHECK_THAT(with.error_of(kind::proposal, R"({"agent_type":"T"})"), Catch::Contains("code_change"));
  CHECK_THAT(with.error_of(kind::vote, R"({"proposal_id":"p","vote":"maybe"})"), Catch::Contains("vote"));
  CHECK_THAT(with.error_of(kind::agent_metrics, R"({"agent_type":"T","metrics":{"error_rate":7}})"),
             Catch::Contains("error_rate"));
  CHECK(with.spool->stats().entries == 0);
}

TEST_CASE("intake: what the database refuses at replay is set aside with its reason, and the rest goes on") {
  intake_fixture with("intake_refused");
  CHECK(with.take(kind::vote, R"({"proposal_id":"nobody","vote":"approve","confidence":0.9,"reason":"r"})").spooled);
  CHECK(with.take(kind::proposal, agent_fixture::proposal("p1")).spooled);
  with.reopen(with.pool);
  with.replay();
  CHECK(with.psql("select count(*) from singularity.proposal") == "1");
  const auto aside = with.spool->quarantined().value();
  REQUIRE(aside.size() == 1);
  CHECK(aside[0].entry.kind == "vote");
  CHECK_THAT(aside[0].reason, Catch::Contains("no vote is asked for on 'nobody'"));
  CHECK_THAT(with.registry.exposition(), Catch::Contains("singularity_spool_quarantined_total 1"));
}

TEST_CASE("intake: what was kept is applied many in a transaction, whatever one of them meets") {
  intake_fixture with("intake_batches");
  const int count = 120;
  const std::string vote = R"({"proposal_id":"nobody","vote":"approve","confidence":0.9,"reason":"r"})";
  for (int n = 0; n < count; ++n) {
    if (n % 40 == 20) CHECK(with.take(kind::vote, vote).spooled);
    CHECK(with.take(kind::pattern, pattern).spooled);
  }
  with.psql("alter table singularity.accepted add column applied_in xid8 default pg_current_xact_id()");
  with.reopen(with.pool);
  with.replay();
  CHECK(with.psql("select published_total from quantumflow.get_queue_stats('patterns_for_aggregator_queue')") == "120");
  CHECK(with.psql("select count(*) from singularity.accepted") == "120");
  // 1, 2, 4, … 32, then 50 at once.
  CHECK(with.psql("select count(distinct applied_in) from singularity.accepted") == "8");
  CHECK(with.spool->quarantined().value().size() == 3);
  CHECK_THAT(with.registry.exposition(), Catch::Contains("singularity_spool_replayed_total 120"));
}

TEST_CASE("intake: what is before an item that does not get through is applied all the same") {
  intake_fixture with("intake_stuck");
  for (int n = 0; n < 9; ++n) CHECK(with.take(kind::pattern, pattern).spooled);
  CHECK(with.take(kind::agent_metrics, R"({"agent_type":"T","metrics":{"error_rate":0.5}})").spooled);
  CHECK(with.take(kind::pattern, pattern).spooled);
  with.psql("alter function singularity.tell_metrics(text, text, jsonb, text) rename to gone");
  with.reopen(with.pool);
  with.start_replay();
  CHECK(run_until(with.io, [&] { return with.spool->stats().entries == 2; }));
  CHECK(with.spool->stats().quarantined_total == 0);
  with.psql("alter function singularity.gone(text, text, jsonb, text) rename to tell_metrics");
  CHECK(run_until(with.io, [&] { return with.spool->stats().entries == 0; }));
}

TEST_CASE("intake: who is stopped hands over what is left, and keeps what the database does not take") {
  intake_fixture with("intake_flush");
  const std::string metrics = R"({"agent_type":"T","metrics":{"error_rate":0.5}})";
  for (int n = 0; n < 4; ++n) CHECK(with.take(kind::pattern, pattern).spooled);
  CHECK(with.take(kind::agent_metrics, metrics).spooled);
  with.psql("alter function singularity.tell_metrics(text, text, jsonb, text) rename to gone");
  with.reopen(with.pool);
  run(with.io, with.taking->flush(std::chrono::milliseconds(0)));
  CHECK(with.spool->stats().entries == 5);
  run(with.io, with.taking->flush(std::chrono::seconds(5)));
  CHECK(with.psql("select published_total from quantumflow.get_queue_stats('patterns_for_aggregator_queue')") == "3");
  CHECK(with.spool->stats().entries == 2);
  with.psql("alter function singularity.gone(text, text, jsonb, text) rename to tell_metrics");
  run(with.io, with.taking->flush(std::chrono::seconds(5)));
  CHECK(with.spool->stats().entries == 0);
}

TEST_CASE("intake: while a permission or a function is missing, what was acknowledged waits and is not set aside") {
  intake_fixture with("intake_waits");
  CHECK(with.take(kind::proposal, agent_fixture::proposal("p1")).spooled);
  with.psql("alter function singularity.accept_once(text, uuid) rename to gone");
  with.reopen(with.pool);
  bool tried = false;
  ++with.running;
  boost::asio::co_spawn(with.io, with.taking->replay(with.stop.token()), [&](std::exception_ptr) { --with.running; });
  const auto failures = [&] {
    return with.psql("select xact_rollback from pg_stat_database where datname = current_database()") != "0";
  };
  tried = run_until(with.io, failures, std::chrono::seconds(10));
  CHECK(tried);
  CHECK(with.spool->stats().entries == 1);
  CHECK(with.spool->stats().quarantined_total == 0);
  with.psql("alter function singularity.gone(text, uuid) rename to accept_once");
  CHECK(run_until(with.io, [&] { return with.spool->stats().entries == 0; }));
  CHECK(with.psql("select count(*) from singularity.proposal") == "1");
}

TEST_CASE("intake: keys that are older than any spool are forgotten") {
  intake_fixture with("intake_keys");
  with.reopen(with.pool);
  with.take(kind::pattern, pattern);
  with.psql(
      "insert into singularity.accepted select instance_id, gen_random_uuid(), at - interval '31 days' from "
      "singularity.accepted");
  with.replay();
  const auto forgotten = [&] { return with.psql("select count(*) from singularity.accepted") == "1"; };
  CHECK(run_until(with.io, forgotten));
}

TEST_CASE("intake: a full spool refuses proposals, and takes the metrics it has room for") {
  intake_fixture with("intake_full");
  with.max_bytes = 800;
  with.reopen(with.nowhere);
  const std::string metrics = R"({"agent_type":"T","metrics":{"error_rate":0.5}})";
  for (int n = 0; n < 20; ++n) CHECK(with.take(kind::agent_metrics, metrics).spooled);
  CHECK(with.spool->stats().dropped_total > 0);
  CHECK(with.take(kind::proposal, agent_fixture::proposal("p1")).spooled);
  std::string error = "none";
  for (int n = 2; n < 10 && error == "none"; ++n)
    error = with.error_of(kind::proposal, agent_fixture::proposal("p" + std::to_string(n)));
  CHECK_THAT(error, Catch::Contains("spool: full"));
}

TEST_CASE("intake: cut connections double nothing and lose nothing") {
  intake_fixture with("intake_cut");
  with.reopen(with.pool);
  const int count = 60;
  int done = 0;
  for (int n = 0; n < count; ++n) {
    boost::asio::co_spawn(with.io, with.taking->take(kind::pattern, boost::json::parse(pattern).as_object()),
                          [&](std::exception_ptr thrown, agent::intake::answer) { done += thrown ? 0 : 1; });
    if (n % 10 == 9) {
      run_until(with.io, [&] { return done > n - 8; });
      with.psql(
          "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = current_database() and "
          "pid <> pg_backend_pid() and query not ilike '%listen%'");
    }
  }
  CHECK(run_until(with.io, [&] { return done == count; }));
  with.replay();
  CHECK(with.psql("select pending from quantumflow.get_queue_stats('patterns_for_aggregator_queue')") ==
        std::to_string(count));
}

TEST_CASE("intake: while too many proposals wait, they wait in the spool, and what is behind them goes on") {
  intake_fixture with("intake_full");
  // One place is left.
  with.psql(
      "select singularity.submit('agent-1', ('{\"proposal_id\": \"other-' || n || '\", \"agent_type\": \"T\", "
      "\"code_change\": {}, \"impact_score\": 1, \"risk_score\": 1, \"safety_profile\": {}, \"priority_score\": "
      "1}')::jsonb, "
      "1000) from generate_series(1, 999) n");
  const auto metrics_of = [&](const std::string& id) {
    return with.take(kind::proposal_metrics, R"({"proposal_id":")" + id + R"(","metrics":{"error_rate":0.1}})").spooled;
  };
  for (const auto* id : {"p1", "p2", "p3"}) CHECK(with.take(kind::proposal, agent_fixture::proposal(id)).spooled);
  CHECK(metrics_of("p2"));
  CHECK(with.take(kind::pattern, pattern).spooled);
  with.reopen(with.pool);
  with.start_replay();
  // p1 has the only place: p2, p3 and what belongs to p2 stay, the pattern does not.
  CHECK(run_until(with.io, [&] { return with.spool->stats().entries == 3; }));
  CHECK(with.psql("select string_agg(proposal_id, ',') from singularity.proposal where proposal_id like 'p%'") == "p1");
  CHECK(with.psql("select published_total from quantumflow.get_queue_stats('patterns_for_aggregator_queue')") == "1");
  // There is room again.
  with.psql("update singularity.proposal set status = 'consensus_failed'");
  CHECK(run_until(with.io, [&] { return with.spool->stats().entries == 0; }));
  CHECK(with.psql("select string_agg(proposal_id, ',' order by submitted_at) from singularity.proposal where "
                  "proposal_id like 'p%'") == "p1,p2,p3");
  // Metrics of one that was not applied yet are refused for what they are, not for having come too early.
  const auto aside = with.spool->quarantined().value();
  REQUIRE(aside.size() == 1);
  CHECK_THAT(aside[0].reason, Catch::Contains("proposal 'p2' is pending"));
}

TEST_CASE("intake: a full disk holds up nothing that was kept on it, and then nothing that comes") {
  intake_fixture with("intake_full_disk");
  CHECK(with.take(kind::vote, R"({"proposal_id":"nobody","vote":"approve","confidence":0.9,"reason":"r"})").spooled);
  for (const auto* id : {"p1", "p2"}) CHECK(with.take(kind::proposal, agent_fixture::proposal(id)).spooled);
  with.reopen(with.pool);
  bool replayed = false;
  bool spooled = true;
  {
    const full_disk now;
    with.start_replay();
    replayed = run_until(with.io, [&] { return with.spool->stats().entries == 0; });
    if (replayed) spooled = with.take(kind::proposal, agent_fixture::proposal("p3")).spooled;
  }
  CHECK(replayed);
  CHECK_FALSE(spooled);
  CHECK(with.psql("select string_agg(proposal_id, ',' order by submitted_at) from singularity.proposal") == "p1,p2,p3");
  // The disk has room again, and nobody has to come for it to be used.
  CHECK(run_until(with.io, [&] { return with.spool->stats().lingering == 0; }));
  CHECK(with.spool->quarantined().value().size() == 1);
}

TEST_CASE("intake: a spooled proposal whose id is taken by other content is set aside, and named") {
  intake_fixture with("intake_conflict");
  CHECK(with.take(kind::proposal, agent_fixture::proposal("p1")).spooled);
  CHECK(with.take(kind::pattern, pattern).spooled);
  auto other = boost::json::parse(agent_fixture::proposal("p1")).as_object();
  other["impact_score"] = 1;
  other["risk_score"] = 1;
  with.psql("select singularity.submit('" + with.self.str() + "', '" + boost::json::serialize(other) +
            "'::jsonb || '{\"priority_score\": 1}', 10)");
  with.reopen(with.pool);
  with.replay();
  const auto aside = with.spool->quarantined().value();
  REQUIRE(aside.size() == 1);
  CHECK_THAT(aside[0].reason, Catch::Contains("there is a proposal 'p1' with other content"));
  CHECK(with.psql("select impact_score from singularity.proposal") == "1");
  CHECK(with.psql("select published_total from quantumflow.get_queue_stats('patterns_for_aggregator_queue')") == "1");
}
