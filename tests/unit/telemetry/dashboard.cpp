#include "tests/unit/telemetry/dashboard.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "common/telemetry/metrics.hpp"

namespace fleet::telemetry::tests {
namespace {

namespace json = boost::json;

struct query {
  std::string_view expression;  ///< PromQL with a `$` for each metric
  std::vector<known_metric> metrics;
  std::string_view legend = "";
};

struct panel {
  std::string_view title;
  std::string_view unit;  ///< Grafana's name of it
  std::vector<query> queries;
};

struct row {
  std::string_view title;
  std::vector<panel> panels;
};

std::vector<row> rows() {
  return {
      {"The fleet",
       {
           {"Instances", "short", {{"max by (state) ($)", {"centralcloud_instances"}, "{{state}}"}}},
           {"Votes open, changes watched",
            "short",
            {{"max($)", {"centralcloud_votes_open"}, "votes open"},
             {"max($)", {"centralcloud_changes_watched"}, "changes watched"}}},
           {"Decisions by rule",
            "cpm",
            {{"60 * sum by (status, rule) (rate($[5m]))", {"centralcloud_decisions_total"}, "{{status}} {{rule}}"}}},
           {"Votes",
            "cpm",
            {{"60 * sum by (vote, disposition) (rate($[5m]))",
              {"centralcloud_votes_total"},
              "{{vote}} {{disposition}}"}}},
           {"Executions",
            "cpm",
            {{"60 * sum by (outcome) (rate($[5m]))", {"singularity_executions_total"}, "{{outcome}}"}}},
           {"Time to apply a change (p95)",
            "s",
            {{"histogram_quantile(0.95, sum by (le) (rate($_bucket[15m])))",
              {"singularity_execution_seconds"},
              "p95"}}},
           {"Rollbacks triggered, by reason",
            "short",
            {{"sum by (reason) (increase($[1h]))", {"centralcloud_rollbacks_triggered_total"}, "{{reason}}"}}},
           {"From breach to rollback (p95, mean)",
            "s",
            {{"histogram_quantile(0.95, sum by (le) (rate($_bucket[1h])))",
              {"centralcloud_breach_to_rollback_seconds"},
              "p95"},
             {"sum(rate($_sum[1h])) / sum(rate($_count[1h]))",
              {"centralcloud_breach_to_rollback_seconds", "centralcloud_breach_to_rollback_seconds"},
              "mean"}}},
           {"Alerts that stand",
            "short",
            {{"sum by (severity) (max by (alert, severity) ($))", {"centralcloud_alerts_active"}, "{{severity}}"}}},
           {"Notifications",
            "short",
            {{"sum by (channel, outcome) (increase($[1h]))",
              {"centralcloud_alert_notifications_total"},
              "{{channel}} {{outcome}}"}}},
       }},
      {"Queues",
       {
           {"Depth", "short", {{"max by (queue) ($)", {"quantumflow_queue_pending_messages"}, "{{queue}}"}}},
           {"Age of the oldest message",
            "s",
            {{"max by (queue) ($)", {"quantumflow_queue_oldest_age_seconds"}, "{{queue}}"}}},
           {"Published", "mps", {{"max by (queue) (rate($[1m]))", {"quantumflow_queue_published_total"}, "{{queue}}"}}},
           {"Consumed", "mps", {{"max by (queue) (rate($[1m]))", {"quantumflow_queue_consumed_total"}, "{{queue}}"}}},
           {"Retrying", "short", {{"max by (queue) ($)", {"quantumflow_queue_retrying_messages"}, "{{queue}}"}}},
           {"Dead letters", "short", {{"max by (queue) ($)", {"quantumflow_queue_dead_letters"}, "{{queue}}"}}},
           {"Messages that failed or were rejected",
            "short",
            {{"sum by (queue, outcome) (increase(${outcome!=\"done\"}[5m]))",
              {"quantumflow_messages_handled_total"},
              "{{queue}} {{outcome}}"}}},
           {"Wait of a message (p95)",
            "s",
            {{"histogram_quantile(0.95, sum by (queue, le) (rate($_bucket[5m])))",
              {"quantumflow_message_wait_seconds"},
              "{{queue}}"}}},
           {"Processing of a batch (p95)",
            "s",
            {{"histogram_quantile(0.95, sum by (queue, le) (rate($_bucket[5m])))",
              {"quantumflow_batch_processing_seconds"},
              "{{queue}}"}}},
           {"Message log", "bytes", {{"max($)", {"quantumflow_log_bytes"}, "size"}}},
           {"What holds up cleaning",
            "s",
            {{"max by (holder) ($)", {"quantumflow_oldest_transaction_seconds"}, "snapshot of a {{holder}}"},
             {"max($)", {"quantumflow_log_held_seconds"}, "rotation held"}}},
           {"Age of the oldest snapshot",
            "short",
            {{"max by (holder) ($)", {"quantumflow_oldest_xmin_age_transactions"}, "{{holder}}"}}},
       }},
      {"Daemons",
       {
           {"Ready",
            "bool_yes_no",
            {{"$", {"centralcloud_ready"}, "coordinator {{instance}}"},
             {"$", {"singularity_ready"}, "agent {{instance}}"}}},
           {"LISTEN", "bool_on_off", {{"$", {"quantumflow_listen_up"}, "{{job}} {{instance}}"}}},
           {"Spool", "short", {{"$", {"singularity_spool_entries"}, "{{instance}}"}}},
           {"Database connections",
            "short",
            {{"sum by (job, instance, state) ($)", {"quantumflow_connections"}, "{{job}} {{instance}} {{state}}"}}},
           {"Worker restarts",
            "short",
            {{"sum by (worker) (increase($[10m]))", {"centralcloud_worker_restarts_total"}, "coordinator {{worker}}"},
             {"sum by (worker) (increase($[10m]))", {"singularity_worker_restarts_total"}, "agent {{worker}}"}}},
           {"HTTP answers (p95)",
            "s",
            {{"histogram_quantile(0.95, sum by (route, le) (rate($_bucket[5m])))",
              {"centralcloud_http_request_seconds"},
              "{{route}}"}}},
           {"Processor", "percentunit", {{"rate($[1m])", {"process_cpu_seconds_total"}, "{{job}} {{instance}}"}}},
           {"Memory", "bytes", {{"$", {"process_resident_memory_bytes"}, "{{job}} {{instance}}"}}},
           {"File descriptors", "short", {{"$", {"process_open_fds"}, "{{job}} {{instance}}"}}},
           {"Versions",
            "short",
            {{"count by (version) ($)", {"centralcloud_build_info"}, "coordinators {{version}}"},
             {"count by (version) ($)", {"singularity_build_info"}, "agents {{version}}"}}},
       }},
  };
}

std::string expression_of(const query& from) {
  std::string text;
  std::size_t used = 0;
  for (const char c : from.expression) {
    if (c != '$') {
      text += c;
      continue;
    }
    text += from.metrics.at(used++).info->name;
  }
  if (used != from.metrics.size()) throw std::logic_error("a metric too many: " + text);
  return text;
}

json::object data_source() {
  return {{"type", "prometheus"}, {"uid", "${datasource}"}};
}

json::object panel_object(const panel& from, int id, int x, int y) {
  json::array targets;
  std::string description;
  char letter = 'A';
  for (const auto& each : from.queries) {
    targets.push_back({{"refId", std::string(1, letter++)},
                       {"datasource", data_source()},
                       {"expr", expression_of(each)},
                       {"legendFormat", std::string(each.legend)}});
    const std::string help(each.metrics.front().info->help);
    if (description.find(help) == std::string::npos) description += (description.empty() ? "" : " ") + help;
  }
  return {
      {"id", id},
      {"type", "timeseries"},
      {"title", std::string(from.title)},
      {"description", description},
      {"datasource", data_source()},
      {"gridPos", {{"h", 8}, {"w", 12}, {"x", x}, {"y", y}}},
      {"fieldConfig", {{"defaults", {{"unit", std::string(from.unit)}, {"min", 0}}}, {"overrides", json::array()}}},
      {"options", {{"legend", {{"displayMode", "list"}, {"placement", "bottom"}}}, {"tooltip", {{"mode", "multi"}}}}},
      {"targets", std::move(targets)}};
}

/// Grafana reads it in any form; people read a difference line by line.
std::string lines_of(const json::object& dashboard) {
  std::string text = "{\n";
  for (const auto& [key, value] : dashboard) {
    if (text.size() > 2) text += ",\n";
    text += "\"" + std::string(key) + "\": ";
    if (key != "panels") {
      text += json::serialize(value);
      continue;
    }
    text += "[";
    for (const auto& each : value.as_array()) text += (text.back() == '[' ? "\n" : ",\n") + json::serialize(each);
    text += "\n]";
  }
  return text + "\n}\n";
}

}  // namespace

std::string grafana_dashboard() {
  json::array panels;
  int id = 1;
  int y = 0;
  for (const auto& each : rows()) {
    panels.push_back({{"id", id++},
                      {"type", "row"},
                      {"title", std::string(each.title)},
                      {"collapsed", false},
                      {"panels", json::array()},
                      {"gridPos", {{"h", 1}, {"w", 24}, {"x", 0}, {"y", y++}}}});
    for (std::size_t i = 0; i < each.panels.size(); ++i) {
      panels.push_back(panel_object(each.panels[i], id++, i % 2 == 0 ? 0 : 12, y));
      if (i % 2 == 1 || i + 1 == each.panels.size()) y += 8;
    }
  }
  json::object choice{{"name", "datasource"}, {"type", "datasource"}, {"query", "prometheus"}, {"label", "Prometheus"}};
  json::object dashboard{{"uid", "fleet-control"},
                         {"title", "Fleet control"},
                         {"tags", json::array{"fleet"}},
                         {"schemaVersion", 38},
                         {"version", 1},
                         {"editable", true},
                         {"timezone", "browser"},
                         {"refresh", "30s"},
                         {"time", {{"from", "now-3h"}, {"to", "now"}}},
                         {"templating", {{"list", json::array{choice}}}}};
  dashboard["panels"] = std::move(panels);
  return lines_of(dashboard);
}

}  // namespace fleet::telemetry::tests
