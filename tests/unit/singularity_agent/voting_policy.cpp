#include <catch2/catch.hpp>

#include "singularity_agent/voting/policy.hpp"

namespace {

using namespace fleet::agent::voting;
using fleet::base::decimal;

decimal number(std::string_view text) {
  return decimal::parse(text).value();
}

ballot_input good() {
  ballot_input input;
  input.change = {change_summary::form::paths_known, {"src/main.py"}, 100, ""};
  input.impact_score = number("8");
  input.risk_score = number("1");
  input.trial_success_rate = number("0.97");
  return input;
}

policy_settings strict() {
  policy_settings settings;
  settings.denied_paths = {"deploy/secrets", "*.pem"};
  return settings;
}

/// The rule that decided: the word before the colon.
std::string rule_of(const ballot& of) {
  return of.reason.substr(0, of.reason.find(':'));
}

template <class Change>
ballot changed(Change change) {
  auto input = good();
  change(input);
  return vote(strict(), input);
}

}  // namespace

TEST_CASE("policy voter: approves within bounds, less sure the higher the risk") {
  const std::vector<std::pair<std::string, std::string>> rows{
      {"1", "0.968"}, {"2.5", "0.95"}, {"5", "0.92"}, {"8", "0.884"}};
  for (const auto& [risk, confidence] : rows) {
    const auto answer = changed([&given = risk](ballot_input& input) { input.risk_score = number(given); });
    INFO(answer.reason);
    CHECK(answer.approve);
    CHECK(answer.confidence.str() == confidence);
    CHECK(rule_of(answer) == "within_policy");
  }
}

TEST_CASE("policy voter: without trial results a little less sure, never below 0.85") {
  const auto untried = changed([](ballot_input& input) { input.trial_success_rate.reset(); });
  CHECK(untried.approve);
  CHECK(untried.confidence.str() == "0.948");
  policy_settings open;
  open.max_risk_score = number("10");
  auto input = good();
  input.trial_success_rate.reset();
  input.risk_score = number("10");
  CHECK(vote(open, input).confidence.str() == "0.85");
}

TEST_CASE("policy voter: a hard violation is a veto and names its rule") {
  using form = change_summary::form;
  const std::vector<std::pair<std::string, ballot>> rows{
      {"unreadable_change", changed([](ballot_input& i) {
         i.change = {form::unreadable, {}, 10, "no hunk"};
       })},
      {"unreadable_change", changed([](ballot_input& i) { i.change.paths.clear(); })},
      {"unknown_change", changed([](ballot_input& i) {
         i.change = {form::unknown, {}, 10, ""};
       })},
      {"change_size", changed([](ballot_input& i) { i.change.bytes = 1'000'001; })},
      {"unsafe_path", changed([](ballot_input& i) { i.change.paths = {"src/../deploy/secrets/x"}; })},
      {"unsafe_path", changed([](ballot_input& i) { i.change.paths = {"/etc/passwd"}; })},
      {"denied_path", changed([](ballot_input& i) {
         i.change.paths = {"a", "deploy/secrets/key"};
       })},
      {"denied_path", changed([](ballot_input& i) { i.change.paths = {"x/y/server.pem"}; })},
      {"risk_score", changed([](ballot_input& i) { i.risk_score = number("8.000001"); })},
      {"blast_radius", changed([](ballot_input& i) {
         i.blast_radius = number("5.000001");
         i.max_blast_radius = number("5");
       })},
      {"blast_radius", changed([](ballot_input& i) {
         i.blast_radius = fleet::messages::blast_level::high;
         i.max_blast_radius = fleet::messages::blast_level::medium;
       })}};
  for (const auto& [rule, answer] : rows) {
    INFO(answer.reason);
    CHECK(rule_of(answer) == rule);
    CHECK_FALSE(answer.approve);
    CHECK(answer.confidence.str() == "0.95");
  }
}

