#include <catch2/catch.hpp>
#include <set>
#include <string>
#include <utility>

#include "singularity_agent/proposals/states.hpp"

using namespace fleet::agent::proposals;

TEST_CASE("proposal states: exactly the documented steps are allowed") {
  const std::set<std::pair<std::string, std::string>> documented{{"pending", "sent_for_consensus"},
                                                                 {"pending", "consensus_failed"},
                                                                 {"sent_for_consensus", "consensus_reached"},
                                                                 {"sent_for_consensus", "consensus_failed"},
                                                                 {"consensus_reached", "executing"},
                                                                 {"executing", "applied"},
                                                                 {"executing", "failed"},
                                                                 {"executing", "rolled_back"},
                                                                 {"executing", "rollback_failed"},
                                                                 {"applied", "rolled_back"},
                                                                 {"applied", "rollback_failed"}};
  for (const auto from : all_proposal_states) {
    for (const auto to : all_proposal_states) {
      INFO(to_string(from) << " -> " << to_string(to));
      const bool expected = documented.contains({std::string(to_string(from)), std::string(to_string(to))});
      CHECK(is_allowed(from, to) == expected);
      CHECK(check_step(from, to).has_value() == expected);
    }
  }
}

TEST_CASE("proposal states: a state is final where no step leads on") {
  std::set<std::string> finals;
  for (const auto state : all_proposal_states) {
    if (is_final(state)) finals.emplace(to_string(state));
  }
  CHECK(finals == std::set<std::string>{"consensus_failed", "failed", "rolled_back", "rollback_failed"});
}

TEST_CASE("proposal states: a refused step names both states and what is allowed") {
  const auto refused = check_step(proposal_state::executing, proposal_state::pending);
  REQUIRE(refused.has_error());
  CHECK(refused.error().kind == fleet::base::error_kind::conflict);
  CHECK(refused.error().message ==
        "a proposal that is executing cannot become pending (allowed: applied, failed, rolled_back, rollback_failed)");
  CHECK_THAT(check_step(proposal_state::failed, proposal_state::applied).error().message,
             Catch::Contains("allowed: nothing"));
}

TEST_CASE("proposal states: the text form reads back") {
  std::set<std::string> names;
  for (const auto state : all_proposal_states) {
    CHECK(parse_proposal_state(to_string(state)).value() == state);
    names.emplace(to_string(state));
  }
  CHECK(names.size() == 9);
  CHECK(parse_proposal_state("Applied").has_error());
  CHECK(parse_proposal_state("unknown").has_error());
}
