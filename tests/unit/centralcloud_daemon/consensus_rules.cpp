#include <algorithm>
#include <catch2/catch.hpp>
#include <random>
#include <string>
#include <vector>

#include "centralcloud_daemon/consensus/rules.hpp"

namespace {

using namespace fleet::central::consensus;
using fleet::base::decimal;
using enum decision_state;

decimal number(std::string_view text) {
  return decimal::parse(text).value();
}

/// "a .95, r .90": the notation of the rules' table.
std::vector<counted_vote> votes_of(const std::string& text) {
  std::vector<counted_vote> votes;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find(',', at), text.size());
    const auto word = text.substr(at, end - at);
    votes.push_back({"instance-" + std::to_string(votes.size()), word[0] == 'a', number("0" + word.substr(2))});
    at = end + 2;
  }
  return votes;
}

struct row {
  std::string votes;
  decision_state state;
  decision_rule rule;
  std::int64_t electorate = 10;
  bool deadline_passed = false;
};

void check_rows(const std::vector<row>& rows, const consensus_settings& settings = {}) {
  for (const auto& each : rows) {
    const auto votes = votes_of(each.votes);
    const auto answer = evaluate(settings, {votes, each.electorate, each.deadline_passed});
    INFO(each.votes << " of " << each.electorate << " -> " << answer.rationale);
    CHECK(to_string(answer.state) == to_string(each.state));
    CHECK(to_string(answer.rule) == to_string(each.rule));
    CHECK(answer.rationale.starts_with(each.state == undecided ? "undecided" : to_string(each.rule)));
  }
}

}  // namespace

TEST_CASE("consensus rules: the documented table holds") {
  check_rows({{"a .95, a .90, a .85", approved, decision_rule::consensus},
              {"a .90, a .85, a .80", approved, decision_rule::consensus},
              {"a .95, a .90, r .92", rejected, decision_rule::strong_rejection},
              {"a .95, a .90, r .90", approved, decision_rule::consensus},
              {"a .92, a .88, a .90, r .60", undecided, decision_rule::none},
              {"a .92, a .88, a .90, r .60", rejected, decision_rule::no_consensus, 4},
              {"a .99, a .99", undecided, decision_rule::none},
              {"r .91", rejected, decision_rule::strong_rejection},
              {"r .90, r .90, a .90", rejected, decision_rule::majority_reject},
              {"a .86, a .86, r .86, r .86", undecided, decision_rule::none}});
}

TEST_CASE("consensus rules: the reported confidence is the mean of all votes") {
  const auto mean = [](const std::string& text) {
    const auto votes = votes_of(text);
    return evaluate({}, {votes, 10, false}).confidence.str();
  };
  CHECK(mean("a .95, a .90, a .85") == "0.9");
  CHECK(mean("a .90, a .85, a .80") == "0.85");
  CHECK(mean("a .95, a .90, r .90") == "0.916667");
  CHECK(mean("a .92, a .88, a .90, r .60") == "0.825");
  CHECK(evaluate({}, {{}, 10, false}).confidence == decimal{});
}

TEST_CASE("consensus rules: a millionth on either side of a bound decides") {
  check_rows({{"r .900000", undecided, decision_rule::none},
              {"r .900001", rejected, decision_rule::strong_rejection},
              {"a .850000, a .850000, a .850000", approved, decision_rule::consensus},
              {"a .850000, a .850000, a .849999", undecided, decision_rule::none},
              {"a .850000, a .849999, a .850001", approved, decision_rule::consensus},
              {"r .850000, r .850000, a .850000", rejected, decision_rule::majority_reject},
              {"r .850000, r .850000, a .849999", undecided, decision_rule::none}});
}

TEST_CASE("consensus rules: a mean that only rounds up to the bound does not meet it") {
  // The sum is one millionth short over four votes: 0.84999975, shown as 0.85.
  const auto votes = votes_of("a .850000, a .850000, a .850000, a .849999");
  const auto answer = evaluate({}, {votes, 10, false});
  CHECK(answer.confidence.str() == "0.85");
  CHECK(to_string(answer.state) == "undecided");
}

TEST_CASE("consensus rules: the approval ratio is exact") {
  check_rows({{"a .90, a .90, r .90", approved, decision_rule::consensus},
              {"a .90, a .90, a .90, r .90, r .90", undecided, decision_rule::none},
              {"a .90, a .90, a .90, a .90, r .90, r .90", approved, decision_rule::consensus}});
  consensus_settings decimal_ratio;
  decimal_ratio.approval_ratio = parse_ratio("0.666667").value();
  check_rows({{"a .90, a .90, r .90", undecided, decision_rule::none}}, decimal_ratio);
}

