#include "singularity_agent/voting/policy_input.hpp"

#include <boost/json/serialize.hpp>
#include <utility>

#include "common/messages/git_change.hpp"
#include "common/messages/proposal_metadata.hpp"

namespace fleet::agent::voting {
namespace {

using base::decimal;

std::size_t bytes_of(const messages::git_change& change) {
  std::size_t bytes = change.patch ? change.patch->size() : 0;
  for (const auto& [path, content] : change.files) bytes += path.size() + (content ? content->size() : 0);
  return bytes;
}

change_summary summarize_git(const boost::json::object& code_change) {
  change_summary summary;
  const auto change = messages::parse_git_change(code_change);
  if (!change) {
    summary.problem = change.error().message;
    return summary;
  }
  summary.bytes = static_cast<std::int64_t>(bytes_of(*change));
  auto paths = messages::paths_of(*change);
  if (!paths) {
    summary.problem = paths.error().message;
    return summary;
  }
  summary.kind = change_summary::form::paths_known;
  summary.paths = std::move(*paths);
  return summary;
}

std::optional<decimal> rate_of(const boost::json::object& metadata, std::string_view name) {
  const auto* results = metadata.if_contains("trial_results");
  if (results == nullptr || !results->is_object()) return std::nullopt;
  const auto* value = results->as_object().if_contains(name);
  if (value == nullptr || !value->is_number()) return std::nullopt;
  const auto rate = decimal::from_double(value->to_number<double>());
  if (!rate || *rate < decimal{} || *rate > decimal::from_int(1)) return std::nullopt;
  return *rate;
}

}  // namespace

change_summary summarize(const boost::json::object& code_change) {
  if (code_change.contains("patch") || code_change.contains("files")) return summarize_git(code_change);
  change_summary summary;
  summary.kind = change_summary::form::unknown;
  summary.bytes = static_cast<std::int64_t>(boost::json::serialize(code_change).size());
  return summary;
}

ballot_input ballot_input_of(const messages::voting_request& request) {
  ballot_input input;
  input.change = summarize(request.code_change);
  input.impact_score = request.impact_score;
  input.risk_score = request.risk_score;
  input.blast_radius = messages::blast_radius_of(request.metadata);
  input.max_blast_radius = request.profile.max_blast_radius;
  input.error_threshold = request.profile.error_threshold;
  input.trial_success_rate = rate_of(request.metadata, "success_rate");
  input.trial_error_rate = rate_of(request.metadata, "error_rate");
  return input;
}

}  // namespace fleet::agent::voting
