// The parts that several messages share: metrics, safety profile, blast radius, metadata, votes; and the queues.
#include <boost/json/parse.hpp>
#include <catch2/catch.hpp>
#include <set>

#include "common/base/json.hpp"
#include "common/messages/blast_radius.hpp"
#include "common/messages/metrics.hpp"
#include "common/messages/proposal_metadata.hpp"
#include "common/messages/queues.hpp"
#include "common/messages/rollback_trigger.hpp"
#include "common/messages/safety_profile.hpp"
#include "common/messages/safety_profile_update.hpp"
#include "common/messages/vote_choice.hpp"

using namespace fleet;
using namespace fleet::messages;
using Catch::Matchers::Contains;

namespace {

boost::json::object parse(std::string_view text) {
  return base::parse_json_object(text).value();
}

base::decimal number(std::string_view text) {
  return base::decimal::parse(text).value();
}

}  // namespace

TEST_CASE("metrics: known and unknown numeric metrics are kept, with their sample sizes") {
  const auto body =
      parse(R"({"success_rate":0.97,"success_rate_n":120,"queue_depth":-2.5,"cpu_usage":380,"empty":null})");
  reader in(body);
  const auto metrics = read_metrics(in);
  REQUIRE(in.ok());
  CHECK(metrics == metric_set{{"success_rate", number("0.97")},
                              {"success_rate_n", number("120")},
                              {"queue_depth", number("-2.5")},
                              {"cpu_usage", number("380")}});
  CHECK(sample_size(metrics, "success_rate") == number("120"));
  CHECK(sample_size(metrics, "cpu_usage") == std::nullopt);
  CHECK(encode_metrics(metrics) ==
        parse(R"({"cpu_usage":380,"queue_depth":-2.5,"success_rate":0.97,"success_rate_n":120})"));
}

TEST_CASE("metrics: every wrong value is named, and so is a wrong name") {
  boost::json::object body = parse(R"({"error_rate":1.5,"memory":-1,"own":"5","fine":1,"huge":1e200})");
  body["a\nb"] = 1;
  body[std::string(101, 'x')] = 1;
  reader in(body);
  read_metrics(in);
  CHECK(in.error().fields.size() == 6);
  CHECK_THAT(in.error().message, Contains("error_rate: expected a number from 0 to 1, got 1.5") &&
                                     Contains("memory: expected a number of at least 0, got -1") &&
                                     Contains("own: expected a number, got the text \"5\"") &&
                                     Contains("huge: expected a number, got a number too large to be taken"));
}

TEST_CASE("metrics: at most 200 are taken") {
  boost::json::object body;
  for (int i = 0; i < 200; ++i) body["m" + std::to_string(i)] = i;
  reader enough(body);
  CHECK(read_metrics(enough).size() == 200);
  CHECK(enough.ok());
  body["one_more"] = 1;
  reader in(body);
  CHECK(read_metrics(in).empty());
  CHECK_THAT(in.error().message, Contains("at most 200 metrics, got 201"));
}

TEST_CASE("metrics: each known one has its range") {
  CHECK(known_metrics().size() == 9);
  for (const auto& metric : known_metrics()) {
    CAPTURE(metric.name);
    const bool is_rate = metric.name == "success_rate" || metric.name == "error_rate";
    CHECK(metric_range(metric.name) == (is_rate ? unit_range : non_negative));
    CHECK(metric_range(std::string(metric.name) + "_n") == non_negative);
  }
  CHECK(metric_range("own") == any_number);
}

TEST_CASE("safety profile: an empty one is a profile, and names nothing") {
  const boost::json::object body;
  reader in(body);
  CHECK(safety_profile::read(in) == safety_profile{});
  CHECK(in.ok());
  CHECK(safety_profile{}.encode().empty());
}

TEST_CASE("safety profile: all wrong fields at once") {
  const auto body = parse(R"({"success_rate":2,"error_threshold":"x","latency_threshold":-1,"cost_threshold":[],
      "needs_consensus":"no","max_risk_score":0,"max_blast_radius":"all","auto_rollback":1,"max_error_count":0.5,
      "observation_window_seconds":0})");
  reader in(body);
  safety_profile::read(in);
  CHECK(in.error().fields.size() == 10);
}

TEST_CASE("blast radius: compared within its own kind only") {
  const blast_radius low = blast_level::low;
  const blast_radius high = blast_level::high;
  const blast_radius three = number("3");
  CHECK(exceeds(high, low) == true);
  CHECK(exceeds(low, high) == false);
  CHECK(exceeds(low, low) == false);
  CHECK(exceeds(three, blast_radius(number("2.9"))) == true);
  CHECK(exceeds(three, three) == false);
  CHECK(exceeds(three, low) == std::nullopt);
  CHECK(exceeds(low, three) == std::nullopt);
  CHECK(to_string(blast_level::medium) == "medium");
  CHECK(parse_blast_radius("wide") == std::nullopt);
  CHECK(parse_blast_radius(-1) == std::nullopt);
}

TEST_CASE("proposal metadata: change type and blast radius are found, whatever else is there") {
  CHECK(change_type_of(parse(R"({"change_type":"cache_improvement"})")) == "cache_improvement");
  CHECK(change_type_of({}).empty());
  CHECK(change_type_of(parse(R"({"change_type":5})")).empty());
  CHECK(blast_radius_of(parse(R"({"blast_radius":"high"})")) == blast_radius(blast_level::high));
  CHECK(blast_radius_of(parse(R"({"blast_radius":7})")) == blast_radius(number("7")));
  CHECK(blast_radius_of(parse(R"({"blast_radius":"a whole region"})")) == std::nullopt);
  CHECK(blast_radius_of({}) == std::nullopt);
}

TEST_CASE("words: each value has a text that reads back") {
  CHECK(parse_vote_choice("approve") == vote_choice::approve);
  CHECK(parse_vote_choice(to_string(vote_choice::reject)) == vote_choice::reject);
  CHECK(parse_vote_choice("Approve") == std::nullopt);
  CHECK(parse_breach_severity("critical") == breach_severity::critical);
  CHECK(parse_breach_severity(to_string(breach_severity::low)) == breach_severity::low);
  CHECK(parse_breach_severity("") == std::nullopt);
}

TEST_CASE("queues: the ten of the format reference, with their defaults") {
  std::set<std::string_view> names;
  for (const auto& queue : all_queues()) {
    CAPTURE(queue.name);
    names.insert(queue.name);
    CHECK(queue.max_retries == 3);
    CHECK(queue.retry_delay_ms == 1000);
    CHECK((queue.workers == 0) == (queue.read_by == queue_reader::outside));
    CHECK(find_queue(queue.name) == &queue);
  }
  CHECK(names == std::set<std::string_view>{"proposals_for_consensus_queue", "votes_for_consensus_queue",
                                            "metrics_to_guardian_queue", "patterns_for_aggregator_queue",
                                            "voting_requests_queue", "consensus_results_queue",
                                            "rollback_triggers_queue", "guardian_safety_profiles_queue",
                                            "consensus_patterns_queue", "learning_loop_completed_queue"});
  CHECK(find_queue(queues::proposals_for_consensus)->workers == 3);
  CHECK(find_queue(queues::votes_for_consensus)->workers == 3);
  CHECK(find_queue(queues::metrics_to_guardian)->workers == 2);
  CHECK(find_queue(queues::rollback_triggers)->message_type == rollback_trigger::type_name);
  CHECK(find_queue("other_queue") == nullptr);
}
