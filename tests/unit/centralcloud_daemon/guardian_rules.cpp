#include <algorithm>
#include <catch2/catch.hpp>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "centralcloud_daemon/guardian/rules.hpp"

namespace {

using namespace fleet::central::guardian;
using fleet::base::decimal;

decimal number(std::string_view text) {
  return decimal::parse(text).value();
}

/// Feeds samples one after the other, as a watch does.
struct watched_change {
  std::vector<rule> rules = default_rules();
  metric_set before;
  watch_state state;

  assessment add(const metric_set& after) {
    auto result = evaluate(rules, {before, after}, state);
    state.runs = result.runs;
    return result;
  }
};

std::string rollback_reason(const assessment& of) {
  return of.rollback ? of.rollback->reason : "none";
}

}  // namespace

TEST_CASE("guardian rules: the defaults are the documented table") {
  std::vector<std::string> texts;
  for (const auto& each : default_rules()) texts.push_back(format_rule(each));
  CHECK(texts == std::vector<std::string>{"success_rate < 0.9 critical 1", "error_rate > 0.1 critical 1",
                                          "latency_p95_ms > 3000 high 2", "cost_cents > 10 medium 5 alert_at=1",
                                          "cpu_usage increase 50 high 1", "error_count increase 10 high 1"});
}

TEST_CASE("guardian rules: a value on the threshold is no breach, a millionth past it is") {
  struct row {
    std::string metric, before, on, past;
  };
  for (const auto& each : std::vector<row>{{"success_rate", "1", "0.9", "0.899999"},
                                           {"error_rate", "0", "0.1", "0.100001"},
                                           {"latency_p95_ms", "100", "3000", "3000.000001"},
                                           {"cost_cents", "1", "10", "10.000001"},
                                           {"cpu_usage", "20", "70", "70.000001"},
                                           {"error_count", "3", "13", "13.000001"}}) {
    INFO(each.metric);
    watched_change watch;
    watch.before[each.metric] = number(each.before);
    CHECK(watch.add({{each.metric, number(each.on)}}).breaches.empty());
    const auto past = watch.add({{each.metric, number(each.past)}});
    REQUIRE(past.breaches.size() == 1);
    CHECK(past.breaches[0].reason == each.metric + "_breach");
  }
}

TEST_CASE("guardian rules: each rule rolls back at its number of breaches in a row") {
  struct row {
    std::string metric, value;
    int at;
    std::size_t first_alerts;
  };
  for (const auto& each : std::vector<row>{{"success_rate", "0.5", 1, 0},
                                           {"error_rate", "0.5", 1, 0},
                                           {"latency_p95_ms", "3001", 2, 0},
                                           {"cost_cents", "11", 5, 1},
                                           {"cpu_usage", "51", 1, 0},
                                           {"error_count", "11", 1, 0}}) {
    watched_change watch;
    watch.before[each.metric] = decimal{};
    for (int breaches = 1; breaches <= each.at; ++breaches) {
      INFO(each.metric << " breach " << breaches);
      const auto result = watch.add({{each.metric, number(each.value)}});
      CHECK(result.rollback.has_value() == (breaches == each.at));
      CHECK(result.alerts.size() == (breaches == 1 ? each.first_alerts : 0));
      CHECK(result.breaches.at(0).breaches == breaches);
    }
  }
}

TEST_CASE("guardian rules: a good sample ends a run, a sample without the metric does not") {
  watched_change watch;
  CHECK_FALSE(watch.add({{"latency_p95_ms", number("4000")}}).rollback);
  CHECK_FALSE(watch.add({{"latency_p95_ms", number("3000")}}).rollback);
  CHECK(watch.state.runs.empty());
  CHECK_FALSE(watch.add({{"latency_p95_ms", number("4000")}}).rollback);
  CHECK(watch.add({{"error_rate", number("0")}}).breaches.empty());
  CHECK(rollback_reason(watch.add({{"latency_p95_ms", number("4000")}})) == "latency_p95_ms_breach");
}

