// What an instance says about a proposal.
#pragma once
#include <string_view>

#include "common/messages/reader.hpp"

namespace fleet::messages {

enum class vote_choice { approve, reject };

std::string_view to_string(vote_choice value);
/// Nothing for any other text.
std::optional<vote_choice> parse_vote_choice(std::string_view text);
/// Reads the required field `name` of `in`.
vote_choice read_vote_choice(reader& in, std::string_view name = "vote");

}  // namespace fleet::messages
