#include "common/telemetry/catalogue.hpp"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "common/telemetry/events.hpp"
#include "common/telemetry/metrics.hpp"
#include "common/telemetry/queue_meter.hpp"
#include "common/telemetry/vitals.hpp"
#include "tests/unit/telemetry/dashboard.hpp"

using namespace fleet;
using namespace fleet::telemetry;

namespace {

const std::string source_dir = FLEET_SOURCE_DIR;

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

/// Everything in the text that looks like one of our metrics, without the suffix of a histogram's series.
std::set<std::string> metrics_named_in(const std::string& text) {
  static const std::regex name(R"(\b(quantumflow|singularity|centralcloud|process)_[a-z_]+\b)");
  std::set<std::string> names;
  for (std::sregex_iterator at(text.begin(), text.end(), name), end; at != end; ++at) {
    auto one = at->str();
    for (const auto* suffix : {"_bucket", "_count", "_sum"})
      if (one.ends_with(suffix)) one.erase(one.rfind('_'));
    names.insert(one);
  }
  return names;
}

bool is_known(const std::string& name) {
  for (const auto& each : catalogue::all)
    if (each.name == name) return true;
  return false;
}

}  // namespace

TEST_CASE("catalogue: names are unique and follow the conventions, labels hold no ids") {
  std::set<std::string_view> names;
  metrics registry;
  for (const auto& each : catalogue::all) {
    CAPTURE(each.name);
    CHECK(names.insert(each.name).second);
    CHECK_FALSE(each.help.empty());
    CHECK(each.labels.find("_id") == std::string_view::npos);
    const std::string name(each.name);
    const std::string help(each.help);
    switch (each.of) {
      case catalogue::kind::counter:
        CHECK_NOTHROW(registry.get_counter(name, help));
        break;
      case catalogue::kind::gauge:
        CHECK_NOTHROW(registry.get_gauge(name, help));
        break;
      case catalogue::kind::histogram:
      case catalogue::kind::wait_histogram:
        CHECK_NOTHROW(registry.get_histogram(name, help));
        CHECK(name.ends_with("_seconds"));
        break;
    }
  }
}

TEST_CASE("catalogue: a metric of another kind is refused") {
  metrics registry;
  CHECK_THROWS_AS(registry.gauge_of("process_cpu_seconds_total"), std::invalid_argument);
  CHECK_THROWS_AS(registry.counter_of("process_open_fds"), std::invalid_argument);
  CHECK_THROWS_AS(registry.histogram_of("process_open_fds"), std::invalid_argument);
}

TEST_CASE("catalogue: what is known beforehand is there from the start, at zero, of the one daemon") {
  metrics registry;
  registry.begin(catalogue::source::agent);
  const auto text = registry.exposition();
  for (const auto& each : catalogue::all) {
    const std::string name(each.name);
    CAPTURE(name);
    const bool known = each.of != catalogue::kind::gauge && each.from != catalogue::source::coordinator &&
                       (each.labels.empty() || !each.from_start.empty());
    CHECK((text.find("# TYPE " + name + " ") != std::string::npos) == known);
  }
  const auto has = [&text](const std::string& line) { return text.find(line + "\n") != std::string::npos; };
  CHECK(has("singularity_spooled_total 0"));
  CHECK(has("singularity_votes_total{by=\"person\",vote=\"reject\"} 0"));
  CHECK(has("singularity_rollbacks_total{outcome=\"rollback_failed\",reason=\"operator\"} 0"));
  CHECK(has("singularity_execution_seconds_count 0"));
  CHECK(text.find("singularity_execution_seconds_bucket{le=\"3600\"} 0") != std::string::npos);

  metrics of_coordinator;
  of_coordinator.begin(catalogue::source::coordinator);
  const auto decisions = of_coordinator.exposition();
  CHECK(decisions.find("centralcloud_decisions_total{rule=\"timeout\",status=\"rejected\"} 0") != std::string::npos);
  CHECK(decisions.find("centralcloud_decisions_total{rule=\"timeout\",status=\"approved\"}") == std::string::npos);
}

