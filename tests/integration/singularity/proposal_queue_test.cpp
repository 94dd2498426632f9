#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json/serialize.hpp>
#include <catch2/catch.hpp>

#include "singularity_agent/execution/change_preview.hpp"
#include "tests/integration/singularity/agent_fixture.hpp"

using namespace fleet;
using agent::proposals::submit_outcome;
using test::agent_fixture;

namespace {

const std::string sent_ids =
    "select string_agg(payload ->> 'proposal_id', ',' order by message_id) from "
    "quantumflow.list_pending_messages('proposals_for_consensus_queue')";

}  // namespace

TEST_CASE("proposal_queue: the same proposal again is the same answer, other content is refused") {
  agent_fixture with("agent_submit");
  const auto first = with.submit(agent_fixture::proposal("p1"));
  CHECK(first.outcome == submit_outcome::created);
  const auto again = with.submit(agent_fixture::proposal("p1"));
  CHECK(again.outcome == submit_outcome::same);
  CHECK(again.proposal.at("submitted_at") == first.proposal.at("submitted_at"));
  CHECK(with.submit(agent_fixture::proposal("p1", "three\\n")).outcome == submit_outcome::other);
  CHECK(with.ask("select count(*) from singularity.proposal_step") == "1");
}

TEST_CASE("proposal_queue: the highest priority is sent first, and waiting raises it") {
  agent_fixture with("agent_ranking");
  const std::string profile = R"("safety_profile":{})";
  with.submit(agent_fixture::proposal("low", "1", R"("impact_score":2,)" + profile));
  with.submit(agent_fixture::proposal("high", "2", R"("impact_score":9,)" + profile));
  with.submit(agent_fixture::proposal("old", "3", R"("impact_score":8.5,)" + profile));
  // A day of waiting is worth a tenth: 8.5 × 1.1 > 9.
  with.psql("update singularity.proposal set submitted_at = submitted_at - interval '1 day' where proposal_id = 'old'");
  with.send_all();
  CHECK(with.ask(sent_ids) == "old,high,low");
  CHECK(with.ask("select count(*) from singularity.proposal where status = 'sent_for_consensus'") == "3");
}

TEST_CASE("proposal_queue: an agent type's own record counts in its priority") {
  agent_fixture with("agent_record");
  with.submit(agent_fixture::proposal("before"));
  with.submit(agent_fixture::proposal("ended"));
  with.psql("update singularity.proposal set status = 'failed', ended_at = now() where proposal_id = 'ended'");
  with.send_all();
  CHECK(with.ask("select priority_score from singularity.proposal where proposal_id = 'before'") == "0");
}

TEST_CASE("proposal_queue: no more are in flight than allowed, and a decision makes room") {
  agent_fixture with("agent_in_flight");
  with.proposal_settings.max_in_flight = 1;
  with.queue = std::make_unique<agent::proposals::proposal_queue>(with.pool, with.out, with.wake, with.log,
                                                                  with.proposal_settings);
  with.make_voter();
  with.submit(agent_fixture::proposal("p1"));
  with.submit(agent_fixture::proposal("p2"));
  with.send_all();
  with.send_all();
  CHECK(with.ask(sent_ids) == "p1");
  CHECK(with.handle(with.result("p1", "rejected")).what == quantumflow::outcome::kind::done);
  with.send_all();
  CHECK(with.ask(sent_ids) == "p1,p2");
}

TEST_CASE("proposal_queue: every wrong field of a submission is named") {
  const auto wrong = agent::proposals::parse_submission(
      boost::json::parse(R"({"code_change":{"files":{"../x":"y"}},"risk_score":11,"safety_profile":[]})").as_object(),
      agent::proposals::change_form::git);
  REQUIRE(!wrong);
  std::vector<std::string> names;
  for (const auto& field : wrong.error().fields) names.push_back(field.field);
  CHECK(names == std::vector<std::string>{"agent_type", "risk_score", "safety_profile"});
}

