#include "centralcloud_daemon/settings.hpp"

#include <fstream>
#include <utility>

#include "centralcloud_daemon/alerts/webhook.hpp"
#include "common/base/text.hpp"

namespace fleet::central {
namespace {

using config::setting;
using config::value_type;

base::decimal whole(std::int64_t number) {
  return base::decimal::from_int(number);
}

setting made(std::string key, value_type type, std::string fallback, std::string sentence, bool reloadable = true) {
  setting what;
  what.key = std::move(key);
  what.type = type;
  what.fallback = std::move(fallback);
  what.sentence = std::move(sentence);
  what.reloadable = reloadable;
  return what;
}

setting bounded(setting what, std::int64_t min, std::int64_t max, std::string unit = {}) {
  what.min = whole(min);
  what.max = whole(max);
  what.unit = std::move(unit);
  return what;
}

std::string default_rule_texts() {
  std::string joined;
  for (const auto& rule : guardian::default_rules()) {
    if (!joined.empty()) joined += ", ";
    joined += guardian::format_rule(rule);
  }
  return joined;
}

void add_http(config::schema& to) {
  to.add(made("http.listen", value_type::string, "127.0.0.1:4001",
              "Address of the HTTP API; anything but loopback needs a token. Empty: none.", false));
  auto token = made("http.token_file", value_type::string, "",
                    "File whose first line is the bearer token that changing calls must bring. Empty: none is asked "
                    "for.",
                    false);
  token.credential = "http_token";
  to.add(std::move(token));
}

void add_consensus(config::schema& to) {
  to.add(bounded(made("consensus.min_votes", value_type::integer, "3", "Votes needed before a proposal is decided."), 1,
                 10'000, "votes"));
  to.add(bounded(made("consensus.approval_ratio", value_type::ratio, "2/3",
                      "Part of the votes that must approve; met when equal."),
                 0, 1));
  to.add(bounded(made("consensus.min_confidence", value_type::decimal, "0.85",
                      "Mean confidence of all votes that a decision needs; met when equal."),
                 0, 1));
  to.add(bounded(made("consensus.veto_confidence", value_type::decimal, "0.90",
                      "A single reject with a confidence above it rejects at once."),
                 0, 1));
  to.add(bounded(made("consensus.quorum_fraction", value_type::decimal, "0",
                      "Part of the electorate that must have voted, where that is more than min_votes."),
                 0, 1));
  to.add(bounded(made("consensus.voting_timeout_ms", value_type::duration_ms, "30000",
                      "How long a vote stays open; undecided then means rejected."),
                 100, 86'400'000, "ms"));
  to.add(bounded(made("consensus.voters_wait_ms", value_type::duration_ms, "5000",
                      "How long a vote waits for min_votes voters to be present before it opens with fewer."),
                 0, 3'600'000, "ms"));
  to.add(made("consensus.proposer_may_vote", value_type::boolean, "true",
              "Whether the proposing instance is part of the electorate."));
  to.add(bounded(
      made("consensus.always_vote_above", value_type::decimal, "8", "A risk score above it always goes to the vote."),
      0, 10));
  to.add(bounded(made("consensus.default_risk_bound", value_type::decimal, "3",
                      "Up to this risk score `needs_consensus: false` goes without a vote, where the safety profile "
                      "has no max_risk_score."),
                 0, 10));
  to.add(made("consensus.auto_approve", value_type::boolean, "false",
              "Whether a change like ones that were confirmed safe is approved without a vote."));
  to.add(bounded(made("consensus.auto_approve_similarity", value_type::decimal, "0.90",
                      "How alike a change must be to one that was confirmed safe."),
                 0, 1));
  to.add(bounded(made("consensus.auto_approve_min_history", value_type::integer, "10",
                      "Confirmed changes of the same kind that are needed first."),
                 1, 1'000'000, "changes"));
  to.add(bounded(made("instances.heartbeat_timeout_ms", value_type::duration_ms, "15000",
                      "An instance that was not heard of for longer is in no electorate."),
                 100, 86'400'000, "ms"));
}

void add_guardian(config::schema& to) {
  to.add(made("guardian.rules", value_type::list, default_rule_texts(),
              "What is a breach: `<metric> <|>|increase <threshold> <low|medium|high|critical> <breaches in a row> "
              "[alert_at=<n>] [alert_only]`, separated by commas."));
  to.add(bounded(made("guardian.observation_window_seconds", value_type::integer, "600",
                      "How long an applied change is watched, where its safety profile says nothing."),
                 1, messages::max_observation_window_seconds, "s"));
  to.add(bounded(made("guardian.metrics_interval_ms", value_type::duration_ms, "10000",
                      "The longest time expected between two samples of a watched change."),
                 50, 3'600'000, "ms"));
  to.add(bounded(made("guardian.metrics_missing_intervals", value_type::integer, "3",
                      "Intervals without a sample after which `metrics_missing` is raised."),
                 1, 1'000, "intervals"));
  auto action = made("guardian.metrics_missing_action", value_type::string, "alert",
                     "What `metrics_missing` does: tell people, or also take the change back.");
  action.choices = {"alert", "roll_back"};
  to.add(std::move(action));
  to.add(made("guardian.learning", value_type::boolean, "true",
              "Whether thresholds are learned from confirmed changes and sent to all instances."));
  to.add(bounded(made("guardian.learning_min_samples", value_type::integer, "59",
                      "Confirmed changes of an agent type that learning needs."),
                 5, 100'000, "changes"));
}

void add_patterns(config::schema& to) {
  to.add(bounded(made("patterns.same_similarity", value_type::decimal, "0.90",
                      "From this similarity on, two reports of one type are the same pattern."),
                 0, 1));
  to.add(bounded(made("patterns.min_instances", value_type::integer, "3", "Distinct instances that confirm a pattern."),
                 1, 10'000, "instances"));
  to.add(bounded(made("patterns.min_success_rate", value_type::decimal, "0.95",
                      "Mean success rate that a confirmed pattern needs."),
                 0, 1));
  to.add(bounded(
      made("patterns.promote_usage", value_type::integer, "100", "Uses after which a confirmed pattern is promoted."),
      1, 1'000'000'000, "uses"));
}

void add_maintenance(config::schema& to) {
  to.add(bounded(made("queue.rotation_interval_seconds", value_type::integer, "60",
                      "How long messages are written to one segment of the log before the next is begun."),
                 1, 86'400, "s"));
  to.add(bounded(
      made("queue.segment_max_mib", value_type::integer, "1024", "A segment larger than this is left before its time."),
      1, 1'048'576, "MiB"));
  to.add(bounded(made("queue.lag_rotations", value_type::integer, "2",
                      "A reader so many rotations behind has what it has not read copied to its backlog, and holds the "
                      "log no longer."),
                 1, 10'000, "rotations"));
  to.add(bounded(made("queue.instance_expiry_hours", value_type::integer, "168",
                      "What waits for an instance that took nothing for so long goes to the dead-letter queue."),
                 1, 87'600, "h"));
}

void add_alerts(config::schema& to) {
  to.add(bounded(
      made("alerts.dlq_messages", value_type::integer, "10", "Dead letters of a queue above which people are told."), 0,
      1'000'000'000, "messages"));
  to.add(bounded(made("alerts.queue_latency_seconds", value_type::decimal, "5",
                      "Age of a queue's oldest message above which people are told."),
                 0, 86'400, "s"));
  to.add(bounded(made("alerts.snapshot_age_seconds", value_type::integer, "300",
                      "How long a snapshot may be held (by a session, a prepared transaction, a replication slot or a "
                      "standby) before people are told: it keeps the database from cleaning up."),
                 1, 1'000'000, "s"));
  to.add(bounded(made("alerts.rotation_held_seconds", value_type::integer, "600",
                      "How long rotation of the message log may wait for a segment before people are told."),
                 1, 1'000'000, "s"));
  to.add(bounded(made("alerts.instance_silent_seconds", value_type::integer, "60",
                      "How long an instance may be silent before people are told."),
                 1, 1'000'000, "s"));
  to.add(bounded(made("alerts.instance_backlog_messages", value_type::integer, "1000",
                      "Messages set aside for an instance that reads too slowly, above which people are told."),
                 0, 1'000'000'000, "messages"));
  to.add(bounded(made("alerts.raise_after_seconds", value_type::decimal, "10",
                      "How long what may pass by itself (latency, no live instance) must last to be an alert."),
                 0, 86'400, "s"));
  to.add(bounded(made("alerts.clear_after_seconds", value_type::decimal, "30",
                      "How long it must be over to be cleared: the longer, the less a condition that comes and goes "
                      "is told."),
                 0, 86'400, "s"));
  to.add(bounded(made("alerts.repeat_interval_seconds", value_type::integer, "3600",
                      "What still stands is told again after this. 0: never."),
                 0, 2'592'000, "s"));
  to.add(made("alerts.command", value_type::string, "",
              "Command that is run by /bin/sh for each notice, which is one line of JSON on its standard input. Empty: "
              "none."));
  // A webhook's URL is often all that it takes to use it.
  to.add(made("alerts.webhook_url", value_type::secret, "",
              "http:// or https:// URL that each notice is posted to as JSON. Empty: none."));
  to.add(bounded(made("alerts.timeout_ms", value_type::duration_ms, "10000",
                      "How long the command or the webhook may take; then it is tried again."),
                 100, 600'000, "ms"));
}

void add_metrics(config::schema& to) {
  to.add(bounded(made("metrics.sample_interval_ms", value_type::duration_ms, "5000",
                      "How often the database's figures are sampled, for /metrics and for alerts."),
                 100, 3'600'000, "ms"));
}

std::chrono::milliseconds seconds_in(const config::values& all, const std::string& key) {
  return std::chrono::milliseconds(all.get_decimal(key).millionths() / 1000);
}

void read_alerts(const config::values& all, settings& into) {
  auto& limits = into.monitor.limits;
  const auto number = [&](const char* key) { return static_cast<double>(all.get_int(key)); };
  limits.dead_letters = number("alerts.dlq_messages");
  limits.queue_latency_seconds = all.get_decimal("alerts.queue_latency_seconds").to_double();
  limits.snapshot_seconds = number("alerts.snapshot_age_seconds");
  limits.held_seconds = number("alerts.rotation_held_seconds");
  limits.instance_silent_seconds = number("alerts.instance_silent_seconds");
  limits.instance_backlog = number("alerts.instance_backlog_messages");
  into.monitor.interval = all.get_ms("metrics.sample_interval_ms");
  into.monitor.heartbeat_timeout = into.consensus.heartbeat_timeout;
  into.monitor.instance_forgotten = into.maintenance.instance_expiry;
  into.monitor.raise_after = seconds_in(all, "alerts.raise_after_seconds");
  into.monitor.clear_after = seconds_in(all, "alerts.clear_after_seconds");
  into.monitor.repeat_interval = std::chrono::seconds(all.get_int("alerts.repeat_interval_seconds"));
  into.channels.command = all.get_string("alerts.command");
  into.channels.webhook_url = all.get_string("alerts.webhook_url");
  into.channels.timeout = all.get_ms("alerts.timeout_ms");
}

base::result<guardian::watch_settings> guardian_from(const config::values& all) {
  guardian::watch_settings made_of;
  auto rules = guardian::parse_rules(all.get_list("guardian.rules"));
  if (!rules) {
    std::vector<base::field_error> fields;
    fields.push_back({"guardian.rules", rules.error().message});
    return base::invalid_fields(std::move(fields));
  }
  made_of.rules = std::move(*rules);
  made_of.observation_window = std::chrono::seconds(all.get_int("guardian.observation_window_seconds"));
  made_of.metrics_interval = all.get_ms("guardian.metrics_interval_ms");
  made_of.missing_intervals = all.get_int("guardian.metrics_missing_intervals");
  made_of.missing_rolls_back = all.get_string("guardian.metrics_missing_action") == "roll_back";
  made_of.learns = all.get_bool("guardian.learning");
  made_of.learning.min_samples = static_cast<std::size_t>(all.get_int("guardian.learning_min_samples"));
  return made_of;
}

base::result<consensus::engine_settings> consensus_from(const config::values& all) {
  consensus::engine_settings made_of;
  auto& rules = made_of.rules;
  rules.min_votes = all.get_int("consensus.min_votes");
  const auto ratio = all.get_ratio("consensus.approval_ratio");
  rules.approval_ratio = consensus::ratio{ratio.numerator, ratio.denominator};
  rules.min_confidence = all.get_decimal("consensus.min_confidence");
  rules.veto_confidence = all.get_decimal("consensus.veto_confidence");
  rules.quorum_fraction = all.get_decimal("consensus.quorum_fraction");
  rules.always_vote_above = all.get_decimal("consensus.always_vote_above");
  rules.default_risk_bound = all.get_decimal("consensus.default_risk_bound");
  rules.auto_approve = all.get_bool("consensus.auto_approve");
  rules.auto_approve_similarity = all.get_decimal("consensus.auto_approve_similarity");
  rules.auto_approve_min_history = all.get_int("consensus.auto_approve_min_history");
  if (const auto fits = consensus::check(rules); !fits) return fits.error();
  made_of.voting_timeout = all.get_ms("consensus.voting_timeout_ms");
  made_of.heartbeat_timeout = all.get_ms("instances.heartbeat_timeout_ms");
  made_of.voters_wait = all.get_ms("consensus.voters_wait_ms");
  made_of.proposer_may_vote = all.get_bool("consensus.proposer_may_vote");
  return made_of;
}

}  // namespace

std::shared_ptr<const config::schema> settings_schema() {
  auto all = std::make_shared<config::schema>();
  config::add_core_settings(*all);
  add_http(*all);
  add_consensus(*all);
  add_guardian(*all);
  add_patterns(*all);
  add_maintenance(*all);
  add_metrics(*all);
  add_alerts(*all);
  return all;
}

base::result<settings> settings_from(const config::values& all) {
  settings made_of;
  made_of.core = config::core_from(all);
  made_of.http_listen = all.get_string("http.listen");
  made_of.token_file = all.get_string("http.token_file");
  auto votes = consensus_from(all);
  if (!votes) return votes.error();
  made_of.consensus = *votes;
  auto watched = guardian_from(all);
  if (!watched) return watched.error();
  made_of.guardian = std::move(*watched);
  made_of.patterns.same_similarity = all.get_decimal("patterns.same_similarity");
  made_of.patterns.min_instances = all.get_int("patterns.min_instances");
  made_of.patterns.min_success_rate = all.get_decimal("patterns.min_success_rate");
  made_of.patterns.promote_usage = all.get_int("patterns.promote_usage");
  made_of.maintenance.rotation_interval = std::chrono::seconds(all.get_int("queue.rotation_interval_seconds"));
  made_of.maintenance.segment_bytes = all.get_int("queue.segment_max_mib") << 20;
  made_of.maintenance.lag_rotations = all.get_int("queue.lag_rotations");
  made_of.maintenance.instance_expiry = std::chrono::hours(all.get_int("queue.instance_expiry_hours"));
  read_alerts(all, made_of);
  if (const auto& url = made_of.channels.webhook_url; !url.empty()) {
    if (const auto target = alerts::parse_webhook_url(url); !target)
      return base::invalid_fields({{"alerts.webhook_url", target.error().message}});
  }
  return made_of;
}

postgres::settings database_settings(const config::core_settings& core) {
  postgres::settings how;
  how.url = core.database_url;
  how.application_name = "centralcloud_daemon";
  how.connect_timeout = core.connect_timeout;
  how.statement_timeout = core.statement_timeout;
  return how;
}

postgres::settings listen_settings(const config::core_settings& core) {
  auto how = database_settings(core);
  how.url = core.listen_url;
  return how;
}

}  // namespace fleet::central