TEST_CASE("consensus rules: the deadline rejects only what nothing else decides") {
  check_rows({{"", rejected, decision_rule::timeout, 10, true},
              {"a .99, a .99", rejected, decision_rule::timeout, 10, true},
              {"a .86, a .86, r .86, r .86", rejected, decision_rule::timeout, 10, true},
              {"a .86, a .86, r .86, r .86", rejected, decision_rule::no_consensus, 4, true},
              {"a .95, a .90, a .85", approved, decision_rule::consensus, 10, true},
              {"r .91", rejected, decision_rule::strong_rejection, 10, true},
              {"", undecided, decision_rule::none}});
}

TEST_CASE("consensus rules: an electorate below the required votes waits for its deadline") {
  check_rows({{"a .99, a .99", undecided, decision_rule::none, 2},
              {"a .99, a .99", rejected, decision_rule::timeout, 2, true},
              {"a .99, r .99", rejected, decision_rule::strong_rejection, 2},
              {"", undecided, decision_rule::none, 0}});
}

TEST_CASE("consensus rules: the quorum raises the required votes, rounded up") {
  consensus_settings settings;
  CHECK(required_votes(settings, 100) == 3);
  settings.quorum_fraction = number("0.5");
  CHECK(required_votes(settings, 0) == 3);
  CHECK(required_votes(settings, 6) == 3);
  CHECK(required_votes(settings, 7) == 4);
  settings.quorum_fraction = number("0.333333");
  CHECK(required_votes(settings, 12) == 4);
  settings.quorum_fraction = number("0.333334");
  CHECK(required_votes(settings, 12) == 5);
  settings.quorum_fraction = number("1");
  check_rows({{"a .99, a .99, a .99", undecided, decision_rule::none, 4},
              {"a .99, a .99, a .99, a .99", approved, decision_rule::consensus, 4}},
             settings);
}

TEST_CASE("consensus rules: no decision is ever made on no votes") {
  consensus_settings settings;
  settings.min_votes = 0;
  CHECK(required_votes(settings, 0) == 1);
  CHECK(evaluate(settings, {{}, 0, false}).state == undecided);
  CHECK(check(settings).error().fields.at(0).field == "min_votes");
}

TEST_CASE("consensus rules: the rationale carries the figures") {
  const auto say = [](const std::string& text, std::int64_t electorate, bool late) {
    const auto votes = votes_of(text);
    return evaluate({}, {votes, electorate, late}).rationale;
  };
  CHECK(say("a .95, a .90, r .90", 10, false) ==
        "consensus: 2 of 3 votes approve (needed: 2/3), mean confidence 0.916667 (needed: 0.85)");
  CHECK(say("a .95, r .92, r .97", 10, false) ==
        "strong_rejection: instance-2 rejects with confidence 0.97, above 0.9");
  CHECK(say("r .90, r .90, a .90", 10, false) ==
        "majority_reject: 2 of 3 votes reject, mean confidence 0.9 (needed: 0.85)");
  CHECK(say("a .99", 10, true) == "timeout: at the deadline 1 of 3 votes needed have come, 1 of them approve");
}