TEST_CASE("policy voter: a weak violation is no veto") {
  const std::vector<std::pair<std::string, ballot>> rows{
      {"blast_radius", changed([](ballot_input& i) {
         i.blast_radius = number("1");
         i.max_blast_radius = fleet::messages::blast_level::high;
       })},
      {"impact_score", changed([](ballot_input& i) { i.impact_score = number("0.999999"); })},
      {"benefit_ratio", changed([](ballot_input& i) {
         i.impact_score = number("1.999999");
         i.risk_score = number("4");
       })},
      {"trial_success_rate", changed([](ballot_input& i) { i.trial_success_rate = number("0.899999"); })},
      {"trial_error_rate", changed([](ballot_input& i) { i.trial_error_rate = number("0.100001"); })},
      {"trial_error_rate", changed([](ballot_input& i) {
         i.trial_error_rate = number("0.05");
         i.error_threshold = number("0.04");
       })}};
  for (const auto& [rule, answer] : rows) {
    INFO(answer.reason);
    CHECK(rule_of(answer) == rule);
    CHECK_FALSE(answer.approve);
    CHECK(answer.confidence.str() == "0.88");
  }
}

TEST_CASE("policy voter: a value on its bound passes") {
  const auto answer = changed([](ballot_input& i) {
    i.impact_score = number("4");
    i.risk_score = number("8");
    i.blast_radius = number("5");
    i.max_blast_radius = number("5");
    i.trial_success_rate = number("0.9");
    i.trial_error_rate = number("0.1");
    i.change.bytes = 1'000'000;
  });
  INFO(answer.reason);
  CHECK(answer.approve);
}

TEST_CASE("policy voter: a hard violation outranks a weak one") {
  const auto answer = changed([](ballot_input& i) {
    i.impact_score = number("0");
    i.risk_score = number("9");
  });
  CHECK(rule_of(answer) == "risk_score");
}

TEST_CASE("policy voter: unknown changes are voted on where allowed") {
  policy_settings open;
  open.allow_unknown = true;
  auto input = good();
  input.change = {change_summary::form::unknown, {}, 10, ""};
  CHECK(vote(open, input).approve);
}

TEST_CASE("policy voter: path patterns") {
  struct row {
    std::string pattern, path;
    bool matches;
  };
  for (const auto& each : std::vector<row>{{"*.pem", "a.pem", true},
                                           {"*.pem", "x/y/a.pem", true},
                                           {"*.pem", "a.pem.txt", false},
                                           {".env", "app/.env", true},
                                           {"secrets", "a/secrets/b", true},
                                           {"secrets", "a/secrets2/b", false},
                                           {"secrets/", "a/secrets/b", true},
                                           {"deploy/secrets", "deploy/secrets", true},
                                           {"deploy/secrets", "deploy/secrets/a/b", true},
                                           {"deploy/secrets", "x/deploy/secrets", false},
                                           {"deploy/secrets", "deploy/secrets-old", false},
                                           {"/README.md", "README.md", true},
                                           {"/README.md", "docs/README.md", false},
                                           {"./src/*.c", "src/a.c", true},
                                           {"src/*.c", "src/deep/a.c", false},
                                           {"src/**/a.c", "src/a.c", true},
                                           {"src/**/a.c", "src/x/y/a.c", true},
                                           {"src/**/a.c", "src/xa.c", false},
                                           {"src/**", "src/x/y", true},
                                           {"src/**", "srcs/x", false},
                                           {"**/ci.yml", "ci.yml", true},
                                           {"**/ci.yml", "a/b/ci.yml", true},
                                           {"**", "anything/at/all", true},
                                           {"a?c/x", "abc/x", true},
                                           {"a?c/x", "a/c/x", false},
                                           {"", "a", false},
                                           {"/", "a", false}}) {
    INFO(each.pattern << " ~ " << each.path);
    CHECK(path_matches(each.pattern, each.path) == each.matches);
  }
}

TEST_CASE("policy voter: a hostile pattern takes no exponential time") {
  std::string pattern;
  for (int i = 0; i < 200; ++i) pattern += "*a";
  CHECK_FALSE(path_matches(pattern + "b/x", std::string(4'000, 'a')));
}

TEST_CASE("policy settings: every value out of range is named") {
  CHECK(check(policy_settings{}).has_value());
  policy_settings wrong;
  wrong.max_risk_score = number("11");
  wrong.min_trial_success_rate = number("1.1");
  wrong.max_change_bytes = 0;
  wrong.denied_paths = {""};
  const auto answer = check(wrong);
  REQUIRE(answer.has_error());
  CHECK(answer.error().fields.size() == 4);
}
