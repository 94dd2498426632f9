// The states of a proposal in the agent, and the only steps between them. Pure.
//
//   pending → sent_for_consensus → consensus_reached → executing → applied
//                                ↘ consensus_failed             ↘ failed
//   executing | applied → rolled_back | rollback_failed
//   pending → consensus_failed: the queue refuses its message for good
#pragma once
#include <array>
#include <string_view>

#include "common/base/error.hpp"

namespace fleet::agent::proposals {

enum class proposal_state {
  pending,
  sent_for_consensus,
  consensus_reached,
  consensus_failed,
  executing,
  applied,
  failed,
  rolled_back,
  rollback_failed
};

inline constexpr std::array all_proposal_states{
    proposal_state::pending,          proposal_state::sent_for_consensus, proposal_state::consensus_reached,
    proposal_state::consensus_failed, proposal_state::executing,          proposal_state::applied,
    proposal_state::failed,           proposal_state::rolled_back,        proposal_state::rollback_failed};

std::string_view to_string(proposal_state state);
/// Error `invalid_input`: no such state, with those there are.
base::result<proposal_state> parse_proposal_state(std::string_view text);

bool is_allowed(proposal_state from, proposal_state to);
/// Error `conflict` that names both states and what would be allowed.
base::result<void> check_step(proposal_state from, proposal_state to);
/// No step leads on. `applied` is not final: a breach may still take it back.
bool is_final(proposal_state state);

}  // namespace fleet::agent::proposals
