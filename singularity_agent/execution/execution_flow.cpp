#include "singularity_agent/execution/execution_flow.hpp"

#include <fmt/format.h>

#include "common/base/text.hpp"
#include "common/messages/trace.hpp"
#include "singularity_agent/database.hpp"
#include "singularity_agent/execution/journal_detail.hpp"

namespace fleet::agent::execution {
namespace {

constexpr std::chrono::seconds look_again{5};

/// Whether an error of this kind leaves open how much was done; with the others the executor has said: nothing.
bool leaves_open(std::string_view kind) {
  using base::error_kind;
  for (const auto open : {error_kind::unavailable, error_kind::timeout, error_kind::cancelled, error_kind::internal})
    if (kind == base::to_string(open)) return true;
  return false;
}

}  // namespace

/// One execution as it goes on: the proposal, and what its steps gave.
struct execution_flow::work {
  base::proposal_id id;
  async::stop_token stop;
  std::string agent_type;
  std::optional<std::string> trace_id;
  std::chrono::steady_clock::time_point began = std::chrono::steady_clock::now();
  boost::json::object proposal;
  boost::json::object profile;
  boost::json::object metrics_before;
  metrics::measurement after;
  applied_change applied;

  /// The detail of a step that an earlier run finished well; null otherwise.
  const boost::json::object* finished(journal_step step) const {
    return step_detail(proposal, to_string(step), "done");
  }
};

/// Says which proposal is in hand, for as long as it lives.
class execution_flow::hold {
 public:
  hold(execution_flow& of, base::proposal_id id) : of_(of) { of_.in_hand_ = std::move(id); }
  ~hold() {
    of_.in_hand_ = {};
    of_.released_.notify_all();
  }
  hold(const hold&) = delete;
  hold& operator=(const hold&) = delete;

