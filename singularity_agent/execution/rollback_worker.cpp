#include "singularity_agent/execution/rollback_worker.hpp"

#include "common/base/text.hpp"
#include "common/messages/trace.hpp"
#include "singularity_agent/database.hpp"
#include "singularity_agent/execution/journal_detail.hpp"

namespace fleet::agent::execution {
namespace {

constexpr std::chrono::milliseconds look_again{2'000};

std::vector<std::string> strategy_steps(const boost::json::object& trigger) {
  std::vector<std::string> names;
  const auto strategy = object_of(trigger, "strategy");
  const auto* steps = strategy.if_contains("steps");
  if (steps == nullptr || !steps->is_array()) return names;
  for (const auto& step : steps->as_array())
    if (step.is_string()) names.emplace_back(step.as_string());
  return names;
}

step_result revert_result(step_outcome outcome, std::string detail) {
  step_result step;
  step.name = "revert_code";
  step.outcome = outcome;
  step.detail = std::move(detail);
  return step;
}

}  // namespace

/// One rollback's steps in the database.
class rollback_worker::journal final : public step_journal {
 public:
  journal(rollback_worker& of, std::string rollback_id) : of_(of), rollback_id_(std::move(rollback_id)) {}

  boost::asio::awaitable<earlier_step> begin(int place, std::string name) override {
    auto step = at(place);
    auto connection = co_await of_.connections_.acquire(connection_wait);
    auto earlier = co_await of_.repository_.begin_rollback_step(*connection, std::move(step), std::move(name));
    co_return earlier;
  }
  boost::asio::awaitable<void> finish(int place, step_result result) override {
    auto step = at(place);
    auto connection = co_await of_.connections_.acquire(connection_wait);
    co_await of_.repository_.finish_rollback_step(*connection, std::move(step), std::move(result));
  }

 private:
  rollback_place at(int place) const { return {rollback_id_, place}; }

