#include "common/messages/consensus_result.hpp"

#include <fmt/format.h>

#include <array>
#include <boost/json/array.hpp>

#include "common/base/text.hpp"
#include "common/messages/trace.hpp"

namespace fleet::messages {
namespace {

constexpr std::size_t max_votes = 10'000;

constexpr std::array<named_value<consensus_status>, 2> statuses{
    {{"approved", consensus_status::approved}, {"rejected", consensus_status::rejected}}};

std::map<std::string, vote_choice> read_votes(reader& in) {
  std::map<std::string, vote_choice> votes;
  const auto* object = in.object("votes");
  if (object == nullptr) return votes;
  auto nested = in.nested("votes", *object);
  if (object->size() > max_votes) {
    nested.fail("", fmt::format("expected at most {} votes, got {}", max_votes, object->size()));
    return votes;
  }
  for (const auto& member : *object) {
    const std::string_view instance = member.key();
    if (base::is_valid_id(instance))
      votes.emplace(instance, read_vote_choice(nested, instance));
    else
      nested.fail(instance, "expected an instance's id of 1 to 200 bytes without control characters");
  }
  return votes;
}

boost::json::object encode_votes(const std::map<std::string, vote_choice>& votes) {
  boost::json::object object;
  for (const auto& [instance, choice] : votes) object.emplace(instance, to_string(choice));
  return object;
}

vote_detail read_detail(reader in) {
  vote_detail detail;
  detail.instance_id = in.instance_id();
  detail.choice = read_vote_choice(in);
  detail.confidence = in.number("confidence", unit_range);
  detail.reason = in.text("reason", free_text);
  detail.voted_at = in.time("voted_at");
  return detail;
}

std::optional<std::vector<vote_detail>> read_details(reader& in) {
  if (!in.has("vote_details")) return std::nullopt;
  std::vector<vote_detail> details;
  const auto* entries = in.array("vote_details", max_votes);
  if (entries == nullptr) return details;
  for (std::size_t i = 0; i < entries->size(); ++i) {
    const auto name = fmt::format("vote_details[{}]", i);
    const auto& entry = (*entries)[i];
    if (entry.is_object())
      details.push_back(read_detail(in.nested(name, entry.get_object())));
    else
      in.fail_expected(name, "an object", &entry);
  }
  return details;
}

boost::json::array encode_details(const std::vector<vote_detail>& details) {
  boost::json::array array;
  for (const auto& detail : details) {
    boost::json::object object;
    object.emplace("instance_id", detail.instance_id.str());
    object.emplace("vote", to_string(detail.choice));
    object.emplace("confidence", to_json(detail.confidence));
    object.emplace("reason", detail.reason);
    object.emplace("voted_at", to_json(detail.voted_at));
    array.push_back(std::move(object));
  }
  return array;
}

}  // namespace

std::string_view to_string(consensus_status value) {
  return name_of<consensus_status>(statuses, value);
}

base::result<consensus_result> consensus_result::decode(const boost::json::object& message) {
  reader in(message);
  if (!read_header(in, type_name)) return in.error();
  consensus_result out;
  out.proposal_id = in.proposal_id();
  out.instance_id = in.instance_id();
  out.status = in.choice<consensus_status>("status", statuses);
  out.votes = read_votes(in);
  out.confidence = in.number("confidence", unit_range);
  out.decision_rationale = in.text("decision_rationale", free_text);
  out.timestamp = in.time("timestamp");
  out.rule = in.optional_id("rule");
  out.vote_details = read_details(in);
  out.trace = read_trace(message);
  if (!in.ok()) return in.error();
  return out;
}

boost::json::object consensus_result::encode() const {
  boost::json::object object{{"type", type_name}};
  object.emplace("proposal_id", proposal_id.str());
  object.emplace("instance_id", instance_id.str());
  object.emplace("status", to_string(status));
  object.emplace("votes", encode_votes(votes));
  object.emplace("confidence", to_json(confidence));
  object.emplace("decision_rationale", decision_rationale);
  object.emplace("timestamp", to_json(timestamp));
  if (rule) object.emplace("rule", *rule);
  if (vote_details) object.emplace("vote_details", encode_details(*vote_details));
  add_trace(object, trace);
  return object;
}

}  // namespace fleet::messages
