#include "common/telemetry/metrics.hpp"

#include <boost/json/parse.hpp>
#include <catch2/catch.hpp>
#include <stdexcept>

#include "common/telemetry/events.hpp"
#include "common/telemetry/health.hpp"

using namespace fleet;

TEST_CASE("metrics: the text format has help, type, labels and values") {
  telemetry::metrics metrics;
  metrics.get_counter("messages_total", "Messages", {{"queue", "a\"b\n"}}).increment(2);
  metrics.get_counter("messages_total", "Messages", {{"queue", "a\"b\n"}}).increment();
  metrics.get_gauge("pending", "Pending").set(7);
  metrics.get_histogram("wait_seconds", "Wait", {}, {0.1, 1}).observe(0.5);
  const auto text = metrics.exposition();
  INFO(text);
  CHECK(text.find("# TYPE messages_total counter") != std::string::npos);
  CHECK(text.find("messages_total{queue=\"a\\\"b\\n\"} 3") != std::string::npos);
  CHECK(text.find("pending 7") != std::string::npos);
  CHECK(text.find("wait_seconds_bucket{le=\"0.1\"} 0") != std::string::npos);
  CHECK(text.find("wait_seconds_bucket{le=\"1\"} 1") != std::string::npos);
  CHECK(text.find("wait_seconds_count 1") != std::string::npos);
}

TEST_CASE("metrics: names against the conventions are refused") {
  telemetry::metrics metrics;
  CHECK_THROWS_AS(metrics.get_counter("messages", "x"), std::invalid_argument);
  CHECK_THROWS_AS(metrics.get_gauge("messages_total", "x"), std::invalid_argument);
  CHECK_THROWS_AS(metrics.get_histogram("wait_ms", "x"), std::invalid_argument);
  CHECK_THROWS_AS(metrics.get_gauge("Bad-Name", "x"), std::invalid_argument);
}

TEST_CASE("metrics: the number of series of a family is bounded") {
  telemetry::metrics metrics(3);
  for (int i = 0; i < 100; ++i) metrics.get_counter("seen_total", "x", {{"id", std::to_string(i)}}).increment();
  const auto text = metrics.exposition();
  CHECK(text.find("seen_total{id=\"2\"} 1") != std::string::npos);
  CHECK(text.find("seen_total{id=\"3\"}") == std::string::npos);
  CHECK(text.find("seen_total{id=\"other\"} 97") != std::string::npos);
}

TEST_CASE("events: every event of a daemon starts at zero, is counted and logged") {
  telemetry::metrics metrics;
  std::vector<std::string> lines;
  const auto log = telemetry::logger::to_sink([&](std::string_view line) { lines.emplace_back(line); });
  telemetry::event_counter counter(metrics, log, telemetry::daemon_prefix::singularity);
  for (const auto what : telemetry::events_of(telemetry::daemon_prefix::singularity)) CHECK(counter.counted(what) == 0);
  count_event(counter, telemetry::event::proposal_published, "sent", {{"proposal_id", "p"}});
  CHECK(counter.counted(telemetry::event::proposal_published) == 1);
  CHECK(metrics.exposition().find("singularity_events_total{event=\"proposal_published\"} 1") != std::string::npos);
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].find("proposal_published: sent proposal_id=p") != std::string::npos);
}

TEST_CASE("events: the coordinator has its own names") {
  telemetry::metrics metrics;
  telemetry::event_counter counter(metrics, telemetry::logger::none(), telemetry::daemon_prefix::centralcloud);
  const auto text = metrics.exposition();
  CHECK(text.find("centralcloud_events_total{event=\"rollback_trigger_published\"} 0") != std::string::npos);
  CHECK(text.find("proposal_published") == std::string::npos);
}

TEST_CASE("events: every one of both daemons is a counter and a structured log line") {
  for (const auto daemon : {telemetry::daemon_prefix::singularity, telemetry::daemon_prefix::centralcloud}) {
    for (const auto what : telemetry::events_of(daemon)) {
      const std::string name(telemetry::to_string(what));
      CAPTURE(name);
      telemetry::metrics metrics;
      std::vector<std::string> lines;
      telemetry::log_options form;
      form.level = telemetry::log_level::debug;
      form.format = telemetry::log_format::json;
      const auto log = telemetry::logger::to_sink([&](std::string_view line) { lines.emplace_back(line); }, form);
      telemetry::event_counter counter(metrics, log, daemon);
      counter.count(what, "it happened", {{"proposal_id", "p"}});
      const auto series = std::string(telemetry::to_string(daemon)) + "_events_total{event=\"" + name + "\"} 1";
      CHECK(metrics.exposition().find(series) != std::string::npos);
      REQUIRE(lines.size() == 1);
      const auto line = boost::json::parse(lines[0]).as_object();
      CHECK(line.at("event").as_string() == name);
      CHECK(line.at("proposal_id") == "p");
    }
  }
}

TEST_CASE("events: a message that was not handled is logged with its error and its trace") {
  telemetry::metrics metrics;
  std::vector<std::string> lines;
  const auto log = telemetry::logger::to_sink([&](std::string_view line) { lines.emplace_back(line); });
  telemetry::event_counter counter(metrics, log, telemetry::daemon_prefix::singularity);
  counter.not_handled(
      {"some_queue", fleet::base::message_id{7}, true, "vote: expected approve or reject", "4bf92f3577b34da6"});
  counter.not_handled({"some_queue", fleet::base::message_id{8}, false, "not yet"});
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].find("message_rejected: vote: expected approve or reject") != std::string::npos);
  CHECK(lines[0].find("message_id=7 trace_id=4bf92f3577b34da6") != std::string::npos);
  // A message without a trace has no such field.
  CHECK(lines[1].find("trace_id") == std::string::npos);
}

TEST_CASE("health: ready only when every named condition holds") {
  telemetry::health_state health;
  CHECK(health.ready());
  health.require("database");
  CHECK_FALSE(health.ready());
  health.set("database", false, "connection refused");
  REQUIRE(health.missing().size() == 1);
  CHECK(health.missing()[0].reason == "connection refused");
  health.set("database", true);
  CHECK(health.ready());
  health.require("database");
  CHECK(health.ready());
}
