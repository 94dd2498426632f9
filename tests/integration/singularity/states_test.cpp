#include "singularity_agent/proposals/states.hpp"

#include <catch2/catch.hpp>
#include <set>
#include <string>

#include "tests/integration/singularity/agent_fixture.hpp"

using namespace fleet;
using namespace fleet::agent::proposals;
using test::agent_fixture;

TEST_CASE("states: the database allows the very steps that the agent's code allows") {
  agent_fixture with("agent_states");
  std::set<std::string> in_code;
  for (const auto from : all_proposal_states) {
    for (const auto to : all_proposal_states) {
      if (is_allowed(from, to)) in_code.insert(std::string(to_string(from)) + "|" + std::string(to_string(to)));
    }
  }
  const auto lines = base::split(with.ask("select * from singularity.allowed_steps()"), '\n');
  CHECK(std::set<std::string>(lines.begin(), lines.end()) == in_code);
}

TEST_CASE("states: a step that is not allowed is refused, changes nothing and leaves no history") {
  agent_fixture with("agent_refused_step");
  with.submit(agent_fixture::proposal("p1"));
  CHECK(with.ask("select * from singularity.step('agent-1', 'p1', 'applied', 'x')") == "f|pending");
  CHECK(with.ask("select * from singularity.step('agent-1', 'nobody', 'applied', 'x')") == "f|");
  CHECK(with.ask("select * from singularity.step('agent-2', 'p1', 'sent_for_consensus', 'x')") == "f|");
  CHECK(with.status("p1") == "pending");
  CHECK(with.ask("select string_agg(to_state, ',') from singularity.proposal_step") == "pending");
}
