#include "singularity_agent/execution/rollback_steps.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "common/base/text.hpp"
#include "singularity_agent/execution/child_process.hpp"

namespace fleet::agent::execution {
namespace {

constexpr std::array<std::string_view, 4> built_in_reverts{"revert_code", "git_revert", "revert_model_config",
                                                           "revert_cache_config"};

bool is_revert(const planned_step& step) {
  return step.action == step_action::revert;
}

step_result in_doubt() {
  step_result done;
  done.outcome = step_outcome::done;
  done.detail = "in doubt: the agent ended while it ran; it is not run again";
  return done;
}

boost::asio::awaitable<step_result> run_revert(executor& by, base::proposal_id proposal) {
  step_result done;
  auto reverted = co_await by.revert(std::move(proposal));
  done.outcome = reverted ? step_outcome::done : step_outcome::failed;
  if (!reverted)
    done.detail = reverted.error().message;
  else if (reverted->already_reverted)
    done.detail = "was taken back before";
  else
    done.detail = reverted->commit.empty() ? "taken back" : fmt::format("taken back by commit {}", reverted->commit);
  co_return done;
}

boost::asio::awaitable<step_result> run_step_command(planned_step step, rollback_context context) {
  async::process_spec spec;
  spec.shell_command = step.command;
  spec.working_directory = context.working_directory;
  spec.environment["PROPOSAL_ID"] = context.proposal.str();
  spec.environment["INSTANCE_ID"] = context.instance;
  spec.environment["REASON"] = context.reason;
  spec.environment["STEP"] = step.name;
  spec.environment["ACTION"] = "rollback";
  spec.timeout = context.command_timeout;
  auto ended = co_await try_run(std::move(spec));
  step_result done;
  // What restarts the agent is one of its processes, and ends with it.
  if (ended && ended->signal != 0 && !ended->timed_out && context.stopping()) co_return in_doubt();
  done.outcome = ended && ended->ok() ? step_outcome::done : step_outcome::failed;
  if (!ended)
    done.detail = ended.error().message;
  else
    done.detail = ended->ok() ? base::tail_of(ended->standard_output, 1000) : ended->failure();
  co_return done;
}

boost::asio::awaitable<step_result> run_step(executor& by, planned_step step, int place, rollback_context context) {
  const auto start = std::chrono::steady_clock::now();
  const bool revert = is_revert(step);
  if (context.journal != nullptr) {
    auto earlier = co_await context.journal->begin(place, step.name);
    if (!revert && earlier.how_far == earlier_step::kind::finished) co_return std::move(earlier.result);
    if (!revert && earlier.how_far == earlier_step::kind::unfinished) {
      auto doubtful = in_doubt();
      co_await context.journal->finish(place, doubtful);
      co_return doubtful;
    }
  }
  step_result done;
  if (revert)
    done = co_await run_revert(by, context.proposal);
  else
    done = co_await run_step_command(std::move(step), context);
  done.duration = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start);
  if (context.journal != nullptr) co_await context.journal->finish(place, done);
  co_return done;
}

}  // namespace

std::string_view to_string(step_outcome outcome) {
  switch (outcome) {
    case step_outcome::done:
      return "done";
    case step_outcome::failed:
      return "failed";
    case step_outcome::skipped:
      return "skipped";
  }
  return "failed";
}

std::vector<planned_step> plan_rollback(const std::vector<std::string>& names, const step_commands& commands) {
  std::vector<planned_step> plan;
  bool has_revert = false;
  for (const auto& name : names) {
    if (plan.size() == max_rollback_steps) break;
    planned_step step;
    step.name = name;
    const auto command = commands.find(name);
    const bool built_in = std::find(built_in_reverts.begin(), built_in_reverts.end(), name) != built_in_reverts.end();
    if (built_in && !has_revert) {
      step.action = step_action::revert;
      has_revert = true;
    } else if (!built_in && command != commands.end() && !base::trim(command->second).empty()) {
      step.action = step_action::command;
      step.command = command->second;
    }
    plan.push_back(std::move(step));
  }
  if (has_revert) return plan;
  planned_step revert;
  revert.name = "revert_code";
  revert.action = step_action::revert;
  plan.insert(plan.begin(), std::move(revert));
  if (plan.size() > max_rollback_steps) plan.pop_back();
  return plan;
}

bool reverted(const std::vector<step_result>& results) {
  return std::any_of(results.begin(), results.end(), [](const step_result& r) {
    return r.outcome == step_outcome::done &&
           std::find(built_in_reverts.begin(), built_in_reverts.end(), r.name) != built_in_reverts.end();
  });
}

bool all_done(const std::vector<step_result>& results) {
  return std::none_of(results.begin(), results.end(),
                      [](const step_result& r) { return r.outcome == step_outcome::failed; });
}

std::string summary_of(const std::vector<step_result>& results) {
  const bool back = reverted(results);
  if (back && all_done(results)) return "reverted and verified";
  std::string failed;
  for (const auto& step : results) {
    if (step.outcome != step_outcome::failed) continue;
    std::string_view why = step.detail;
    if (why.starts_with(step.name + ": ")) why.remove_prefix(step.name.size() + 2);
    failed += fmt::format("{}step {} failed: {}", failed.empty() ? "" : "; ", step.name, why);
  }
  return (back ? "reverted, but " : "not reverted: ") + failed;
}

boost::asio::awaitable<std::vector<step_result>> run_rollback(executor& by, std::vector<planned_step> steps,
                                                              rollback_context context) {
  std::vector<step_result> results;
  bool revert_failed = false;
  for (const auto& step : steps) {
    context.before_step();
    step_result done;
    if (revert_failed) {
      done.detail = "the change could not be taken back";
    } else if (step.action != step_action::skip) {
      done = co_await run_step(by, step, static_cast<int>(results.size()), context);
      revert_failed = is_revert(step) && done.outcome == step_outcome::failed;
    } else {
      const bool repeated =
          std::find(built_in_reverts.begin(), built_in_reverts.end(), step.name) != built_in_reverts.end();
      done.detail = repeated ? "the change was taken back by an earlier step"
                             : fmt::format("no command is configured: executor.step.{}", step.name);
    }
    done.name = step.name;
    results.push_back(std::move(done));
  }
  co_return results;
}

}  // namespace fleet::agent::execution
