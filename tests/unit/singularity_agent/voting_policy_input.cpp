#include <boost/json/parse.hpp>
#include <catch2/catch.hpp>
#include <string>

#include "singularity_agent/voting/policy_input.hpp"

namespace {

using namespace fleet::agent::voting;
using form = change_summary::form;

change_summary summary_of(std::string_view text) {
  return summarize(boost::json::parse(text).as_object());
}

constexpr std::string_view rename_patch =
    "diff --git a/old.txt b/new.txt\\nsimilarity index 100%\\nrename from old.txt\\nrename to new.txt\\n";

fleet::messages::voting_request request_with(std::string_view metadata) {
  fleet::messages::voting_request request;
  request.code_change = boost::json::parse(R"({"files": {"a": "b"}})").as_object();
  request.metadata = boost::json::parse(metadata).as_object();
  return request;
}

}  // namespace

TEST_CASE("policy input: files and patches are summarized by their paths and size") {
  const auto files = summary_of(R"({"files": {"b.txt": "12345", "a.txt": null}})");
  CHECK(files.kind == form::paths_known);
  CHECK(files.paths == std::vector<std::string>{"a.txt", "b.txt"});
  CHECK(files.bytes == 15);
  const auto patch = summary_of("{\"patch\": \"" + std::string(rename_patch) + "\"}");
  INFO(patch.problem);
  CHECK(patch.kind == form::paths_known);
  CHECK(patch.paths == std::vector<std::string>{"new.txt", "old.txt"});
}

TEST_CASE("policy input: what looks like a git change but is malformed is unreadable") {
  for (const auto* text : {R"({"patch": "not a patch"})", R"({"patch": 1})", R"({"files": {"../x": "a"}})",
                           R"({"files": {}})", R"({"patch": null, "files": "a"})"}) {
    const auto summary = summary_of(text);
    INFO(text);
    CHECK(summary.kind == form::unreadable);
    CHECK_FALSE(summary.problem.empty());
  }
}

TEST_CASE("policy input: any other change is unknown") {
  const auto summary = summary_of(R"({"model":"m"})");
  CHECK(summary.kind == form::unknown);
  CHECK(summary.bytes == 13);
}

TEST_CASE("policy input: scores, profile and metadata reach the policy") {
  auto request = request_with(R"({"blast_radius": "high", "trial_results": {"success_rate": 0.97, "error_rate": 0}})");
  request.impact_score = fleet::base::decimal::from_int(8);
  request.risk_score = fleet::base::decimal::from_int(2);
  request.profile.max_blast_radius = fleet::messages::blast_level::medium;
  request.profile.error_threshold = fleet::base::decimal::from_millionths(50'000);
  auto input = ballot_input_of(request);
  CHECK(input.impact_score.str() == "8");
  CHECK(input.risk_score.str() == "2");
  CHECK(input.trial_success_rate->str() == "0.97");
  CHECK(input.trial_error_rate->str() == "0");
  CHECK(input.error_threshold->str() == "0.05");
  CHECK(vote({}, input).reason == "blast_radius: high is above the safety profile's max_blast_radius medium");
  request.profile.max_blast_radius.reset();
  CHECK(vote({}, ballot_input_of(request)).approve);
}

TEST_CASE("policy input: trial results that are no rates count as absent") {
  for (const auto* text :
       {"{}", R"({"trial_results": 1})", R"({"trial_results": {"success_rate": "0.9"}})",
        R"({"trial_results": {"success_rate": 1.5}})", R"({"trial_results": {"success_rate": -1}})"}) {
    INFO(text);
    CHECK_FALSE(ballot_input_of(request_with(text)).trial_success_rate);
  }
}