TEST_CASE("guardian rules: an increase needs both sides") {
  watched_change watch;
  CHECK(watch.add({{"error_count", number("1000")}}).breaches.empty());
  watch.before["error_count"] = number("2");
  const auto result = watch.add({{"error_count", number("14")}});
  REQUIRE(result.rollback);
  CHECK(result.rollback->actual.str() == "12");
  CHECK(result.rollback->bound.str() == "10");
}

TEST_CASE("guardian rules: the worst severity gives the reason, then the order of the rules") {
  watched_change watch;
  watch.before = {{"cpu_usage", number("0")}, {"error_count", number("0")}};
  const auto high =
      watch.add({{"error_count", number("11")}, {"cpu_usage", number("51")}, {"cost_cents", number("99")}});
  CHECK(rollback_reason(high) == "cpu_usage_breach");
  const auto critical =
      watch.add({{"cpu_usage", number("51")}, {"cost_cents", number("99")}, {"error_rate", number("1")}});
  CHECK(rollback_reason(critical) == "error_rate_breach");
  std::vector<std::string> order;
  for (const auto& each : critical.breaches) order.push_back(each.metric);
  CHECK(order == std::vector<std::string>{"error_rate", "cpu_usage", "cost_cents"});
}

TEST_CASE("guardian rules: with rollback off, the action becomes one alert") {
  watched_change watch;
  watch.state.auto_rollback = false;
  const metric_set slow{{"latency_p95_ms", number("4000")}};
  CHECK(watch.add(slow).alerts.empty());
  const auto second = watch.add(slow);
  CHECK_FALSE(second.rollback);
  REQUIRE(second.alerts.size() == 1);
  CHECK(second.alerts[0].reason == "latency_p95_ms_breach");
  CHECK(watch.add(slow).alerts.empty());
}

TEST_CASE("guardian rules: a rule that only alerts never rolls back") {
  watched_change watch;
  watch.rules = {parse_rule("throughput_per_min < 100 low 2 alert_only").value()};
  const metric_set low{{"throughput_per_min", number("99")}};
  CHECK(watch.add(low).alerts.empty());
  const auto second = watch.add(low);
  CHECK(second.alerts.size() == 1);
  CHECK_FALSE(second.rollback);
}

TEST_CASE("guardian rules: after the trigger nothing changes") {
  watched_change watch;
  watch.add({{"cost_cents", number("11")}});
  const auto runs = watch.state.runs;
  watch.state.rollback_triggered = true;
  const auto result = watch.add({{"error_rate", number("1")}, {"cost_cents", number("1")}});
  CHECK(result.runs == runs);
  CHECK(result.breaches.empty());
  CHECK(result.alerts.empty());
  CHECK_FALSE(result.rollback);
}

TEST_CASE("guardian rules: a run past a lowered number rolls back at the next breach") {
  watched_change watch;
  for (int i = 0; i < 3; ++i) watch.add({{"cost_cents", number("11")}});
  watch.rules = {parse_rule("cost_cents > 10 medium 2").value()};
  CHECK(watch.add({{"cost_cents", number("11")}}).rollback);
}

TEST_CASE("guardian rules: a profile overrides the thresholds it names") {
  fleet::messages::safety_profile profile;
  profile.success_rate = number("0.99");
  profile.latency_threshold = number("500");
  profile.max_error_count = 2;
  watched_change watch;
  watch.rules = with_profile(default_rules(), profile);
  watch.before = {{"error_count", number("0")}};
  CHECK(rollback_reason(watch.add({{"success_rate", number("0.95")}})) == "success_rate_breach");
  CHECK(rollback_reason(watch.add({{"error_count", number("3")}})) == "error_count_breach");
  CHECK(watch.add({{"latency_p95_ms", number("501")}}).breaches.size() == 1);
  CHECK(watch.add({{"error_rate", number("0.1")}}).breaches.empty());
  CHECK(watch.add({{"cost_cents", number("10")}}).breaches.empty());
  profile.error_threshold = number("0.05");
  profile.cost_threshold = number("1");
  watch.rules = with_profile(default_rules(), profile);
  CHECK(watch.add({{"error_rate", number("0.1")}}).breaches.size() == 1);
  CHECK(watch.add({{"cost_cents", number("10")}}).breaches.size() == 1);
}