TEST_CASE("proposal_queue: a change of whole files is sent with what it does to the files here") {
  agent_fixture with("agent_preview");
  agent::execution::git_runner git({with.git.repo, "agent", "agent@localhost"});
  const agent::execution::change_preview preview(git);
  const auto look = [&preview](boost::json::object change) { return preview.of(std::move(change)); };
  agent::proposals::proposal_queue queue(with.pool, with.out, with.wake, with.log, with.proposal_settings, look);
  with.submit(agent_fixture::proposal("p1"));
  auto patch = boost::json::parse(agent_fixture::proposal("p2")).as_object();
  patch["code_change"] = with.git.patch_line(3, "three");
  with.submit(boost::json::serialize(patch));
  CHECK(test::run(with.io, queue.send_best()) == 2);
  const auto of = [&](const std::string& id) {
    return with.ask(
        "select payload -> 'preview' from quantumflow.list_pending_messages('proposals_for_consensus_queue') "
        "where payload ->> 'proposal_id' = '" +
        id + "'");
  };
  const auto sent = boost::json::parse(of("p1")).as_object();
  CHECK(sent.at("commit").as_string() == with.git.head());
  CHECK(sent.at("files").at("b.txt") == "@@ -1 +1 @@\n-one\n+two\n");
  CHECK(of("p2") == "");
}

TEST_CASE("proposal_queue: a git that is slow holds up no proposal, only the pictures of what it would have shown") {
  agent_fixture with("agent_slow_preview");
  int looked = 0;
  const auto slow = [&](boost::json::object) -> boost::asio::awaitable<std::optional<boost::json::object>> {
    ++looked;
    boost::asio::steady_timer git(with.io, std::chrono::milliseconds(1'200));
    co_await git.async_wait(boost::asio::use_awaitable);
    co_return boost::json::object{{"commit", "c"}, {"files", boost::json::object()}};
  };
  agent::proposals::proposal_queue queue(with.pool, with.out, with.wake, with.log, with.proposal_settings, slow);
  for (const auto* id : {"p1", "p2", "p3", "p4", "p5"}) with.submit(agent_fixture::proposal(id));
  CHECK(test::run(with.io, queue.send_best()) == 5);
  CHECK(looked == 2);
}

TEST_CASE("proposal_queue: a message has no more bytes than the submission was measured by") {
  agent_fixture with("agent_measured");
  std::string figures = "12.5";
  for (int i = 1; i < 1'390'000; ++i) figures += ",12.5";
  // As jsonb's text, "12.5, ", just below the 8 MiB of the queue.
  with.submit(
      agent_fixture::proposal("p1", "two\\n", R"("safety_profile":{},"metadata":{"figures":[)" + figures + "]}"));
  with.submit(agent_fixture::proposal("p2"));
  with.send_all();
  CHECK(with.ask("select string_agg(status, ',') from singularity.proposal") ==
        "sent_for_consensus,sent_for_consensus");
}

TEST_CASE("proposal_queue: one whose message is refused for good ends with the reason, and holds nobody up") {
  agent_fixture with("agent_refused_message");
  for (const auto* id : {"p1", "p2", "p3"}) with.submit(agent_fixture::proposal(id));
  SECTION("by the queue") {
    // Accepted when it was measured, and larger than the queue takes now.
    with.psql(
        "update singularity.proposal set metadata = jsonb_build_object('text', repeat('x', 9000000)) "
        "where proposal_id = 'p2'");
  }
  SECTION("by the message's own rules") {
    with.psql("update singularity.proposal set metadata = '{\"blast_radius\": -1}' where proposal_id = 'p2'");
  }
  while (test::run(with.io, with.queue->send_best()) > 0) {
  }
  CHECK(with.ask(sent_ids) == "p1,p3");
  CHECK(with.status("p2") == "consensus_failed");
  const auto failure = with.ask("select singularity.story('agent-1', 'p2') ->> 'failure'");
  CHECK_THAT(failure, Catch::StartsWith("it cannot be sent: "));
  CHECK(with.ask("select p ->> 'failure' from singularity.list_proposals('agent-1', 'consensus_failed', 9, null) p") ==
        failure);
  CHECK(with.ask("select cause from singularity.proposal_step where to_state = 'consensus_failed'") == failure);
}
