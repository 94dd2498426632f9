#include "common/config/core_settings.hpp"

#include <catch2/catch.hpp>

#include "common/config/load.hpp"

using namespace fleet;
using namespace std::chrono_literals;

namespace {

base::result<config::values> load(std::map<std::string, std::string> environment) {
  auto schema = std::make_shared<config::schema>();
  config::add_core_settings(*schema);
  config::sources from;
  from.environment = [environment](const std::string& name) -> std::optional<std::string> {
    const auto found = environment.find(name);
    return found == environment.end() ? std::nullopt : std::optional(found->second);
  };
  return config::load(schema, from);
}

}  // namespace

TEST_CASE("core settings: defaults of the queues") {
  const auto loaded = load({{"PGFLOW_DATABASE_URL", "postgresql://a:b@h/d"}});
  REQUIRE(loaded.has_value());
  const auto core = config::core_from(*loaded);
  CHECK(core.database_url == "postgresql://a:b@h/d");
  CHECK(core.stop_grace == 10s);
  CHECK_FALSE(core.log_json);
  CHECK(config::queue_names().size() == 10);
  const auto votes = config::queue_from(*loaded, "votes_for_consensus_queue");
  CHECK(votes.workers == 3);
  CHECK(votes.max_retries == 3);
  CHECK(votes.retry_delay == 1s);
  CHECK(config::print_effective(*loaded).find("a:b@") == std::string::npos);
}

TEST_CASE("core settings: what listens goes to database.url, to a url of its own, or nowhere") {
  const auto core_with = [](const std::string& listen_url) {
    auto schema = std::make_shared<config::schema>();
    config::add_core_settings(*schema);
    config::sources from;
    from.arguments = {"--database.url=postgresql://pooler/d"};
    if (!listen_url.empty()) from.arguments.push_back("--database.listen_url=" + listen_url);
    return config::core_from(config::load(schema, from).value());
  };
  CHECK(core_with("").listen_url == "postgresql://pooler/d");
  CHECK(core_with("postgresql://server/d").listen_url == "postgresql://server/d");
  CHECK(core_with("postgresql://server/d").database_url == "postgresql://pooler/d");
  CHECK_FALSE(core_with("postgresql://server/d").poll_only);
  CHECK(core_with("none").poll_only);
}

TEST_CASE("core settings: without a database there is an error that names the variable") {
  const auto loaded = load({});
  REQUIRE(loaded.has_error());
  CHECK(loaded.error().message.find("PGFLOW_DATABASE_URL") != std::string::npos);
}

TEST_CASE("core settings: each worker variable sets its queue") {
  const auto [name, queue] = GENERATE(table<std::string, std::string>({
      {"PGFLOW_PROPOSALS_WORKERS", "proposals_for_consensus_queue"},
      {"PGFLOW_VOTES_WORKERS", "votes_for_consensus_queue"},
      {"PGFLOW_METRICS_WORKERS", "metrics_to_guardian_queue"},
      {"PGFLOW_PATTERNS_WORKERS", "patterns_for_aggregator_queue"},
      {"PGFLOW_CONSENSUS_WORKERS", "consensus_results_queue"},
      {"PGFLOW_ROLLBACK_WORKERS", "rollback_triggers_queue"},
      {"PGFLOW_SAFETY_WORKERS", "guardian_safety_profiles_queue"},
  }));
  const auto loaded = load({{"PGFLOW_DATABASE_URL", "x"}, {name, "9"}});
  REQUIRE(loaded.has_value());
  for (const auto& each : config::queue_names())
    CHECK((config::queue_from(*loaded, each).workers == 9) == (each == queue));
}

TEST_CASE("core settings: retries and delay from the environment apply to every queue") {
  const auto loaded =
      load({{"PGFLOW_DATABASE_URL", "x"}, {"PGFLOW_MAX_RETRIES", "6"}, {"PGFLOW_RETRY_DELAY_MS", "250"}});
  REQUIRE(loaded.has_value());
  for (const auto& each : config::queue_names()) {
    CHECK(config::queue_from(*loaded, each).max_retries == 6);
    CHECK(config::queue_from(*loaded, each).retry_delay == 250ms);
  }
}
