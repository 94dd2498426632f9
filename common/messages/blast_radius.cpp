#include "common/messages/blast_radius.hpp"

#include <array>

#include "common/messages/reader.hpp"

namespace fleet::messages {
namespace {

constexpr std::array<named_value<blast_level>, 3> levels{
    {{"low", blast_level::low}, {"medium", blast_level::medium}, {"high", blast_level::high}}};

}  // namespace

std::string_view to_string(blast_level level) {
  return name_of<blast_level>(levels, level);
}

std::optional<blast_radius> parse_blast_radius(const boost::json::value& value) {
  if (value.is_string()) {
    for (const auto& [name, level] : levels)
      if (name == std::string_view(value.get_string())) return level;
    return std::nullopt;
  }
  const auto number = to_decimal(value);
  if (!number || *number < base::decimal()) return std::nullopt;
  return *number;
}

boost::json::value to_json(const blast_radius& value) {
  if (const auto* level = std::get_if<blast_level>(&value)) return boost::json::value(to_string(*level));
  return to_json(std::get<base::decimal>(value));
}

std::optional<bool> exceeds(const blast_radius& actual, const blast_radius& bound) {
  if (actual.index() != bound.index()) return std::nullopt;
  return actual > bound;
}

}  // namespace fleet::messages
