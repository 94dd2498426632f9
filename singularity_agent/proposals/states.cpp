#include "singularity_agent/proposals/states.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "common/base/text.hpp"

namespace fleet::agent::proposals {

std::string_view to_string(proposal_state state) {
  switch (state) {
    case proposal_state::pending:
      return "pending";
    case proposal_state::sent_for_consensus:
      return "sent_for_consensus";
    case proposal_state::consensus_reached:
      return "consensus_reached";
    case proposal_state::consensus_failed:
      return "consensus_failed";
    case proposal_state::executing:
      return "executing";
    case proposal_state::applied:
      return "applied";
    case proposal_state::failed:
      return "failed";
    case proposal_state::rolled_back:
      return "rolled_back";
    case proposal_state::rollback_failed:
      return "rollback_failed";
  }
  return "unknown";
}

base::result<proposal_state> parse_proposal_state(std::string_view text) {
  const auto at = std::find_if(all_proposal_states.begin(), all_proposal_states.end(),
                               [&](proposal_state state) { return to_string(state) == text; });
  if (at == all_proposal_states.end()) {
    std::string known;
    for (const auto state : all_proposal_states) known += (known.empty() ? "" : ", ") + std::string(to_string(state));
    return base::make_error(base::error_kind::invalid_input,
                            fmt::format("expected one of {}, got {}", known, base::abbreviate(text, 100)));
  }
  return *at;
}

bool is_allowed(proposal_state from, proposal_state to) {
  using enum proposal_state;
  switch (from) {
    case pending:
      return to == sent_for_consensus || to == consensus_failed;
    case sent_for_consensus:
      return to == consensus_reached || to == consensus_failed;
    case consensus_reached:
      return to == executing;
    case executing:
      return to == applied || to == failed || to == rolled_back || to == rollback_failed;
    case applied:
      return to == rolled_back || to == rollback_failed;
    case consensus_failed:
    case failed:
    case rolled_back:
    case rollback_failed:
      return false;
  }
  return false;
}

base::result<void> check_step(proposal_state from, proposal_state to) {
  if (is_allowed(from, to)) return {};
  std::string allowed;
  for (const auto state : all_proposal_states) {
    if (!is_allowed(from, state)) continue;
    if (!allowed.empty()) allowed += ", ";
    allowed += to_string(state);
  }
  return base::make_error(base::error_kind::conflict,
                          fmt::format("a proposal that is {} cannot become {} (allowed: {})", to_string(from),
                                      to_string(to), allowed.empty() ? "nothing" : allowed));
}

bool is_final(proposal_state state) {
  return std::none_of(all_proposal_states.begin(), all_proposal_states.end(),
                      [&](proposal_state to) { return is_allowed(state, to); });
}

}  // namespace fleet::agent::proposals