namespace {

std::vector<counted_vote> random_votes(std::mt19937& random) {
  // Few distinct confidences around the bounds, so that every rule and border is met often.
  const std::vector<std::int64_t> levels{0, 600'000, 800'000, 849'999, 850'000, 850'001, 900'000, 900'001, 1'000'000};
  std::vector<counted_vote> votes(random() % 8);
  for (std::size_t i = 0; i < votes.size(); ++i) {
    votes[i] = {"instance-" + std::to_string(i), random() % 3 != 0,
                decimal::from_millionths(levels[random() % levels.size()])};
  }
  return votes;
}

/// The six rules as the document words them, written a second time.
decision_rule by_the_book(const std::vector<counted_vote>& votes, std::int64_t electorate, bool late) {
  std::int64_t approvals = 0;
  std::int64_t sum = 0;
  for (const auto& vote : votes) {
    if (!vote.approve && vote.confidence.millionths() > 900'000) return decision_rule::strong_rejection;
    approvals += vote.approve ? 1 : 0;
    sum += vote.confidence.millionths();
  }
  const auto count = static_cast<std::int64_t>(votes.size());
  if (count >= 3) {
    if (3 * approvals >= 2 * count && sum >= 850'000 * count) return decision_rule::consensus;
    if (count - approvals > approvals && sum >= 850'000 * count) return decision_rule::majority_reject;
    if (count == electorate) return decision_rule::no_consensus;
  }
  return late ? decision_rule::timeout : decision_rule::none;
}

}  // namespace

TEST_CASE("consensus rules: random votes are decided by the book, in any order of arrival") {
  std::mt19937 random(20'261);
  for (int round = 0; round < 20'000; ++round) {
    auto votes = random_votes(random);
    const auto electorate = static_cast<std::int64_t>(votes.size() + random() % 3);
    const bool late = random() % 2 == 0;
    const auto answer = evaluate({}, {votes, electorate, late});
    INFO("round " << round << ": " << answer.rationale);
    REQUIRE(to_string(answer.rule) == to_string(by_the_book(votes, electorate, late)));
    REQUIRE((answer.state == approved) == (answer.rule == decision_rule::consensus));
    REQUIRE((answer.state == undecided) == (answer.rule == decision_rule::none));
    std::shuffle(votes.begin(), votes.end(), random);
    const auto again = evaluate({}, {votes, electorate, late});
    REQUIRE(again.rationale == answer.rationale);
    REQUIRE(again.confidence == answer.confidence);
  }
}

TEST_CASE("consensus rules: no later vote and no deadline undoes a strong rejection") {
  std::mt19937 random(7);
  for (int round = 0; round < 5'000; ++round) {
    auto votes = random_votes(random);
    votes.push_back({"veto", false, decimal::from_millionths(900'001)});
    for (int more = 0; more < 5; ++more) {
      votes.push_back({"later-" + std::to_string(more), random() % 8 != 0, number("1")});
      const auto electorate = static_cast<std::int64_t>(votes.size());
      REQUIRE(evaluate({}, {votes, electorate, random() % 2 == 0}).rule == decision_rule::strong_rejection);
    }
  }
}

TEST_CASE("consensus rules: the deadline changes no decision, it only ends being undecided") {
  std::mt19937 random(11);
  for (int round = 0; round < 5'000; ++round) {
    const auto votes = random_votes(random);
    const auto before = evaluate({}, {votes, 8, false});
    const auto after = evaluate({}, {votes, 8, true});
    REQUIRE(after.state != undecided);
    REQUIRE(after.rule == (before.state == undecided ? decision_rule::timeout : before.rule));
  }
}

TEST_CASE("before voting: a profile without a vote decides up to its risk bound") {
  const auto rule_for = [](std::optional<bool> needs, std::string_view risk, std::optional<decimal> bound) {
    candidate proposal;
    proposal.needs_consensus = needs;
    proposal.risk_score = number(risk);
    proposal.risk_bound = bound;
    const auto answer = before_voting({}, proposal);
    return answer ? std::string(to_string(answer->rule)) : "vote";
  };
  CHECK(rule_for(false, "3", std::nullopt) == "not_required");
  CHECK(rule_for(false, "3.000001", std::nullopt) == "vote");
  CHECK(rule_for(false, "6", number("6")) == "not_required");
  CHECK(rule_for(false, "6.000001", number("6")) == "vote");
  CHECK(rule_for(false, "8", number("10")) == "not_required");
  CHECK(rule_for(false, "8.000001", number("10")) == "vote");
  CHECK(rule_for(true, "1", std::nullopt) == "vote");
  CHECK(rule_for(std::nullopt, "1", std::nullopt) == "vote");
}

TEST_CASE("before voting: automatic approval needs the switch, history and similarity") {
  consensus_settings settings;
  candidate proposal;
  proposal.risk_score = number("8");
  proposal.best_similarity = number("0.9");
  proposal.confirmed_history = 10;
  CHECK_FALSE(before_voting(settings, proposal));
  settings.auto_approve = true;
  const auto answer = before_voting(settings, proposal);
  REQUIRE(answer);
  CHECK(answer->state == approved);
  CHECK(to_string(answer->rule) == "auto_approved");
  const auto refuses = [&](auto change) {
    auto other = proposal;
    change(other);
    return !before_voting(settings, other);
  };
  CHECK(refuses([](candidate& c) { c.confirmed_history = 9; }));
  CHECK(refuses([](candidate& c) { c.best_similarity = decimal::from_millionths(899'999); }));
  CHECK(refuses([](candidate& c) { c.best_similarity.reset(); }));
  CHECK(refuses([](candidate& c) { c.risk_score = decimal::from_millionths(8'000'001); }));
}

TEST_CASE("consensus settings: ratios are read exactly") {
  CHECK(parse_ratio("2/3").value() == ratio{2, 3});
  CHECK(parse_ratio("0.75").value() == ratio{3, 4});
  CHECK(parse_ratio("1").value() == ratio{1, 1});
  CHECK(to_string(ratio{2, 3}) == "2/3");
  for (const auto* text : {"", "/", "2/", "/3", "2/0", "0/3", "-1/3", "4/3", "1.5", "0", "-0.5", "2 / 3", "2/3/4",
                           "1/1000001", "two", "nan"}) {
    INFO(text);
    CHECK(parse_ratio(text).has_error());
  }
}

TEST_CASE("consensus settings: every value out of range is named") {
  CHECK(check({}).has_value());
  consensus_settings wrong;
  wrong.min_votes = 0;
  wrong.approval_ratio = {4, 3};
  wrong.min_confidence = number("1.000001");
  wrong.veto_confidence = number("-0.1");
  wrong.quorum_fraction = number("2");
  wrong.always_vote_above = number("11");
  wrong.auto_approve_min_history = 0;
  const auto answer = check(wrong);
  REQUIRE(answer.has_error());
  CHECK(answer.error().fields.size() == 7);
}
