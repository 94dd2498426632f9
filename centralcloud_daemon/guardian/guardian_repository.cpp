#include "centralcloud_daemon/guardian/guardian_repository.hpp"

#include <string_view>

#include "common/base/error.hpp"
#include "common/messages/reader.hpp"

namespace fleet::central::guardian {
namespace {

constexpr std::string_view actor_name = "centralcloud";

sample_reception read_sample_reception(std::string_view word) {
  if (word == "recorded") return sample_reception::recorded;
  if (word == "duplicate") return sample_reception::duplicate;
  if (word == "unknown_proposal") return sample_reception::unknown_proposal;
  if (word == "other_instance") return sample_reception::other_instance;
  throw base::failure(base::make_error(base::error_kind::internal, "unexpected answer: " + std::string(word)));
}

run_counts read_runs(const boost::json::object& json) {
  run_counts runs;
  for (const auto& [key, count] : json) runs.emplace(std::string(key), count.to_number<std::int64_t>());
  return runs;
}

boost::json::object write_runs(const run_counts& runs) {
  boost::json::object json;
  for (const auto& [key, count] : runs) json.emplace(key, count);
  return json;
}

std::optional<base::trace_context> read_trace(const postgres::row& row) {
  const auto text = row.get<std::optional<std::string>>("traceparent");
  if (!text) return std::nullopt;
  return base::trace_context::parse(*text);
}

}  // namespace

boost::asio::awaitable<recorded_sample> record_sample(postgres::transaction& open, messages::execution_metrics sample,
                                                      watch_times times) {
  auto args = postgres::make_params(sample.proposal_id, sample.instance_id, messages::to_string(sample.status),
                                    messages::encode_metrics(sample.metrics_before),
                                    messages::encode_metrics(sample.metrics_after), sample.timestamp,
                                    times.window.count(), times.settle.count());
  const auto answer =
      co_await open.query("select * from centralcloud.record_sample($1, $2, $3, $4, $5, $6, $7, $8)", std::move(args));
  const auto row = answer.single();
  recorded_sample recorded;
  recorded.what = read_sample_reception(row.text("disposition"));
  if (recorded.what != sample_reception::recorded) co_return recorded;
  recorded.sample_id = row.get<std::int64_t>("sample_id");
  recorded.state = row.get<std::string>("state");
  recorded.judge = row.get<bool>("judge");
  recorded.runs = read_runs(row.get<boost::json::object>("runs"));
  const auto profile = row.get<boost::json::object>("profile");
  recorded.profile = messages::safety_profile::read(messages::reader(profile));
  const auto baseline = row.get<boost::json::object>("baseline");
  recorded.baseline = messages::read_metrics(messages::reader(baseline));
  recorded.change_type = row.get<std::optional<std::string>>("change_type").value_or("");
  recorded.unapproved = row.get<std::optional<bool>>("unapproved").value_or(false);
  recorded.trace = read_trace(row);
  const auto seconds = row.get<std::optional<double>>("breached_for_seconds");
  if (seconds) recorded.breached_for = std::chrono::duration<double>(*seconds);
  co_return recorded;
}

boost::asio::awaitable<void> record_assessment(postgres::transaction& open, judged_sample what) {
  auto args = postgres::make_params(what.proposal, what.sample_id, write_runs(what.runs), what.breaches);
  co_await open.query("select centralcloud.record_assessment($1, $2, $3, $4)", std::move(args));
}

boost::asio::awaitable<rollback_record> read_rollback_record(postgres::transaction& open, std::string change_type) {
  auto args = postgres::make_params(change_type);
  const auto answer =
      co_await open.query("select ended, succeeded from centralcloud.rollback_record(nullif($1, ''))", std::move(args));
  const auto row = answer.single();
  rollback_record record;
  record.ended = row.get<std::int64_t>("ended");
  record.succeeded = row.get<std::int64_t>("succeeded");
  co_return record;
}

boost::asio::awaitable<std::optional<change_head>> lock_change(postgres::transaction& open,
                                                               base::proposal_id proposal) {
  auto args = postgres::make_params(proposal);
  const auto answer =
      co_await open.query("select state, change_type from centralcloud.change_to_roll_back($1)", std::move(args));
  if (answer.empty()) co_return std::nullopt;
  const auto row = answer.single();
  change_head head;
  head.state = row.get<std::string>("state");
  head.change_type = row.get<std::optional<std::string>>("change_type").value_or("");
  co_return head;
}

boost::asio::awaitable<std::optional<started_rollback>> start_rollback(postgres::transaction& open,
                                                                       rollback_start what) {
  auto args = postgres::make_params(what.proposal, what.rollback_id, what.reason, what.threshold.encode(),
                                    what.strategy.encode(), what.actor, what.note);
  const auto answer = co_await open.query(
      "select instance_id, traceparent from centralcloud.start_rollback($1, $2, $3, $4, $5, $6, $7)", std::move(args));
  if (answer.empty()) co_return std::nullopt;
  const auto row = answer.single();
  started_rollback started;
  started.applied_by = row.get<base::instance_id>("instance_id");
  started.trace = read_trace(row);
  co_return started;
}

boost::asio::awaitable<std::optional<repeated_rollback>> repeat_rollback(postgres::transaction& open,
                                                                         rollback_repetition what) {
  auto args = postgres::make_params(what.proposal, what.actor, what.note);
  const auto answer = co_await open.query("select * from centralcloud.repeat_rollback($1, $2, $3)", std::move(args));
  if (answer.empty()) co_return std::nullopt;
  const auto row = answer.single();
  repeated_rollback repeated;
  repeated.rollback_id = row.get<std::string>("rollback_id");
  repeated.applied_by = row.get<base::instance_id>("instance_id");
  repeated.reason = row.get<std::string>("reason");
  const auto threshold = row.get<boost::json::object>("threshold");
  repeated.threshold = messages::breached_threshold::read(messages::reader(threshold));
  const auto strategy = row.get<boost::json::object>("strategy");
  repeated.strategy = rollback_strategy::read(messages::reader(strategy));
  repeated.trace = read_trace(row);
  co_return repeated;
}

boost::asio::awaitable<std::optional<confirmed_change>> confirm_due_change(postgres::transaction& open,
                                                                           timed_piece& piece) {
  auto args = postgres::make_params(piece.skipped);
  const auto answer =
      co_await open.query("select proposal_id, agent_type from centralcloud.confirm_due_change($1)", std::move(args));
  if (answer.empty()) co_return std::nullopt;
  const auto row = answer.single();
  confirmed_change confirmed;
  confirmed.proposal = row.get<base::proposal_id>("proposal_id");
  piece.in_hand = confirmed.proposal;
  confirmed.agent_type = row.get<std::string>("agent_type");
  co_return confirmed;
}

boost::asio::awaitable<std::optional<silent_change>> take_silent_change(postgres::transaction& open,
                                                                        std::chrono::milliseconds silence,
                                                                        timed_piece& piece) {
  auto args = postgres::make_params(silence.count(), piece.skipped);
  const auto answer = co_await open.query(
      "select proposal_id, change_type, auto_rollback, silent_ms from centralcloud.take_silent_change($1, $2)",
      std::move(args));
  if (answer.empty()) co_return std::nullopt;
  const auto row = answer.single();
  silent_change silent;
  silent.proposal = row.get<base::proposal_id>("proposal_id");
  piece.in_hand = silent.proposal;
  silent.change_type = row.get<std::optional<std::string>>("change_type").value_or("");
  silent.auto_rollback = row.get<bool>("auto_rollback");
  silent.silent_for = std::chrono::milliseconds(row.get<std::int64_t>("silent_ms"));
  co_return silent;
}

boost::asio::awaitable<std::vector<boost::json::object>> confirmed_measures(postgres::transaction& open,
                                                                            std::string agent_type, int max) {
  auto args = postgres::make_params(agent_type, max);
  const auto answer =
      co_await open.query("select m as measured from centralcloud.confirmed_measures($1, $2) m", std::move(args));
  std::vector<boost::json::object> measures;
  for (const auto& row : answer) measures.push_back(row.get<boost::json::object>("measured"));
  co_return measures;
}

boost::asio::awaitable<std::optional<messages::safety_profile>> lock_safety_profile(postgres::transaction& open,
                                                                                    std::string agent_type) {
  auto args = postgres::make_params(agent_type);
  const auto answer = co_await open.query("select centralcloud.lock_safety_profile($1) as profile", std::move(args));
  const auto json = answer.single().get<std::optional<boost::json::object>>("profile");
  if (!json) co_return std::nullopt;
  co_return messages::safety_profile::read(messages::reader(*json));
}

boost::asio::awaitable<std::optional<messages::safety_profile>> add_to_safety_profile(postgres::transaction& open,
                                                                                      profile_bounds what) {
  auto args = postgres::make_params(what.agent_type, what.bounds.encode(), what.source, actor_name);
  const auto answer =
      co_await open.query("select centralcloud.add_to_safety_profile($1, $2, $3, $4) as profile", std::move(args));
  const auto json = answer.single().get<std::optional<boost::json::object>>("profile");
  if (!json) co_return std::nullopt;
  co_return messages::safety_profile::read(messages::reader(*json));
}

boost::asio::awaitable<std::optional<untold_instance>> take_untold_instance(postgres::transaction& open) {
  const auto answer = co_await open.query("select instance_id, profiles from centralcloud.take_untold_instance()");
  if (answer.empty()) co_return std::nullopt;
  const auto row = answer.single();
  untold_instance untold;
  untold.instance = row.get<base::instance_id>("instance_id");
  const auto profiles = row.get<boost::json::value>("profiles");
  for (const auto& each : profiles.as_array()) {
    const auto& object = each.as_object();
    profile_bounds held;
    held.agent_type = object.at("agent_type").as_string();
    held.bounds = messages::safety_profile::read(messages::reader(object.at("profile").as_object()));
    held.source = object.at("source").as_string();
    untold.held.push_back(std::move(held));
  }
  co_return untold;
}

boost::asio::awaitable<void> set_safety_profile(postgres::transaction& open, profile_bounds what, std::string actor) {
  auto args = postgres::make_params(what.agent_type, what.bounds.encode(), what.source, actor);
  co_await open.query("select centralcloud.set_safety_profile($1, '', $2, $3, $4)", std::move(args));
}

}  // namespace fleet::central::guardian