TEST_CASE("catalogue: the alerting rules and their tests name only what there is") {
  for (const auto* file : {"/config/prometheus-rules.yml", "/config/prometheus-rules.test.yml"}) {
    const auto names = metrics_named_in(read_file(source_dir + file));
    CHECK(names.size() > 10);
    for (const auto& name : names) {
      CAPTURE(file, name);
      // The names of the jobs and of the program.
      const bool job = name == "singularity_agent" || name == "centralcloud_daemon";
      CHECK((job || is_known(name)));
    }
  }
}

// FLEET_UPDATE=1 build/bin/unit_telemetry '[dashboard]' writes the file.
TEST_CASE("catalogue: the committed Grafana dashboard is what the catalogue gives", "[dashboard]") {
  const auto path = source_dir + "/config/grafana-dashboard.json";
  const auto made = tests::grafana_dashboard();
  if (std::getenv("FLEET_UPDATE") != nullptr) std::ofstream(path, std::ios::binary | std::ios::trunc) << made;
  CHECK(read_file(path) == made);
  for (const auto& name : metrics_named_in(made)) {
    CAPTURE(name);
    CHECK(is_known(name));
  }
}

namespace {

std::string kind_name(catalogue::kind of) {
  if (of == catalogue::kind::counter) return "counter";
  return of == catalogue::kind::gauge ? "gauge" : "histogram";
}

std::string source_name(catalogue::source from) {
  if (from == catalogue::source::both) return "both";
  return from == catalogue::source::agent ? "agent" : "coordinator";
}

std::string metrics_page() {
  std::string page =
      "# Metrics and events\n\nMade from `common/telemetry/catalogue.hpp` and `events.hpp` by `FLEET_UPDATE=1 "
      "build/bin/unit_telemetry '[pages]'`; a test compares.\n"
      "What to do with them is in [monitoring.md](monitoring.md).\n\n## Metrics\n\n"
      "| name | type | of | labels | meaning |\n|---|---|---|---|---|\n";
  for (const auto& each : catalogue::all) {
    std::string labels(each.labels);
    for (auto at = labels.find(','); at != std::string::npos; at = labels.find(',', at + 2)) labels.insert(at + 1, " ");
    page += "| `" + std::string(each.name) + "` | " + kind_name(each.of) + " | " + source_name(each.from) + " | " +
            labels + " | " + std::string(each.help) + " |\n";
  }
  page +=
      "\n## Events\n\nEach is a series of `singularity_events_total` or `centralcloud_events_total` and a line of the "
      "log. Lines at debug are those that come with every message: set `log.level = debug` to see them.\n\n"
      "| event | of | log level |\n|---|---|---|\n";
  for (const auto& [prefix, of] :
       {std::pair(daemon_prefix::singularity, "agent"), std::pair(daemon_prefix::centralcloud, "coordinator")}) {
    for (const auto each : events_of(prefix))
      page +=
          "| `" + std::string(to_string(each)) + "` | " + of + " | " + std::string(to_string(level_of(each))) + " |\n";
  }
  return page;
}

}  // namespace

TEST_CASE("catalogue: the page of metrics and events is what the code has", "[pages]") {
  const auto path = source_dir + "/deploy/metrics.md";
  const auto made = metrics_page();
  if (std::getenv("FLEET_UPDATE") != nullptr) std::ofstream(path, std::ios::binary | std::ios::trunc) << made;
  CHECK(read_file(path) == made);
}

TEST_CASE("catalogue: pages name only metrics that there are") {
  // Programs, roles, a container's service and a configuration's folder look alike.
  const std::set<std::string> others{"singularity_agent", "centralcloud_daemon", "centralcloud_readonly",
                                     "quantumflow_owner", "singularity_spool"};
  for (const auto* file : {"/deploy/README.md", "/deploy/runbook.md", "/deploy/monitoring.md", "/deploy/scaling.md",
                           "/deploy/high_availability.md", "/README.md"}) {
    for (const auto& name : metrics_named_in(read_file(source_dir + file))) {
      CAPTURE(file, name);
      const bool prefix = name.ends_with("_");
      CHECK((prefix || others.count(name) != 0 || is_known(name)));
    }
  }
}

