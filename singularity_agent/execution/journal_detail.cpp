#include "singularity_agent/execution/journal_detail.hpp"

#include <fmt/format.h>

#include "common/base/text.hpp"

namespace fleet::agent::execution {

std::string text_of(const boost::json::object& from, std::string_view name) {
  const auto* value = from.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
}

boost::json::object object_of(const boost::json::object& from, std::string_view name) {
  const auto* value = from.if_contains(name);
  return value != nullptr && value->is_object() ? value->as_object() : boost::json::object();
}

const boost::json::object* step_detail(const boost::json::object& proposal, std::string_view step,
                                       std::string_view outcome) {
  const auto* journal = proposal.if_contains("journal");
  if (journal == nullptr || !journal->is_object()) return nullptr;
  const auto* entry = journal->as_object().if_contains(step);
  if (entry == nullptr || !entry->is_object() || text_of(entry->as_object(), "outcome") != outcome) return nullptr;
  const auto* detail = entry->as_object().if_contains("detail");
  return detail != nullptr && detail->is_object() ? &detail->as_object() : nullptr;
}

boost::json::object detail_of(const applied_change& applied) {
  boost::json::object detail;
  detail["base_commit"] = applied.base_commit;
  detail["commit"] = applied.commit;
  boost::json::array paths;
  for (const auto& path : applied.paths) paths.emplace_back(base::storable(path));
  detail["paths"] = std::move(paths);
  detail["diffstat"] = applied.diffstat;
  detail["already_applied"] = applied.already_applied;
  detail["duration_ms"] = applied.duration.count();
  return detail;
}

applied_change applied_from(const boost::json::object& detail) {
  applied_change applied;
  applied.base_commit = text_of(detail, "base_commit");
  applied.commit = text_of(detail, "commit");
  applied.diffstat = text_of(detail, "diffstat");
  if (const auto* paths = detail.if_contains("paths"); paths != nullptr && paths->is_array()) {
    for (const auto& path : paths->as_array())
      if (path.is_string()) applied.paths.emplace_back(path.as_string());
  }
  return applied;
}

boost::json::object error_detail(const base::error& error) {
  boost::json::object detail;
  detail["kind"] = base::to_string(error.kind);
  detail["failure"] = base::storable(error.message);
  return detail;
}

boost::json::object verification_detail(const base::result<verification>& verified) {
  if (!verified) {
    auto detail = error_detail(verified.error());
    detail["failure"] = verification_failure(verified);
    return detail;
  }
  boost::json::object detail;
  detail["passed"] = verified->passed;
  detail["skipped"] = verified->skipped;
  detail["timed_out"] = verified->timed_out;
  detail["exit_code"] = verified->exit_code;
  detail["output_tail"] = verified->output_tail;
  detail["duration_ms"] = verified->duration.count();
  if (!verified->passed) detail["failure"] = verification_failure(verified);
  return detail;
}

std::string verification_failure(const base::result<verification>& verified) {
  if (!verified) return fmt::format("verify: {}", verified.error().message);
  if (verified->passed) return {};
  const auto tail = base::trim(verified->output_tail);
  const auto last_line = tail.substr(tail.rfind('\n') == std::string_view::npos ? 0 : tail.rfind('\n') + 1);
  if (verified->timed_out) return "verify: the command did not end in its time";
  return fmt::format("verify: exit code {}: {}", verified->exit_code, base::abbreviate(last_line, 300));
}

boost::json::array steps_detail(const std::vector<step_result>& steps) {
  boost::json::array all;
  for (const auto& step : steps) {
    boost::json::object one;
    one["name"] = step.name;
    one["outcome"] = to_string(step.outcome);
    one["detail"] = base::storable(step.detail);
    one["duration_ms"] = step.duration.count();
    all.push_back(std::move(one));
  }
  return all;
}

}  // namespace fleet::agent::execution
