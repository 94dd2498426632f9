#include "centralcloud_daemon/cli/story.hpp"

#include <boost/json/array.hpp>
#include <string_view>
#include <vector>

#include "common/base/json.hpp"
#include "common/daemon/output.hpp"
#include "common/messages/reader.hpp"

namespace fleet::central::cli {
namespace {

using daemon::column;

boost::json::array list_in(const boost::json::object& story, std::string_view name) {
  const auto* list = story.if_contains(name);
  return list != nullptr && list->is_array() ? list->get_array() : boost::json::array();
}

std::string record_in(const boost::json::object& story, std::string_view name, const std::vector<column>& columns) {
  const auto* record = story.if_contains(name);
  if (record == nullptr || !record->is_object()) return "none\n";
  return daemon::format_record(columns, record->get_object());
}

std::string table_in(const boost::json::object& story, std::string_view name, const std::vector<column>& columns) {
  const auto rows = list_in(story, name);
  return rows.empty() ? "none\n" : daemon::format_table(columns, rows);
}

/// {"error_rate": 0.01} as "error_rate 0.01": a person reads no exponents.
std::string format_metrics(const boost::json::value& metrics) {
  if (!metrics.is_object()) return "";
  std::string text;
  for (const auto& [name, value] : metrics.get_object()) {
    const auto number = messages::to_decimal(value);
    if (!text.empty()) text += ", ";
    text += std::string(name) + " " + (number ? number->str() : base::write_json(value));
  }
  return text;
}

boost::json::array samples_of(const boost::json::object& story) {
  auto samples = list_in(story, "samples");
  for (auto& each : samples) {
    auto& sample = each.as_object();
    for (const auto* name : {"metrics_before", "metrics_after"}) sample[name] = format_metrics(sample[name]);
    std::string breaches;
    for (const auto& breach : sample["breaches"].as_array()) {
      if (!breaches.empty()) breaches += ", ";
      breaches += breach.as_object().at("reason").as_string();
    }
    sample["breaches"] = breaches;
  }
  return samples;
}

}  // namespace

std::string format_story(const boost::json::object& story) {
  std::string text = daemon::format_record({{"proposal_id", "proposal"},
                                            {"status", "status"},
                                            {"instance_id", "proposed by"},
                                            {"agent_type", "agent type"},
                                            {"change_type", "change type"},
                                            {"description", "description"},
                                            {"impact_score", "impact"},
                                            {"risk_score", "risk"},
                                            {"received_at", "received at"},
                                            {"deadline", "voting until"},
                                            {"watch_until", "watched until"}},
                                           story);
  text += "\nVotes\n" + table_in(story, "vote_list",
                                 {{"instance_id", "instance"},
                                  {"vote", "vote"},
                                  {"confidence", "confidence"},
                                  {"counted", "counted"},
                                  {"received_at", "at"},
                                  {"reason", "reason"}});
  text += "\nDecision\n" + record_in(story, "decision",
                                     {{"status", "status"},
                                      {"rule", "rule"},
                                      {"confidence", "confidence"},
                                      {"rationale", "why"},
                                      {"decided_at", "at"}});
  text +=
      "\nSteps\n" + table_in(story, "steps", {{"at", "at"}, {"state", "state"}, {"actor", "by"}, {"cause", "cause"}});
  const auto samples = samples_of(story);
  text += "\nSamples\n";
  if (samples.empty()) {
    text += "none\n";
  } else {
    text += daemon::format_table({{"received_at", "at"},
                                  {"status", "status"},
                                  {"metrics_before", "before"},
                                  {"metrics_after", "after"},
                                  {"breaches", "breaches"}},
                                 samples);
  }
  text += "\nRollback\n" + record_in(story, "rollback",
                                     {{"rollback_id", "id"},
                                      {"reason", "reason"},
                                      {"note", "note"},
                                      {"actor", "by"},
                                      {"threshold", "threshold"},
                                      {"strategy.steps", "steps"},
                                      {"triggered_at", "triggered at"},
                                      {"outcome", "outcome"},
                                      {"ended_at", "ended at"}});
  return text;
}

}  // namespace fleet::central::cli
