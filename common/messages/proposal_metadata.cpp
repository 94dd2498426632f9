#include "common/messages/proposal_metadata.hpp"

namespace fleet::messages {

boost::json::object read_proposal_metadata(reader& in, std::string_view name) {
  auto metadata = in.free_object(name);
  auto known = in.nested(name, metadata);
  known.optional_id("change_type");
  known.optional_text("description", free_text);
  known.optional_object("trial_results");
  const auto* radius = known.find("blast_radius");
  if (radius != nullptr && radius->is_string())
    known.text("blast_radius", {1, 200});
  else if (radius != nullptr && !parse_blast_radius(*radius))
    known.fail_expected("blast_radius", "a text, or a number of at least 0", radius);
  return metadata;
}

std::optional<boost::json::object> read_optional_proposal_metadata(reader& in, std::string_view name) {
  if (!in.has(name)) return std::nullopt;
  return read_proposal_metadata(in, name);
}

std::string change_type_of(const boost::json::object& metadata) {
  const auto* value = metadata.if_contains("change_type");
  if (value == nullptr || !value->is_string()) return {};
  return std::string(value->get_string());
}

std::optional<blast_radius> blast_radius_of(const boost::json::object& metadata) {
  const auto* value = metadata.if_contains("blast_radius");
  if (value == nullptr) return std::nullopt;
  return parse_blast_radius(*value);
}

}  // namespace fleet::messages