 private:
  execution_flow& of_;
};

execution_flow::execution_flow(postgres::pool& connections, executor& by, metrics::measurer& measure,
                               const metrics::sample_repository& samples, const execution_repository& repository,
                               wake_ups& wake, telemetry::logger log, flow_options options)
    : connections_(connections),
      executor_(by),
      measure_(measure),
      samples_(samples),
      repository_(repository),
      wake_(wake),
      log_(std::move(log)),
      options_(options) {}

boost::asio::awaitable<void> execution_flow::run(async::stop_token stop, std::function<void()> turned) {
  turned_ = std::move(turned);
  while (!stop.soft_requested()) {
    turned_();
    const auto executed = co_await execute_next(stop);
    if (!executed) co_await wake_.execution.wait_for(look_again, stop);
  }
}

boost::asio::awaitable<bool> execution_flow::wait_released(base::proposal_id proposal, async::stop_token stop,
                                                           std::function<void()> turned) {
  while (in_hand_ == proposal) {
    turned();
    if (stop.soft_requested()) co_return false;
    co_await released_.wait_for(look_again, stop);
  }
  co_return true;
}

boost::asio::awaitable<bool> execution_flow::execute_next(async::stop_token stop) {
  std::optional<boost::json::object> next;
  {
    auto connection = co_await connections_.acquire(connection_wait);
    next = co_await repository_.next(*connection);
  }
  if (!next) co_return false;
  work on;
  on.stop = std::move(stop);
  on.id = base::proposal_id(text_of(*next, "proposal_id"));
  on.agent_type = text_of(*next, "agent_type");
  const auto begun = text_of(*next, "status") == "executing";
  on.proposal = std::move(*next);
  on.trace_id = base::trace_id_of(messages::read_trace(on.proposal));
  // From here on the rollback worker leaves this proposal alone; what it asked for before is seen at each step.
  const hold in_hand(*this, on.id);
  if (!begun) {
    auto connection = co_await connections_.acquire(connection_wait);
    const auto first = co_await repository_.begin(*connection, on.id);
    connection.release();
    if (!first) co_return true;
    wake_.step_taken();
  }
  co_await execute(on);
  co_return true;
}

boost::asio::awaitable<void> execution_flow::execute(work& on) {
  const auto checked = co_await check_profile(on);
  if (checked == go_on::no) co_return;
  const auto measured_before = co_await measure_before(on);
  if (measured_before == go_on::no) co_return;
  const auto applied = co_await apply(on);
  if (applied == go_on::no) co_return;
  const auto verified = co_await verify(on);
  if (verified == go_on::no) co_return;
  const auto measured_after = co_await measure_after(on);
  if (measured_after == go_on::no) co_return;
  co_await finish(on);
}

boost::asio::awaitable<execution_flow::go_on> execution_flow::begin(work& on, journal_step step) {
  turned_();
  auto connection = co_await connections_.acquire(connection_wait);
  const auto permit = co_await repository_.begin_step(*connection, on.id, step);
  if (permit == step_permit::go) co_return go_on::yes;
  log_.info("execution_left", "somebody else goes on with this proposal",
            {{"proposal_id", on.id}, {"trace_id", on.trace_id}, {"before_step", to_string(step)}});
  if (permit == step_permit::rollback_requested) wake_.rollback.notify();
  co_return go_on::no;
}

boost::asio::awaitable<void> execution_flow::done(work& on, journal_step step, boost::json::object detail, bool good) {
  finished_step what;
  what.proposal = on.id;
  what.step = step;
  what.done = good;
  what.detail = std::move(detail);
  auto connection = co_await connections_.acquire(connection_wait);
  co_await repository_.finish_step(*connection, std::move(what));
}

boost::asio::awaitable<execution_flow::go_on> execution_flow::check_profile(work& on) {
  on.profile = object_of(on.proposal, "safety_profile");
  const auto permitted = co_await begin(on, journal_step::check_profile);
  if (permitted == go_on::no) co_return go_on::no;
  std::optional<std::string> of_type(on.agent_type);
  boost::json::array stored;
  {
    auto connection = co_await connections_.acquire(connection_wait);
    stored = co_await repository_.profiles(*connection, std::move(of_type));
  }
  // What is held of the agent type goes before what the proposal brings, as with the coordinator (effective_profile):
  // both have to watch the change for the same time.
  if (!stored.empty()) {
    for (const auto& [name, value] : object_of(stored[0].as_object(), "safety_profile")) on.profile[name] = value;
  }
  boost::json::object detail;
  detail["safety_profile"] = on.profile;
  const auto missing = on.profile.empty();
  co_await done(on, journal_step::check_profile, std::move(detail), !missing);
  if (!missing) co_return go_on::yes;
  co_await fail(on, "missing_safety_profile", true);
  co_return go_on::no;
}

boost::asio::awaitable<execution_flow::go_on> execution_flow::measure_before(work& on) {
  if (const auto* earlier = on.finished(journal_step::metrics_before)) {
    on.metrics_before = object_of(*earlier, "metrics");
    co_return go_on::yes;
  }
  const auto permitted = co_await begin(on, journal_step::metrics_before);
  if (permitted == go_on::no) co_return go_on::no;
  const auto measured = co_await measure_.measure(on.agent_type);
  on.metrics_before = measured.metrics;
  const auto keep = [&](postgres::transaction& in) -> boost::asio::awaitable<void> {
    finished_step step;
    step.proposal = on.id;
    step.step = journal_step::metrics_before;
    step.detail["metrics"] = on.metrics_before;
    co_await repository_.finish_step(in.on(), std::move(step));
    metrics::recorded_sample sample;
    sample.proposal = on.id;
    sample.status = "executing";
    sample.before = on.metrics_before;
    sample.told_traceparent = measured.told_traceparent;
    co_await samples_.record(in.on(), std::move(sample));
  };
  co_await transact(connections_, keep);
  wake_.samples.notify();
  co_return go_on::yes;
}

boost::asio::awaitable<execution_flow::go_on> execution_flow::apply(work& on) {
  if (const auto* earlier = on.finished(journal_step::apply)) {
    on.applied = applied_from(*earlier);
    co_return go_on::yes;
  }
  if (const auto* earlier = step_detail(on.proposal, "apply", "failed")) {
    co_await not_applied(on, *earlier);
    co_return go_on::no;
  }
  const auto permitted = co_await begin(on, journal_step::apply);
  if (permitted == go_on::no) co_return go_on::no;
  change_order order;
  order.proposal = on.id;
  order.code_change = object_of(on.proposal, "code_change");
  order.description = text_of(object_of(on.proposal, "metadata"), "description");
  const auto applied = co_await executor_.apply(std::move(order));
  if (!applied) {
    const auto detail = error_detail(applied.error());
    co_await done(on, journal_step::apply, detail, false);
    co_await not_applied(on, detail);
    co_return go_on::no;
  }
  on.applied = *applied;
  co_await done(on, journal_step::apply, detail_of(on.applied));
  co_return go_on::yes;
}

/// A change that is failed without more ado must not be in place: where the error leaves that open it is taken back
/// first.
boost::asio::awaitable<void> execution_flow::not_applied(work& on, const boost::json::object& error) {
  auto why = fmt::format("apply: {}", text_of(error, "failure"));
  const auto in_doubt = leaves_open(text_of(error, "kind"));
  if (in_doubt) {
    co_await undo(on, std::move(why));
  } else {
    co_await fail(on, std::move(why), true);
  }
}

boost::asio::awaitable<execution_flow::go_on> execution_flow::verify(work& on) {
  if (on.finished(journal_step::verify) != nullptr) co_return go_on::yes;
  if (const auto* earlier = step_detail(on.proposal, "verify", "failed")) {
    co_await undo(on, text_of(*earlier, "failure"));
    co_return go_on::no;
  }
  const auto permitted = co_await begin(on, journal_step::verify);
  if (permitted == go_on::no) co_return go_on::no;
  const auto verified = co_await executor_.verify(on.id);
  const auto why = verification_failure(verified);
  co_await done(on, journal_step::verify, verification_detail(verified), why.empty());
  if (why.empty()) co_return go_on::yes;
  co_await undo(on, why);
  co_return go_on::no;
}

boost::asio::awaitable<execution_flow::go_on> execution_flow::measure_after(work& on) {
  const auto permitted = co_await begin(on, journal_step::metrics_after);
  if (permitted == go_on::no) co_return go_on::no;
  on.after = co_await measure_.measure(on.agent_type);
  boost::json::object detail;
  detail["metrics"] = on.after.metrics;
  co_await done(on, journal_step::metrics_after, std::move(detail));
  co_return go_on::yes;
}

boost::asio::awaitable<void> execution_flow::finish(work& on) {
  finished_execution what;
  what.proposal = on.id;
  what.applied = detail_of(on.applied);
  what.metrics_before = on.metrics_before;
  what.after = std::move(on.after);
  what.interval = options_.sample_interval;
  what.window_seconds = options_.observation_window_seconds;
  if (const auto* window = on.profile.if_contains("observation_window_seconds");
      window != nullptr && window->is_number())
    what.window_seconds = window->to_number<std::int64_t>();
  bool applied = false;
  {
    auto connection = co_await connections_.acquire(connection_wait);
    applied = co_await repository_.finish_applied(*connection, std::move(what));
  }
  if (!applied) {
    wake_.rollback.notify();
    co_return;
  }
  log_.info("change_applied", "the change is applied and watched",
            {{"proposal_id", on.id},
             {"trace_id", on.trace_id},
             {"commit", on.applied.commit},
             {"already", on.applied.already_applied}});
  if (options_.ended) options_.ended("applied", std::chrono::steady_clock::now() - on.began);
  wake_.step_taken();
  wake_.samples.notify();
  wake_.watch.notify();
}

boost::asio::awaitable<void> execution_flow::undo(work& on, std::string why) {
  for (int attempts = 1;; ++attempts) {
    const auto permitted = co_await begin(on, journal_step::undo);
    if (permitted == go_on::no) co_return;
    auto undone = co_await executor_.undo(on.id, on.applied);
    if (undone || !options_.undo_retries.again_after(undone.error(), attempts)) {
      co_await end_undo(on, std::move(why), std::move(undone));
      co_return;
    }
    log_.warning("undo_postponed", undone.error().message,
                 {{"proposal_id", on.id}, {"trace_id", on.trace_id}, {"attempt", attempts}});
    const auto waited = co_await on.stop.sleep_for(options_.undo_retries.pause_after(attempts));
    if (!waited) co_return;  // the step stays begun: it is done again after the start
  }
}

boost::asio::awaitable<void> execution_flow::end_undo(work& on, std::string why, base::result<reverted_change> undone) {
  boost::json::object detail;
  if (undone) {
    detail["commit"] = undone->commit;
  } else {
    detail = error_detail(undone.error());
    why += fmt::format("; and it could not be undone: {}", undone.error().message);
  }
  co_await done(on, journal_step::undo, std::move(detail), undone.has_value());
  co_await fail(on, std::move(why), undone.has_value());
}

boost::asio::awaitable<void> execution_flow::fail(work& on, std::string why, bool undone) {
  failed_execution what;
  what.proposal = on.id;
  what.failure = base::storable(why);
  what.undone = undone;
  if (!on.metrics_before.empty()) what.metrics_before = on.metrics_before;
  {
    auto connection = co_await connections_.acquire(connection_wait);
    co_await repository_.fail(*connection, std::move(what));
  }
  log_.warning("execution_failed", why, {{"proposal_id", on.id}, {"trace_id", on.trace_id}, {"undone", undone}});
  if (options_.ended)
    options_.ended(undone ? "failed" : "rollback_failed", std::chrono::steady_clock::now() - on.began);
  wake_.step_taken();
  wake_.samples.notify();
  wake_.rollback.notify();
}

}  // namespace fleet::agent::execution
