#include "singularity_agent/settings.hpp"

#include <catch2/catch.hpp>

#include "common/config/load.hpp"
#include "singularity_agent/tools.hpp"
#include "tests/support/results.hpp"

namespace fleet::agent {
namespace {

/// What an agent must have, and `more` flags.
base::result<config::values> load(const std::vector<std::string>& more) {
  config::sources from;
  from.arguments = {"--database.url=postgresql://h/d", "--instance.id=alpha", "--executor.repository=/srv/service"};
  from.arguments.insert(from.arguments.end(), more.begin(), more.end());
  from.environment = [](const std::string&) -> std::optional<std::string> { return std::nullopt; };
  return config::load(agent_schema(), from);
}

base::result<agent_settings> settings_with(const std::vector<std::string>& more) {
  const auto loaded = load(more);
  if (!loaded) return loaded.error();
  return settings_from(*loaded);
}

std::vector<std::string> fields_of(const base::error& wrong) {
  std::vector<std::string> names;
  for (const auto& each : wrong.fields) names.push_back(each.field);
  return names;
}

using names = std::vector<std::string>;

TEST_CASE("agent settings: metrics.url_map says what is taken of an exposition") {
  const auto none = settings_with({});
  REQUIRE(none);
  CHECK(none->metrics.url_map.empty());
  const auto both = settings_with({"--metrics.url=http://127.0.0.1:9100/metrics",
                                   "--metrics.url_map=error_count=app_errors_total{code=\"500\",path=\"a,b\"}, "
                                   "latency_p95_ms=app_latency{quantile=\"0.95\"}"});
  REQUIRE(both);
  REQUIRE(both->metrics.url_map.size() == 2);
  const auto& errors = both->metrics.url_map.at("error_count");
  CHECK(errors.name == "app_errors_total");
  CHECK(errors.labels == metrics::label_set{{"code", "500"}, {"path", "a,b"}});
  CHECK(both->metrics.url_map.at("latency_p95_ms").labels == metrics::label_set{{"quantile", "0.95"}});
  CHECK(make_sampler(*both));
}

TEST_CASE("agent settings: a wrong metrics.url or metrics.url_map is an error that names the key") {
  for (const auto* wrong : {"error_count", "error_count=", "=up", "a=b{c}", "a=b,a=c"}) {
    CAPTURE(wrong);
    const auto read = settings_with({"--metrics.url=http://127.0.0.1/", "--metrics.url_map=" + std::string(wrong)});
    REQUIRE_FALSE(read);
    CHECK(read.error().kind == base::error_kind::invalid_input);
    CHECK(fields_of(read.error()) == names{"metrics.url_map"});
    CHECK_THAT(read.error().message, Catch::StartsWith("metrics.url_map: "));
  }
  const auto alone = settings_with({"--metrics.url_map=error_count=up"});
  REQUIRE_FALSE(alone);
  CHECK(fields_of(alone.error()) == names{"metrics.url"});
  const auto name = settings_with({"--metrics.url=http://service.example/metrics"});
  REQUIRE(name);
  const auto sampler = make_sampler(*name);
  REQUIRE_FALSE(sampler);
  CHECK(fields_of(sampler.error()) == names{"metrics.url"});
}

TEST_CASE("agent settings: what does not fit together is named, all of it at once") {
  const auto read = settings_with({"--voter.mode=command", "--executor.mode=command", "--api.socket="});
  REQUIRE_FALSE(read);
  CHECK(fields_of(read.error()) == names{"voter.command", "executor.command", "api.socket"});
}

}  // namespace
}  // namespace fleet::agent
