#include "common/messages/vote_choice.hpp"

#include <array>

namespace fleet::messages {
namespace {

constexpr std::array<named_value<vote_choice>, 2> choices{
    {{"approve", vote_choice::approve}, {"reject", vote_choice::reject}}};

}  // namespace

std::string_view to_string(vote_choice value) {
  return name_of<vote_choice>(choices, value);
}

std::optional<vote_choice> parse_vote_choice(std::string_view text) {
  for (const auto& [name, value] : choices)
    if (name == text) return value;
  return std::nullopt;
}

vote_choice read_vote_choice(reader& in, std::string_view name) {
  return in.choice<vote_choice>(name, choices);
}

}  // namespace fleet::messages
