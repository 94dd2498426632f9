#include "centralcloud_daemon/guardian/watch.hpp"

#include <algorithm>
#include <utility>

#include "centralcloud_daemon/guardian/profile_bounds.hpp"
#include "common/messages/reader.hpp"

namespace fleet::central::guardian {
namespace {

using quantumflow::outcome;

constexpr std::string_view actor_name = "centralcloud";
/// How many confirmed changes are learned from; the newest.
constexpr int max_learned_from = 1000;

messages::breached_threshold threshold_of(const breach& from) {
  messages::breached_threshold threshold;
  threshold.bounds.emplace(from.metric, from.bound);
  threshold.actual = from.actual;
  threshold.severity = from.level;
  threshold.breaches = from.breaches;
  return threshold;
}

std::optional<base::decimal> threshold_in(const std::map<std::string, base::decimal>& all, const std::string& metric) {
  const auto found = all.find(metric);
  if (found == all.end()) return std::nullopt;
  return found->second;
}

boost::json::object describe(const breach& from) {
  auto json = threshold_of(from).encode();
  json.emplace("reason", from.reason);
  return json;
}

}  // namespace

boost::asio::awaitable<outcome> watch::receive_sample(postgres::transaction& open, messages::execution_metrics sample) {
  watch_times times;
  times.window = settings_.observation_window;
  times.settle = settings_.silence();
  auto recorded = co_await record_sample(open, sample, times);
  switch (recorded.what) {
    case sample_reception::unknown_proposal:
      co_return outcome::rejected("unknown proposal \"" + sample.proposal_id.str() + "\"");
    case sample_reception::other_instance:
      co_return outcome::rejected("conflict: another instance than \"" + sample.instance_id.str() +
                                  "\" applies proposal \"" + sample.proposal_id.str() + "\"");
    case sample_reception::duplicate:
      co_return outcome::done();
    case sample_reception::recorded:
      break;
  }
  log_.debug("sample_recorded", messages::to_string(sample.status),
             {{"proposal_id", sample.proposal_id},
              {"trace_id", base::trace_id_of(recorded.trace)},
              {"metrics_trace_id", base::trace_id_of(sample.told_trace)}});
  if (recorded.unapproved) {
    alerts::change_alert what{"executed_without_approval", sample.proposal_id, "critical",
                              "a change runs that nobody approved", recorded.trace};
    co_await alert(open, std::move(what));
  }
  count_end(open, sample, recorded);
  if (recorded.state == "rollback_failed" && sample.status == messages::execution_status::rollback_failed) {
    alerts::change_alert what{"rollback_failed", sample.proposal_id, "critical",
                              "a change could not be taken back: it needs a person", recorded.trace};
    co_await alert(open, std::move(what));
  }
  if (recorded.judge) co_await judge(open, std::move(sample), std::move(recorded));
  co_return outcome::done();
}

boost::asio::awaitable<void> watch::judge(postgres::transaction& open, messages::execution_metrics sample,
                                          recorded_sample recorded) {
  // What this sample says of the time before wins over what the first one said.
  auto before = sample.metrics_before;
  before.insert(recorded.baseline.begin(), recorded.baseline.end());
  const auto rules = with_profile(settings_.rules, recorded.profile);
  watch_state state;
  state.runs = recorded.runs;
  state.auto_rollback = recorded.profile.auto_rollback.value_or(true);
  const struct sample values { before, sample.metrics_after };
  const auto found = evaluate(rules, values, state);
  if (found.runs != recorded.runs || !found.breaches.empty()) {
    judged_sample judged;
    judged.proposal = sample.proposal_id;
    judged.sample_id = recorded.sample_id;
    judged.runs = found.runs;
    for (const auto& each : found.breaches) judged.breaches.push_back(describe(each));
    co_await record_assessment(open, std::move(judged));
  }
  for (const auto& each : found.alerts) {
    alerts::change_alert what{each.reason, sample.proposal_id, std::string(messages::to_string(each.level)),
                              each.metric + " is " + each.actual.str() + ", its bound " + each.bound.str(),
                              recorded.trace};
    what.value = each.actual;
    what.bound = each.bound;
    what.detail = describe(each);
    co_await alert(open, std::move(what));
  }
  if (!found.rollback) co_return;
  trigger what;
  what.proposal = sample.proposal_id;
  what.change_type = recorded.change_type;
  what.reason = found.rollback->reason;
  what.threshold = threshold_of(*found.rollback);
  what.actor = actor_name;
  co_await trigger_rollback(open, std::move(what));
}

boost::asio::awaitable<std::optional<std::string>> watch::trigger_rollback(postgres::transaction& open, trigger what) {
  const auto record = co_await read_rollback_record(open, what.change_type);
  rollback_start start;
  start.proposal = what.proposal;
  start.rollback_id = base::new_uuid();
  start.reason = what.reason;
  start.threshold = what.threshold;
  start.strategy = strategy_for(what.change_type, record);
  start.actor = what.actor;
  start.note = what.note;
  const auto started = co_await start_rollback(open, start);
  if (!started) co_return std::nullopt;
  messages::rollback_trigger message;
  message.proposal_id = what.proposal;
  message.instance_id = started->applied_by;
  message.trace = base::child_of(started->trace);
  message.reason = std::move(what.reason);
  message.threshold = std::move(what.threshold);
  message.rollback_id = start.rollback_id;
  message.strategy = start.strategy;
  or_throw(co_await out_.send_rollback_trigger(open, std::move(message)));
  co_return start.rollback_id;
}

boost::asio::awaitable<bool> watch::confirm_due(postgres::transaction& open, timed_piece& piece) {
  const auto confirmed = co_await confirm_due_change(open, piece);
  if (!confirmed) co_return false;
  log_.info("change_confirmed", "the observation window ended without a rollback",
            {{"proposal_id", confirmed->proposal}, {"agent_type", confirmed->agent_type}});
  if (settings_.learns) co_await learn(open, confirmed->agent_type);
  co_return true;
}

boost::asio::awaitable<void> watch::learn(postgres::transaction& open, std::string agent_type) {
  const auto measures = co_await confirmed_measures(open, agent_type, max_learned_from);
  if (measures.size() < settings_.learning.min_samples) co_return;
  const auto held = co_await lock_safety_profile(open, agent_type);
  const auto current = current_thresholds(held.value_or(messages::safety_profile()), settings_.rules);
  const auto updates = propose_updates(settings_.learning, current, learning_samples(settings_.learning, measures));
  if (updates.empty()) co_return;
  profile_bounds learned;
  learned.agent_type = agent_type;
  learned.source = "guardian_learning";
  for (const auto& update : updates) set_threshold(learned.bounds, update);
  const auto asked = current_thresholds(learned.bounds, settings_.rules);
  messages::safety_profile_update update;
  update.source = learned.source;
  auto whole = co_await add_to_safety_profile(open, std::move(learned));
  if (!whole) co_return;
  const auto now = current_thresholds(*whole, settings_.rules);
  for (const auto& each : updates) {
    if (threshold_in(now, each.metric) != threshold_in(asked, each.metric)) continue;  // a person's bound stayed
    log_.info("threshold_learned", "an agent type's normal range moved a threshold",
              {{"agent_type", agent_type},
               {"metric", each.metric},
               {"threshold", each.to},
               {"samples", static_cast<std::uint64_t>(each.samples)}});
  }
  update.profile = std::move(*whole);
  update.instance_id = base::instance_id(std::string(messages::broadcast_instance));
  update.agent_type = std::move(agent_type);
  or_throw(co_await out_.send_safety_profile_update(open, std::move(update)));
}

boost::asio::awaitable<bool> watch::tell_profiles(postgres::transaction& open) {
  auto untold = co_await take_untold_instance(open);
  if (!untold) co_return false;
  for (auto& held : untold->held) {
    messages::safety_profile_update update;
    update.instance_id = untold->instance;
    update.agent_type = std::move(held.agent_type);
    update.profile = std::move(held.bounds);
    update.source = std::move(held.source);
    or_throw(co_await out_.send_safety_profile_update(open, std::move(update)));
  }
  co_return true;
}

boost::asio::awaitable<bool> watch::report_silence(postgres::transaction& open, timed_piece& piece) {
  const auto silent = co_await take_silent_change(open, settings_.silence(), piece);
  if (!silent) co_return false;
  alerts::change_alert missing{
      "metrics_missing", silent->proposal, "high",
      "a watched change has sent no sample for " + std::to_string(silent->silent_for.count()) + " ms", std::nullopt};
  co_await alert(open, std::move(missing));
  if (settings_.missing_rolls_back && silent->auto_rollback) {
    trigger what;
    what.proposal = silent->proposal;
    what.change_type = silent->change_type;
    what.reason = "metrics_missing";
    what.actor = actor_name;
    co_await trigger_rollback(open, std::move(what));
  }
  co_return true;
}

// Its message may be among the dead letters, or gone with them: a change must not stay in place because of that.
boost::asio::awaitable<std::optional<std::string>> watch::send_trigger_again(postgres::transaction& open,
                                                                             operator_request wanted) {
  rollback_repetition what{wanted.proposal, wanted.actor, wanted.reason};
  auto repeated = co_await repeat_rollback(open, std::move(what));
  if (!repeated) co_return std::nullopt;
  messages::rollback_trigger message;
  message.proposal_id = wanted.proposal;
  message.instance_id = repeated->applied_by;
  message.trace = base::child_of(repeated->trace);
  message.reason = std::move(repeated->reason);
  message.threshold = std::move(repeated->threshold);
  message.rollback_id = repeated->rollback_id;
  message.strategy = std::move(repeated->strategy);
  or_throw(co_await out_.send_rollback_trigger(open, std::move(message)));
  co_return std::move(repeated->rollback_id);
}

boost::asio::awaitable<base::result<watch::operator_answer>> watch::roll_back_by_operator(postgres::transaction& open,
                                                                                          operator_request wanted) {
  const auto head = co_await lock_change(open, wanted.proposal);
  if (!head) {
    co_return base::make_error(base::error_kind::not_found,
                               "no instance has applied a change of proposal \"" + wanted.proposal.str() + "\"");
  }
  operator_answer answer;
  const auto again = co_await send_trigger_again(open, wanted);
  if (again) {
    answer.rollback_id = *again;
    answer.again = true;
    co_return answer;
  }
  trigger what;
  what.proposal = wanted.proposal;
  what.change_type = head->change_type;
  what.reason = "operator";
  what.actor = wanted.actor;
  what.note = wanted.reason;
  const auto rollback_id = co_await trigger_rollback(open, std::move(what));
  if (!rollback_id) {
    co_return base::make_error(base::error_kind::conflict, "the change of proposal \"" + wanted.proposal.str() +
                                                               "\" is in state " + head->state +
                                                               ": there is nothing to take back");
  }
  answer.rollback_id = *rollback_id;
  co_return answer;
}

boost::asio::awaitable<void> watch::alert(postgres::transaction& open, alerts::change_alert what) {
  const auto name = what.name;
  log_.warning(
      name, what.text,
      {{"proposal_id", what.proposal}, {"trace_id", base::trace_id_of(what.trace)}, {"severity", what.severity}});
  const bool raised = co_await alerts::raise_change_alert(open, std::move(what));
  if (!raised) co_return;
  open.on_commit([this, name] {
    metrics_.counter_of("centralcloud_alerts_raised_total", {{"alert", name}}).increment();
  });
}

void watch::count_end(postgres::transaction& open, const messages::execution_metrics& sample,
                      const recorded_sample& recorded) {
  using messages::execution_status;
  const bool ended =
      sample.status == execution_status::rolled_back || sample.status == execution_status::rollback_failed;
  if (!ended || recorded.state != messages::to_string(sample.status)) return;
  open.on_commit([this, state = recorded.state, breached_for = recorded.breached_for] {
    metrics_.counter_of("centralcloud_rollbacks_total", {{"outcome", state}}).increment();
    if (breached_for)
      metrics_.histogram_of("centralcloud_breach_to_rollback_seconds").observe(std::max(breached_for->count(), 0.0));
  });
}

}  // namespace fleet::central::guardian