  rollback_worker& of_;
  std::string rollback_id_;
};

/// One rollback as it goes on.
struct rollback_worker::work {
  async::stop_token stop;
  std::string rollback_id;
  base::proposal_id proposal;
  std::string agent_type;
  std::string status;  ///< of the proposal when the work began
  std::string reason;
  std::optional<std::string> trace_id;
  std::chrono::steady_clock::time_point began = std::chrono::steady_clock::now();
  boost::json::object trigger;
  int attempts = 0;
  std::vector<step_result> steps;
  bool completed = false;
  std::string detail;
};

rollback_worker::rollback_worker(postgres::pool& connections, executor& by, execution_flow& flow,
                                 metrics::measurer& measure, const execution_repository& repository, wake_ups& wake,
                                 telemetry::event_counter& events, telemetry::logger log, rollback_options options)
    : connections_(connections),
      executor_(by),
      flow_(flow),
      measure_(measure),
      repository_(repository),
      wake_(wake),
      events_(events),
      log_(std::move(log)),
      options_(std::move(options)) {}

boost::asio::awaitable<void> rollback_worker::run(async::stop_token stop, std::function<void()> turned) {
  turned_ = std::move(turned);
  while (!stop.soft_requested()) {
    turned_();
    const auto worked = co_await roll_back_next(stop);
    if (!worked) co_await wake_.rollback.wait_for(look_again, stop);
  }
}

boost::asio::awaitable<bool> rollback_worker::roll_back_next(async::stop_token stop) {
  std::optional<boost::json::object> next;
  {
    auto connection = co_await connections_.acquire(connection_wait);
    next = co_await repository_.next_rollback(*connection);
  }
  if (!next) co_return false;
  work on;
  on.stop = stop;
  on.rollback_id = text_of(*next, "rollback_id");
  on.proposal = base::proposal_id(text_of(*next, "proposal_id"));
  on.reason = text_of(*next, "reason");
  on.trigger = object_of(*next, "trigger");
  on.attempts = static_cast<int>(next->at("attempts").to_number<std::int64_t>()) + 1;
  const auto proposal = object_of(*next, "proposal");
  on.agent_type = text_of(proposal, "agent_type");
  on.status = text_of(proposal, "status");
  on.trace_id = base::trace_id_of(messages::read_trace(proposal));
  const auto released = co_await flow_.wait_released(on.proposal, stop, turned_);
  if (!released) co_return false;
  bool wanted = false;
  {
    auto connection = co_await connections_.acquire(connection_wait);
    wanted = co_await repository_.begin_rollback(*connection, on.rollback_id);
  }
  if (!wanted) co_return true;
  wake_.step_taken();
  turned_();
  const auto reversed = co_await reverse(on);
  if (reversed == reversal::postponed) {
    co_await postpone(on);
    co_return true;
  }
  if (reversed == reversal::done) co_await run_steps(on);
  co_await finish(on);
  co_return true;
}

/// The revert itself, asked of the executor first: it says what kind of failure there is, which decides whether to try
/// again. The strategy's own revert step finds it done.
boost::asio::awaitable<rollback_worker::reversal> rollback_worker::reverse(work& on) {
  const auto reverted = co_await executor_.revert(on.proposal);
  if (reverted) co_return reversal::done;
  const auto& error = reverted.error();
  if (error.kind == base::error_kind::not_found && on.status != "applied") {
    on.steps.push_back(revert_result(step_outcome::skipped, "the change had not been applied yet"));
    on.completed = true;
    on.detail = "cancelled before it was applied";
    co_return reversal::nothing_applied;
  }
  on.steps.push_back(revert_result(step_outcome::failed, error.message));
  on.detail = "not reverted: " + error.message;
  co_return options_.retries.again_after(error, on.attempts) ? reversal::postponed : reversal::failed;
}

boost::asio::awaitable<void> rollback_worker::run_steps(work& on) {
  rollback_context context;
  context.proposal = on.proposal;
  context.instance = repository_.self().str();
  context.reason = on.reason;
  context.working_directory = options_.working_directory;
  context.command_timeout = options_.command_timeout;
  context.before_step = turned_;
  context.stopping = [stop = on.stop] { return stop.soft_requested(); };
  journal written(*this, on.rollback_id);
  context.journal = &written;
  auto planned = plan_rollback(strategy_steps(on.trigger), options_.commands);
  on.steps = co_await run_rollback(executor_, std::move(planned), std::move(context));
  turned_();
  const auto verified = co_await executor_.verify(on.proposal);
  const auto why = verification_failure(verified);
  step_result verify_step;
  verify_step.name = "verify";
  verify_step.outcome = why.empty() ? step_outcome::done : step_outcome::failed;
  verify_step.detail = why;
  if (verified) verify_step.duration = verified->duration;
  on.steps.push_back(std::move(verify_step));
  on.completed = reverted(on.steps) && all_done(on.steps);
  on.detail = summary_of(on.steps);
}

boost::asio::awaitable<void> rollback_worker::postpone(work& on) {
  const auto delay = options_.retries.pause_after(on.attempts);
  log_.warning("rollback_postponed", on.detail,
               {{"proposal_id", on.proposal}, {"trace_id", on.trace_id}, {"attempt", on.attempts}});
  auto connection = co_await connections_.acquire(connection_wait);
  co_await repository_.postpone_rollback(*connection, on.rollback_id, delay, steps_detail(on.steps));
}

boost::asio::awaitable<void> rollback_worker::finish(work& on) {
  finished_rollback what;
  what.rollback_id = on.rollback_id;
  what.completed = on.completed;
  what.detail = base::storable(on.detail);
  what.steps = steps_detail(on.steps);
  what.after = co_await measure_.measure(on.agent_type, options_.measure_wait);
  {
    // One statement is one transaction: state, history, the rollback's record and the sample for the Guardian.
    auto connection = co_await connections_.acquire(connection_wait);
    co_await repository_.finish_rollback(*connection, std::move(what));
  }
  events_.count(on.completed ? telemetry::event::rollback_completed : telemetry::event::rollback_failed, on.detail,
                {{"proposal_id", on.proposal}, {"trace_id", on.trace_id}, {"reason", on.reason}});
  const telemetry::labels counted{{"reason", on.reason}, {"outcome", on.completed ? "rolled_back" : "rollback_failed"}};
  events_.registry().counter_of("singularity_rollbacks_total", counted).increment();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - on.began;
  events_.registry().histogram_of("singularity_rollback_seconds").observe(took.count());
  wake_.step_taken();
  wake_.samples.notify();
  wake_.execution.notify();
}

}  // namespace fleet::agent::execution
