// The SQL of executions, their journal and their rollbacks.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/ids.hpp"
#include "common/messages/rollback_trigger.hpp"
#include "common/postgres/connection.hpp"
#include "singularity_agent/execution/rollback_steps.hpp"
#include "singularity_agent/metrics/sample_repository.hpp"

namespace fleet::agent::execution {

enum class journal_step { check_profile, metrics_before, apply, verify, metrics_after, undo };
std::string_view to_string(journal_step step);

enum class step_permit {
  go,
  rollback_requested,  ///< the rollback worker goes on from here
  not_executing
};

struct finished_step {
  base::proposal_id proposal;
  journal_step step = journal_step::check_profile;
  bool done = true;
  boost::json::object detail;
};

struct finished_execution {
  base::proposal_id proposal;
  boost::json::object applied;
  boost::json::object metrics_before;
  metrics::measurement after;
  std::int64_t window_seconds = 0;
  std::chrono::milliseconds interval{};
};

struct failed_execution {
  base::proposal_id proposal;
  std::string failure;
  bool undone = true;  ///< false: what was applied could not be taken back
  std::optional<boost::json::object> metrics_before;
  std::optional<boost::json::object> metrics_after;
};

struct finished_rollback {
  std::string rollback_id;
  bool completed = false;
  std::string detail;
  boost::json::array steps;
  metrics::measurement after;
};

struct rollback_place {
  std::string rollback_id;
  int place = 0;  ///< of a step in the plan
};

enum class rollback_request { requested, repeated, unknown, nothing_applied, ended };

/// All throw `postgres::sql_error`. The object must outlive its calls.
class execution_repository {
 public:
  explicit execution_repository(base::instance_id self) : self_(std::move(self)) {}

  /// The proposal to execute, with the finished steps of its journal: {journal: {step: {outcome, detail}}}.
  boost::asio::awaitable<std::optional<boost::json::object>> next(postgres::connection& on) const;
  /// False: refused, it is somewhere else already.
  boost::asio::awaitable<bool> begin(postgres::connection& on, base::proposal_id proposal) const;
  boost::asio::awaitable<step_permit> begin_step(postgres::connection& on, base::proposal_id proposal,
                                                 journal_step step) const;
  boost::asio::awaitable<void> finish_step(postgres::connection& on, finished_step what) const;
  /// False: refused (a rollback is asked for, or it is not executing any more).
  boost::asio::awaitable<bool> finish_applied(postgres::connection& on, finished_execution what) const;
  boost::asio::awaitable<bool> fail(postgres::connection& on, failed_execution what) const;

  boost::asio::awaitable<rollback_request> request_rollback(postgres::connection& on,
                                                            messages::rollback_trigger trigger) const;
  /// {rollback_id, proposal_id, reason, trigger, attempts, proposal}.
  boost::asio::awaitable<std::optional<boost::json::object>> next_rollback(postgres::connection& on) const;
  /// False: nothing is left to take back.
  boost::asio::awaitable<bool> begin_rollback(postgres::connection& on, std::string rollback_id) const;
  boost::asio::awaitable<earlier_step> begin_rollback_step(postgres::connection& on, rollback_place at,
                                                           std::string name) const;
  boost::asio::awaitable<void> finish_rollback_step(postgres::connection& on, rollback_place at,
                                                    step_result result) const;
  boost::asio::awaitable<void> postpone_rollback(postgres::connection& on, std::string rollback_id,
                                                 std::chrono::milliseconds delay, boost::json::array steps) const;
  boost::asio::awaitable<void> finish_rollback(postgres::connection& on, finished_rollback what) const;

  /// False: a newer one is there already.
  boost::asio::awaitable<bool> put_profile(postgres::connection& on, boost::json::object update) const;
  /// [{agent_type, safety_profile, source, sent_at, received_at}]; of one type, or of all.
  boost::asio::awaitable<boost::json::array> profiles(postgres::connection& on,
                                                      std::optional<std::string> agent_type) const;

  const base::instance_id& self() const { return self_; }

 private:
  base::instance_id self_;
};

}  // namespace fleet::agent::execution
