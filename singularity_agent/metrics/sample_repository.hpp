// The SQL of samples: what is watched, what was measured, what is to be reported.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/json/object.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/ids.hpp"
#include "common/postgres/connection.hpp"

namespace fleet::agent::metrics {

struct measurement {
  boost::json::object metrics;
  /// Of the request that an agent told these with, or some of them; nothing where none told any.
  std::optional<std::string> told_traceparent;
};

struct due_watch {
  base::proposal_id proposal;
  std::string agent_type;
  measurement told;                    ///< what agents of the type told since its last sample
  std::optional<std::string> told_at;  ///< when; for `record_watch`
};

struct recorded_sample {
  base::proposal_id proposal;
  std::string status;
  boost::json::object before;
  boost::json::object after;
  std::optional<std::string> told_traceparent;
};

/// All throw `postgres::sql_error`. The object must outlive its calls.
class sample_repository {
 public:
  explicit sample_repository(base::instance_id self) : self_(std::move(self)) {}

  /// The changes whose observation window is over, which ends now.
  boost::asio::awaitable<std::optional<base::proposal_id>> end_watch(postgres::connection& on) const;
  boost::asio::awaitable<std::vector<due_watch>> due_watches(postgres::connection& on, int max) const;
  /// Until something of the above is due; nothing where nothing is watched.
  boost::asio::awaitable<std::optional<std::chrono::milliseconds>> next_watch(postgres::connection& on) const;
  /// `what` is measured, with what `of` has told, which is in no later sample then.
  boost::asio::awaitable<bool> record_watch(postgres::connection& on, due_watch of, measurement what,
                                            std::chrono::milliseconds interval) const;
  boost::asio::awaitable<void> record(postgres::connection& on, recorded_sample what) const;
  /// "recorded", "unknown", or the state in which no metrics are expected.
  boost::asio::awaitable<std::string> report(postgres::connection& on, base::proposal_id proposal,
                                             measurement told) const;
  boost::asio::awaitable<void> tell(postgres::connection& on, std::string agent_type, measurement told) const;
  boost::asio::awaitable<measurement> told(postgres::connection& on, std::string agent_type,
                                           std::chrono::milliseconds max_age) const;

  /// [{sample_id, proposal_id, agent_type, status, metrics_before, metrics_after, timestamp, …}], oldest first.
  boost::asio::awaitable<std::vector<boost::json::object>> unreported(postgres::connection& on, int max) const;
  /// False: it was reported meanwhile.
  boost::asio::awaitable<bool> mark_reported(postgres::connection& on, std::int64_t sample,
                                             base::message_id message) const;
  boost::asio::awaitable<void> mark_unreportable(postgres::connection& on, std::int64_t sample,
                                                 std::string problem) const;

 private:
  base::instance_id self_;
};

}  // namespace fleet::agent::metrics
