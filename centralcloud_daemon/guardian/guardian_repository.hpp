// The SQL of changes, samples, rollbacks and profiles: calls of functions in the schema `centralcloud`, and nothing
// else.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "centralcloud_daemon/guardian/rules.hpp"
#include "centralcloud_daemon/guardian/strategy.hpp"
#include "centralcloud_daemon/timed_piece.hpp"
#include "common/base/ids.hpp"
#include "common/messages/execution_metrics.hpp"
#include "common/messages/rollback_trigger.hpp"
#include "common/messages/safety_profile.hpp"
#include "common/postgres/transaction.hpp"

namespace fleet::central::guardian {

/// All throw `postgres::sql_error`, and work inside the given transaction.

enum class sample_reception { recorded, duplicate, unknown_proposal, other_instance };
struct recorded_sample {
  sample_reception what = sample_reception::recorded;
  // The rest is filled where `recorded`.
  std::int64_t sample_id = 0;
  std::string state;   ///< of the change, after the sample
  bool judge = false;  ///< rules may act on it: the change is being executed or watched
  run_counts runs;
  messages::safety_profile profile;
  metric_set baseline;  ///< metrics before the change
  std::string change_type;
  bool unapproved = false;                   ///< the first report of a change that nobody approved
  std::optional<base::trace_context> trace;  ///< of the proposal
  std::optional<std::chrono::duration<double>>
      breached_for;  ///< this sample ends a rollback: since its breach was measured
};
struct watch_times {
  std::chrono::milliseconds window{};  ///< from the report of `applied`; where the profile does not say
  std::chrono::milliseconds settle{};  ///< and for so long after that report was read, however late that was
};
/// Locks the change until the transaction ends.
boost::asio::awaitable<recorded_sample> record_sample(postgres::transaction& open, messages::execution_metrics sample,
                                                      watch_times times);

struct judged_sample {
  base::proposal_id proposal;
  std::int64_t sample_id = 0;
  run_counts runs;
  boost::json::array breaches;
};
boost::asio::awaitable<void> record_assessment(postgres::transaction& open, judged_sample what);

boost::asio::awaitable<rollback_record> read_rollback_record(postgres::transaction& open, std::string change_type);

struct change_head {
  std::string state;
  std::string change_type;
};
/// Locked; nothing where nobody has reported such a change.
boost::asio::awaitable<std::optional<change_head>> lock_change(postgres::transaction& open, base::proposal_id proposal);

struct rollback_start {
  base::proposal_id proposal;
  std::string rollback_id;
  std::string reason;
  messages::breached_threshold threshold;
  rollback_strategy strategy;
  std::string actor;
  std::optional<std::string> note;
};
struct started_rollback {
  base::instance_id applied_by;
  std::optional<base::trace_context> trace;  ///< of the proposal
};
/// Nothing where there was a rollback already or the change is over.
boost::asio::awaitable<std::optional<started_rollback>> start_rollback(postgres::transaction& open,
                                                                       rollback_start what);

struct repeated_rollback {
  std::string rollback_id;
  base::instance_id applied_by;
  std::string reason;
  messages::breached_threshold threshold;
  rollback_strategy strategy;
  std::optional<base::trace_context> trace;  ///< of the proposal
};
struct rollback_repetition {
  base::proposal_id proposal;
  std::string actor;
  std::string note;
};
/// The rollback that is under way, as it was triggered; nothing where none is.
boost::asio::awaitable<std::optional<repeated_rollback>> repeat_rollback(postgres::transaction& open,
                                                                         rollback_repetition what);

struct confirmed_change {
  base::proposal_id proposal;
  std::string agent_type;
};
/// Confirms one change whose window is over; nothing where none is due.
boost::asio::awaitable<std::optional<confirmed_change>> confirm_due_change(postgres::transaction& open,
                                                                           timed_piece& piece);

struct silent_change {
  base::proposal_id proposal;
  std::string change_type;
  bool auto_rollback = true;
  std::chrono::milliseconds silent_for{};
};
/// One watched change without samples for that long, given out once a silence.
boost::asio::awaitable<std::optional<silent_change>> take_silent_change(postgres::transaction& open,
                                                                        std::chrono::milliseconds silence,
                                                                        timed_piece& piece);

/// {metric: {low, high, rise}} of each confirmed change of the agent type, newest first.
boost::asio::awaitable<std::vector<boost::json::object>> confirmed_measures(postgres::transaction& open,
                                                                            std::string agent_type, int max);

/// The profile held of an agent type, locked until the transaction ends; nothing where none is.
boost::asio::awaitable<std::optional<messages::safety_profile>> lock_safety_profile(postgres::transaction& open,
                                                                                    std::string agent_type);
struct profile_bounds {
  std::string agent_type;
  messages::safety_profile bounds;
  std::string source;
};
/// For every instance. What a person set, and what else is held of the agent type, stays; gives all that is held then,
/// and nothing where nothing was left to set.
boost::asio::awaitable<std::optional<messages::safety_profile>> add_to_safety_profile(postgres::transaction& open,
                                                                                      profile_bounds what);
struct untold_instance {
  base::instance_id instance;
  std::vector<profile_bounds> held;  ///< for it, by agent type
};
/// One instance that was not told what is held, marked as told; nothing where there is none. Whoever changes a profile
/// waits until the transaction ends.
boost::asio::awaitable<std::optional<untold_instance>> take_untold_instance(postgres::transaction& open);
/// For every instance, in place of all that is held of the agent type.
boost::asio::awaitable<void> set_safety_profile(postgres::transaction& open, profile_bounds what, std::string actor);

}  // namespace fleet::central::guardian
