// Following one proposal to its end: each step printed with its time.
#pragma once
#include <boost/json/object.hpp>
#include <cstddef>
#include <iosfwd>
#include <string>

#include "singularity_agent/cli/session.hpp"

namespace fleet::agent::cli {

/// How a story ended: 0 applied and watched to the end, 1 anything else; nothing while it goes on. Pure.
std::optional<int> ending_of(const boost::json::object& story);

/// The steps of a story from the given one on, one line each: "12:30:01.250  pending → sent_for_consensus  cause"; with
/// `json` one object a line. Returns how many steps the story has.
std::size_t print_steps(std::ostream& out, const boost::json::object& story, std::size_t from, bool json);

/// Polls the agent until the story ends; a while without an answer is waited for, a long one where the proposal is in
/// the agent's spool. Returns the exit code.
int follow(const daemon::invocation& call, const agent_address& at, const std::string& proposal, bool spooled);

}  // namespace fleet::agent::cli