TEST_CASE("metrics: a counter that is counted elsewhere only rises") {
  metrics registry;
  const auto total = registry.counter_of("quantumflow_queue_published_total", {{"queue", "q"}});
  total.raise_to(7);
  total.raise_to(5);
  CHECK(total.value() == 7);
  total.raise_to(8);
  CHECK(total.value() == 8);
}

TEST_CASE("vitals: a process shows what it uses, whether it is ready, and its version") {
  metrics registry;
  health_state health;
  vitals shown(registry, daemon_prefix::singularity, "1.2.3");
  health.require("database");
  shown.refresh(health);
  CHECK(registry.gauge_of("singularity_ready").value() == 0);
  health.set("database", true);
  shown.refresh(health);
  CHECK(registry.gauge_of("singularity_ready").value() == 1);
  CHECK(registry.gauge_of("singularity_build_info", {{"version", "1.2.3"}}).value() == 1);
  CHECK(registry.gauge_of("process_resident_memory_bytes").value() > 1e6);
  CHECK(registry.gauge_of("process_virtual_memory_bytes").value() >=
        registry.gauge_of("process_resident_memory_bytes").value());
  const auto now = static_cast<double>(::time(nullptr));
  CHECK(registry.gauge_of("process_start_time_seconds").value() > now - 3600);
  CHECK(registry.gauge_of("process_start_time_seconds").value() < now + 5);
  const auto before = registry.gauge_of("process_open_fds").value();
  CHECK(before >= 3);
  const std::ifstream one(source_dir + "/README.md");
  shown.refresh(health);
  CHECK(registry.gauge_of("process_open_fds").value() == before + 1);
  CHECK(registry.gauge_of("process_max_fds").value() > before);
}

TEST_CASE("vitals: a lost LISTEN connection is counted once, and none at the start") {
  metrics registry;
  vitals shown(registry, daemon_prefix::centralcloud, "1");
  const auto lost = registry.counter_of("quantumflow_listen_reconnects_total");
  shown.show_listen(false);
  CHECK(lost.value() == 0);
  shown.show_listen(true);
  CHECK(registry.gauge_of("quantumflow_listen_up").value() == 1);
  shown.show_listen(false);
  shown.show_listen(false);
  CHECK(registry.gauge_of("quantumflow_listen_up").value() == 0);
  CHECK(lost.value() == 1);
}

TEST_CASE("queue meter: outcomes are counted, and a clock behind the database's gives no negative wait") {
  metrics registry;
  const queue_meter meter(registry, "q");
  const auto now = base::system_clock().now();
  meter.settled("done", now - std::chrono::seconds(2), now);
  meter.settled("dead", now, now);
  meter.settled("rejected", now + std::chrono::seconds(5), now);
  meter.processed(std::chrono::milliseconds(20));
  const auto text = registry.exposition();
  INFO(text);
  CHECK(text.find("quantumflow_messages_handled_total{outcome=\"done\",queue=\"q\"} 1") != std::string::npos);
  CHECK(text.find("quantumflow_messages_handled_total{outcome=\"retried\",queue=\"q\"} 0") != std::string::npos);
  CHECK(text.find("quantumflow_messages_handled_total{outcome=\"dead\",queue=\"q\"} 1") != std::string::npos);
  CHECK(text.find("quantumflow_messages_handled_total{outcome=\"rejected\",queue=\"q\"} 1") != std::string::npos);
  CHECK(text.find("quantumflow_message_wait_seconds_sum{queue=\"q\"} 2\n") != std::string::npos);
  CHECK(text.find("quantumflow_batch_processing_seconds_count{queue=\"q\"} 1") != std::string::npos);
}
