#include <boost/json/serialize.hpp>
#include <catch2/catch.hpp>

#include "tests/integration/singularity/intake_fixture.hpp"

using namespace fleet;
using namespace fleet::test;
using agent::intake::kind;

namespace {

const std::string trace_a = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const std::string trace_b = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
const std::string trace_c = "00-11111111111111111111111111111111-2222222222222222-01";

}  // namespace

TEST_CASE("intake: what was kept in an outage keeps its traceparent; one that is none counts as absent") {
  intake_fixture with("intake_traces");
  with.approve("p1");
  REQUIRE(with.execute());
  with.report_all();
  const auto traced = [&](kind what, const std::string& text, const std::string& traceparent) {
    auto body = boost::json::parse(text).as_object();
    body["traceparent"] = traceparent;
    CHECK(with.take(what, boost::json::serialize(body)).spooled);
  };
  traced(kind::pattern, pattern, trace_a);
  traced(kind::pattern, pattern, "00-nonsense");
  traced(kind::proposal_metrics, R"({"proposal_id":"p1","metrics":{"error_rate":0.02}})", trace_b);
  traced(kind::proposal_metrics, R"({"proposal_id":"p1","metrics":{"error_rate":0.03}})", "7");
  traced(kind::agent_metrics, R"({"agent_type":"BugFixerAgent","metrics":{"queue_depth":3}})", trace_c);
  with.reopen(with.pool);
  with.replay();
  with.report_all();
  const auto sent = [&](const std::string& queue, const std::string& field) {
    return with.psql("select string_agg(coalesce(payload ->> '" + field +
                     "', 'none'), ' ' order by message_id) from quantumflow.list_pending_messages('" + queue +
                     "') where coalesce(payload ->> 'status', 'monitoring') = 'monitoring'");
  };
  CHECK(sent("patterns_for_aggregator_queue", "traceparent") == trace_a + " none");
  CHECK(sent("metrics_to_guardian_queue", "metrics_traceparent") == trace_b + " none");
  const auto of_proposal = with.psql("select traceparent from singularity.proposal where proposal_id = 'p1'");
  CHECK(sent("metrics_to_guardian_queue", "traceparent") == of_proposal + " " + of_proposal);
  // What an agent told goes with the next sample.
  with.sample_watched();
  CHECK(sent("metrics_to_guardian_queue", "metrics_traceparent") == trace_b + " none " + trace_c);
  with.take(kind::agent_metrics, R"({"agent_type":"BugFixerAgent","metrics":{"queue_depth":4}})");
  with.sample_watched();
  CHECK(sent("metrics_to_guardian_queue", "metrics_traceparent") == trace_b + " none " + trace_c + " none");
}