TEST_CASE("guardian rules: extreme values do not wrap around") {
  watched_change watch;
  watch.before["error_count"] = decimal::from_millionths(std::numeric_limits<std::int64_t>::min());
  CHECK(watch.add({{"error_count", decimal::from_millionths(std::numeric_limits<std::int64_t>::max())}}).rollback);
}

TEST_CASE("guardian rules: a run is the number of breaches since the last good sample") {
  std::mt19937 random(3);
  watched_change watch;
  std::int64_t expected = 0;
  for (int i = 0; i < 5'000; ++i) {
    metric_set after;
    switch (random() % 4) {
      case 0:
        break;
      case 1:
        after["latency_p95_ms"] = number("3000");
        expected = 0;
        break;
      default:
        after["latency_p95_ms"] = number("3000.5");
        ++expected;
    }
    const auto result = watch.add(after);
    const auto run = result.runs.empty() ? 0 : result.runs.begin()->second;
    REQUIRE(run == expected);
    REQUIRE(result.rollback.has_value() == (expected >= 2 && !after.empty()));
  }
}

TEST_CASE("guardian rules: the text form reads back") {
  auto rules = default_rules();
  rules.push_back(parse_rule("  queue_depth   >  1e3 low 1000 alert_only alert_at=1000").value());
  for (const auto& each : rules) CHECK(parse_rule(format_rule(each)).value() == each);
  CHECK(parse_rule("success_rate < 0.90 critical 1").value() == default_rules()[0]);
}

TEST_CASE("guardian rules: a bad text is refused with the word that is wrong") {
  const std::vector<std::pair<std::string, std::string>> rows{
      {"", "too few words"},
      {"success_rate < 0.90 critical", "too few words"},
      {"success_rate <= 0.90 critical 1", "'<=' is no comparison"},
      {"success_rate < high critical 1", "'high' is no number"},
      {"success_rate < 0.90 fatal 1", "'fatal' is no severity"},
      {"success_rate < 0.90 critical 0", "'0' is no number from 1"},
      {"success_rate < 0.90 critical 1001", "'1001' is no number from 1"},
      {"success_rate < 0.90 critical 1x", "'1x' is no number from 1"},
      {"success_rate < 0.90 critical 1 alert_at=2", "alert_at"},
      {"success_rate < 0.90 critical 1 alert_at=", "alert_at"},
      {"success_rate < 0.90 critical 1 alert_only alert_only", "'alert_only' is unexpected"},
      {"success_rate < 0.90 critical 1 please", "'please' is unexpected"}};
  for (const auto& [text, problem] : rows) {
    const auto answer = parse_rule(text);
    INFO(text);
    REQUIRE(answer.has_error());
    CHECK_THAT(answer.error().message, Catch::Contains(problem));
  }
}

TEST_CASE("guardian rules: two rules may share a metric, not a key") {
  const std::vector<std::string> good{"latency_p95_ms > 3000 high 2", "latency_p95_ms > 9000 critical 1"};
  CHECK(parse_rules(good).value().size() == 2);
  const std::vector<std::string> twice{"latency_p95_ms > 3000 high 2", "latency_p95_ms > 9000 high 1"};
  CHECK(parse_rules(twice).has_error());
  CHECK(parse_rules(std::vector<std::string>(101, good[0])).has_error());
}

TEST_CASE("guardian rules: samples are missing after three expected intervals") {
  using namespace std::chrono_literals;
  CHECK_FALSE(metrics_missing(29'999ms, 10s));
  CHECK(metrics_missing(30s, 10s));
  CHECK(metrics_missing(10s, 10s, 1));
}
