// The catalogue names the values of labels that there are series for from the start; their owners are here.
#include <catch2/catch.hpp>

#include "centralcloud_daemon/alerts/rules.hpp"
#include "centralcloud_daemon/consensus/rules.hpp"
#include "centralcloud_daemon/guardian/rules.hpp"
#include "common/telemetry/metrics.hpp"

using namespace fleet;
using namespace fleet::central;

namespace {

struct begun {
  begun() { registry.begin(telemetry::catalogue::source::coordinator); }
  void has(const std::string& series) const {
    CAPTURE(series);
    CHECK(text().find(series + " 0\n") != std::string::npos);
  }
  std::string text() const { return registry.exposition(); }

  telemetry::metrics registry;
};

}  // namespace

TEST_CASE("metrics from the start: every alert that a coordinator may raise") {
  const begun series;
  for (const auto name : alerts::alert_names())
    series.has("centralcloud_alerts_raised_total{alert=\"" + std::string(name) + "\"}");
  for (const auto& rule : guardian::default_rules())
    series.has("centralcloud_alerts_raised_total{alert=\"" + rule.metric + "_breach\"}");
}

TEST_CASE("metrics from the start: every reason of a rollback, in both daemons") {
  const begun series;
  telemetry::metrics of_agent;
  of_agent.begin(telemetry::catalogue::source::agent);
  const auto agents = of_agent.exposition();
  std::vector<std::string> reasons{"metrics_missing", "operator"};
  for (const auto& rule : guardian::default_rules()) reasons.push_back(rule.metric + "_breach");
  for (const auto& reason : reasons) {
    series.has("centralcloud_rollbacks_triggered_total{reason=\"" + reason + "\"}");
    CHECK(agents.find("singularity_rollbacks_total{outcome=\"rolled_back\",reason=\"" + reason + "\"} 0\n") !=
          std::string::npos);
  }
}

TEST_CASE("metrics from the start: every rule that decides") {
  const begun series;
  using enum consensus::decision_rule;
  for (const auto rule :
       {consensus, majority_reject, strong_rejection, no_consensus, timeout, auto_approved, not_required})
    CHECK(series.text().find("rule=\"" + std::string(consensus::to_string(rule)) + "\",") != std::string::npos);
}
