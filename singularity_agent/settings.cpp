#include "singularity_agent/settings.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>

#include "common/base/text.hpp"
#include "singularity_agent/execution/command_executor.hpp"

namespace fleet::agent {
namespace {

using config::setting;
using config::value_type;

base::decimal whole(std::int64_t number) {
  return base::decimal::from_int(number);
}

setting text(std::string key, std::string fallback, std::string sentence) {
  setting what;
  what.key = std::move(key);
  what.fallback = std::move(fallback);
  what.sentence = std::move(sentence);
  return what;
}

struct bounds {
  std::int64_t min;
  std::int64_t max;
};

setting number(std::string key, value_type type, std::string fallback, bounds range, std::string sentence) {
  auto what = text(std::move(key), std::move(fallback), std::move(sentence));
  what.type = type;
  what.min = whole(range.min);
  what.max = whole(range.max);
  if (type == value_type::duration_ms) what.unit = "ms";
  return what;
}

setting list(std::string key, std::string fallback, std::string sentence) {
  auto what = text(std::move(key), std::move(fallback), std::move(sentence));
  what.type = value_type::list;
  return what;
}

void add_instance(config::schema& to) {
  auto id = text("instance.id", "", "This instance's name in the fleet: 1 to 200 characters, unique, kept for life.");
  id.environment = "INSTANCE_ID";
  id.required = true;
  to.add(id);
  to.add(list("instance.roles", "proposer,voter,executor",
              "What it takes part in; an instance with the role voter is part of electorates."));
  to.add(number("instance.heartbeat_ms", value_type::duration_ms, "2000", {100, 60'000},
                "How often it tells the coordinator that it is alive."));
  to.add(text("api.socket", "/run/singularity_agent/agent.sock", "Unix socket of the local API, made with mode 0660."));
  to.add(text("api.listen", "", "host:port of the local API besides the socket; needs a token unless it is loopback."));
  auto token = text("http.token_file", "", "File with the bearer token that changing calls need on api.listen.");
  token.credential = "http_token";
  to.add(token);
  to.add(text("spool.path", "auto",
              "SQLite file that keeps what is handed in while the database is away. auto: spool.db in the service "
              "manager's state directory, else beside api.socket; empty: none."));
  auto size = number("spool.max_mb", value_type::integer, "64", {1, 10'000},
                     "Most that the spool holds; when it is full metrics make room, and the rest is refused.");
  size.unit = "MiB";
  to.add(size);
}

void add_voter(config::schema& to) {
  auto mode = text("voter.mode", "policy", "Who votes here: the built-in policy, a command, or a person.");
  mode.choices = {"policy", "command", "manual"};
  to.add(mode);
  to.add(text("voter.command", "",
              "Run by sh -c with the voting request as JSON on standard input; prints {vote, confidence, reason}."));
  to.add(number("voter.command_timeout_ms", value_type::duration_ms, "20000", {100, 3'600'000},
                "How long the command may take; never past the vote's deadline."));
  const auto policy = [&to](setting what) {
    what.reloadable = true;
    to.add(std::move(what));
  };
  policy(number("voter.max_risk_score", value_type::decimal, "8", {1, 10}, "Changes with a higher risk are rejected."));
  policy(number("voter.min_impact_score", value_type::decimal, "1", {1, 10}, "Changes with less impact are rejected."));
  policy(number("voter.min_benefit_ratio", value_type::decimal, "0.5", {0, 10},
                "Changes whose impact divided by risk is lower are rejected."));
  policy(number("voter.min_trial_success_rate", value_type::decimal, "0.9", {0, 1},
                "Changes whose trials succeeded less often are rejected."));
  policy(number("voter.max_trial_error_rate", value_type::decimal, "0.1", {0, 1},
                "Changes whose trials erred more often are rejected, where their safety profile names no bound."));
  policy(list("voter.denied_paths", "", "Globs as in .gitignore; changes that touch such a path are rejected."));
  auto bytes =
      number("voter.max_change_bytes", value_type::integer, "1000000", {1, 8'388'608}, "Larger changes are rejected.");
  bytes.unit = "bytes";
  policy(bytes);
  auto unknown = text("voter.allow_unknown", "false", "Vote on changes whose paths cannot be read.");
  unknown.type = value_type::boolean;
  policy(unknown);
}

void add_executor(config::schema& to) {
  auto mode = text("executor.mode", "git", "What carries changes out: git, or a command.");
  mode.choices = {"git", "command"};
  to.add(mode);
  to.add(
      text("executor.repository", "", "The git work tree that changes are applied to; a command's working directory."));
  to.add(text("executor.branch", "", "Nothing is applied unless this branch is checked out; empty: any branch."));
  to.add(
      text("executor.command", "", "Run by sh -c for each action, told by ACTION and PROPOSAL_ID in its environment."));
  to.add(text("executor.verify_command", "",
              "Run by sh -c in the repository after a change; when it fails the change is undone."));
  to.add(number("executor.verify_timeout_ms", value_type::duration_ms, "600000", {100, 86'400'000},
                "How long the verify command may take."));
  to.add(number("executor.command_timeout_ms", value_type::duration_ms, "60000", {100, 86'400'000},
                "How long the executor's command, and a command of a rollback step, may take."));
  to.add(text("executor.step.*", "", "The command of a rollback step of this name; steps without one are skipped."));
  auto window = number("execution.observation_window_seconds", value_type::integer, "600", {1, 604'800},
                       "How long a change is watched where its safety profile does not say.");
  window.unit = "s";
  to.add(window);
}

void add_metrics(config::schema& to) {
  to.add(text(
      "metrics.proc", "machine",
      "Whose cpu_usage and memory are sampled: machine (without what the agent and the commands that it ran took), "
      "pid:N, /sys/fs/cgroup/… of the instance (where it shares its host, other programs' load would look like the "
      "change's), or none."));
  to.add(text("metrics.command", "", "Run by sh -c for each sample; prints a JSON object of metrics."));
  to.add(text("metrics.url", "",
              "http://ADDRESS:PORT/PATH that is asked for each sample: answers a JSON object as metrics.command prints "
              "it, or a Prometheus exposition."));
  to.add(text("metrics.url_map", "",
              "Of an exposition: METRIC=SELECTOR entries with commas between them, such as "
              "error_count=app_errors_total{code=\"500\"}; each is the sum over what it selects. Empty: the samples "
              "without labels that bear the name of a known metric."));
  to.add(number("metrics.timeout_ms", value_type::duration_ms, "5000", {100, 600'000}, "How long a sample may take."));
  to.add(number("metrics.interval_ms", value_type::duration_ms, "10000", {50, 3'600'000},
                "Between two samples of a change that is watched."));
}

void add_proposals(config::schema& to) {
  auto flight = number("proposals.max_in_flight", value_type::integer, "100", {1, 10'000},
                       "Proposals that may wait for a decision at a time; the rest waits here, by priority.");
  flight.unit = "proposals";
  to.add(flight);
  auto pending = number("proposals.max_pending", value_type::integer, "10000", {1, 100'000},
                        "Proposals that may wait here; one more is refused.");
  pending.unit = "proposals";
  to.add(pending);
  to.add(
      list("proposals.cost_factors", "",
           "AgentType=factor entries (0.1 to 100) on top of the built-in ones; a higher factor lowers the priority."));
}

base::result<proposals::cost_factors> cost_factors_from(const config::values& all) {
  auto table = proposals::default_cost_factors();
  for (const auto& entry : all.get_list("proposals.cost_factors")) {
    const auto at = entry.rfind('=');
    const auto name = at == std::string::npos ? std::string() : std::string(base::trim(entry.substr(0, at)));
    const auto factor = base::decimal::parse(base::trim(at == std::string::npos ? "" : entry.substr(at + 1)));
    if (!base::is_valid_id(name) || !factor || *factor < base::decimal::from_millionths(100'000) ||
        *factor > whole(100)) {
      return base::make_error(base::error_kind::invalid_input,
                              fmt::format("proposals.cost_factors: expected AgentType=0.1…100, got '{}'", entry));
    }
    table[name] = *factor;
  }
  return table;
}

base::result<metrics_settings> metrics_from(const config::values& all) {
  metrics_settings settings;
  settings.proc = all.get_string("metrics.proc");
  settings.command = all.get_string("metrics.command");
  settings.url = all.get_string("metrics.url");
  auto map = metrics::parse_mapping(all.get_string("metrics.url_map"));
  if (!map) return base::invalid_fields({{"metrics.url_map", map.error().message}});
  settings.url_map = std::move(*map);
  settings.timeout = all.get_ms("metrics.timeout_ms");
  settings.interval = all.get_ms("metrics.interval_ms");
  return settings;
}

executor_settings executor_from(const config::values& all) {
  executor_settings settings;
  settings.mode = all.get_string("executor.mode") == "git" ? executor_mode::git : executor_mode::command;
  settings.repository = all.get_string("executor.repository");
  settings.branch = all.get_string("executor.branch");
  settings.command = all.get_string("executor.command");
  settings.verify_command = all.get_string("executor.verify_command");
  settings.verify_timeout = all.get_ms("executor.verify_timeout_ms");
  settings.command_timeout = all.get_ms("executor.command_timeout_ms");
  for (const auto& name : all.names_of("executor.step.*"))
    settings.steps[name] = all.get_string("executor.step." + name);
  settings.observation_window_seconds = all.get_int("execution.observation_window_seconds");
  return settings;
}

void check_together(const agent_settings& settings, std::vector<base::field_error>& wrong) {
  if (!base::is_valid_id(settings.instance.str()) || settings.instance.str() == "broadcast")
    wrong.push_back({"instance.id", "expected 1 to 200 characters without control characters, other than 'broadcast'"});
  if (settings.voter.mode == voter_mode::command && settings.voter.command.empty())
    wrong.push_back({"voter.command", "is needed where voter.mode is command"});
  if (settings.executor.mode == executor_mode::git && settings.executor.repository.empty())
    wrong.push_back({"executor.repository", "is needed where executor.mode is git"});
  if (settings.executor.mode == executor_mode::command && settings.executor.command.empty())
    wrong.push_back({"executor.command", "is needed where executor.mode is command"});
  if (!settings.metrics.url_map.empty() && settings.metrics.url.empty())
    wrong.push_back({"metrics.url", "is needed where metrics.url_map is set"});
  if (settings.api.socket.empty() && settings.api.listen.empty())
    wrong.push_back({"api.socket", "is needed where api.listen is not set"});
}

}  // namespace

std::shared_ptr<const config::schema> agent_schema() {
  static const auto made = [] {
    auto schema = std::make_shared<config::schema>();
    add_instance(*schema);
    config::add_core_settings(*schema);
    add_proposals(*schema);
    add_voter(*schema);
    add_executor(*schema);
    add_metrics(*schema);
    return schema;
  }();
  return made;
}

std::chrono::milliseconds longest_step(const agent_settings& settings) {
  constexpr std::chrono::minutes database{5};
  const auto turn = execution::command_executor_options{}.lock_timeout;
  constexpr int commands = 20;  // git's of one change
  return database + turn + settings.executor.verify_timeout + commands * settings.executor.command_timeout +
         settings.voter.command_timeout + settings.metrics.timeout;
}

std::string spool_path_of(const agent_settings& settings) {
  if (settings.spool.path != "auto") return settings.spool.path;
  constexpr auto name = "spool.db";
  // systemd names several directories with colons between them; the first is ours.
  if (const char* state = std::getenv("STATE_DIRECTORY"); state != nullptr && *state != '\0') {
    const std::string_view all(state);
    return std::filesystem::path(all.substr(0, all.find(':'))) / name;
  }
  if (settings.api.socket.empty()) return {};
  return std::filesystem::path(settings.api.socket).parent_path() / name;
}

base::result<voting::policy_settings> policy_from(const config::values& all) {
  voting::policy_settings policy;
  policy.max_risk_score = all.get_decimal("voter.max_risk_score");
  policy.min_impact_score = all.get_decimal("voter.min_impact_score");
  policy.min_benefit_ratio = all.get_decimal("voter.min_benefit_ratio");
  policy.min_trial_success_rate = all.get_decimal("voter.min_trial_success_rate");
  policy.max_trial_error_rate = all.get_decimal("voter.max_trial_error_rate");
  policy.denied_paths = all.get_list("voter.denied_paths");
  policy.max_change_bytes = all.get_int("voter.max_change_bytes");
  policy.allow_unknown = all.get_bool("voter.allow_unknown");
  if (const auto good = voting::check(policy); !good) return good.error();
  return policy;
}

base::result<agent_settings> settings_from(const config::values& all) {
  agent_settings settings;
  settings.instance = base::instance_id(all.get_string("instance.id"));
  settings.roles = all.get_list("instance.roles");
  settings.heartbeat = all.get_ms("instance.heartbeat_ms");
  settings.core = config::core_from(all);
  settings.api.socket = all.get_string("api.socket");
  settings.api.listen = all.get_string("api.listen");
  settings.api.token_file = all.get_string("http.token_file");
  settings.spool.path = all.get_string("spool.path");
  settings.spool.max_bytes = static_cast<std::uint64_t>(all.get_int("spool.max_mb")) * 1024 * 1024;
  const auto& mode = all.get_string("voter.mode");
  settings.voter.mode = mode == "policy"    ? voter_mode::policy
                        : mode == "command" ? voter_mode::command
                                            : voter_mode::manual;
  settings.voter.command = all.get_string("voter.command");
  settings.voter.command_timeout = all.get_ms("voter.command_timeout_ms");
  const auto policy = policy_from(all);
  if (!policy) return policy.error();
  settings.voter.policy = *policy;
  settings.executor = executor_from(all);
  auto measured = metrics_from(all);
  if (!measured) return measured.error();
  settings.metrics = std::move(*measured);
  settings.proposals.max_in_flight = static_cast<int>(all.get_int("proposals.max_in_flight"));
  settings.proposals.max_pending = static_cast<int>(all.get_int("proposals.max_pending"));
  const auto factors = cost_factors_from(all);
  if (!factors) return factors.error();
  settings.proposals.cost_factors = *factors;
  std::vector<base::field_error> wrong;
  check_together(settings, wrong);
  if (!wrong.empty()) return base::invalid_fields(std::move(wrong));
  return settings;
}

}  // namespace fleet::agent
