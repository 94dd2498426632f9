// The SQL of alerts and of the figures that they are judged by: calls of functions in `centralcloud`, and nothing else.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/json/object.hpp>
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "centralcloud_daemon/alerts/rules.hpp"
#include "common/base/decimal.hpp"
#include "common/base/ids.hpp"
#include "common/base/trace.hpp"
#include "common/postgres/transaction.hpp"

namespace fleet::central::alerts {

/// All throw `postgres::sql_error`.

/// What the Guardian tells people about a change.
struct change_alert {
  std::string name;
  base::proposal_id proposal;
  std::string severity;  ///< low, medium, high, critical
  std::string text;
  std::optional<base::trace_context> trace = {};  ///< for the log
  std::optional<base::decimal> value = {};
  std::optional<base::decimal> bound = {};
  boost::json::object detail = {};  ///< for the audit log
};
/// At once, and for the record. False: it stands already.
boost::asio::awaitable<bool> raise_change_alert(postgres::transaction& open, change_alert what);

enum class alert_step { none, raised, cleared };
/// Idempotent: any number of coordinators may find the same.
boost::asio::awaitable<alert_step> settle(postgres::connection& on, finding what, std::chrono::milliseconds after);
/// By a person. False: no such alert stands.
boost::asio::awaitable<bool> clear_alert(postgres::connection& on, std::int64_t alert, std::string actor);

boost::asio::awaitable<std::vector<open_alert>> open_alerts(postgres::connection& on);
/// By name and severity.
using active_alerts = std::map<std::pair<std::string, std::string>, std::int64_t>;
boost::asio::awaitable<active_alerts> count_active(postgres::connection& on);
/// Makes the notices of what has stood for another interval (0: none), and forgets what is old.
boost::asio::awaitable<void> keep(postgres::connection& on, std::chrono::milliseconds repeat_interval);
/// A JSON array, as the database writes it.
boost::asio::awaitable<std::string> list_alerts(postgres::connection& on, bool recent, std::int64_t max);

/// Raises an alert that is over at once; its notice.
boost::asio::awaitable<std::string> raise_test(postgres::connection& on, std::string actor);
struct delivery_state {
  std::string channel;
  int attempts = 0;
  bool settled = false;
  bool delivered = false;
  std::string error;  ///< of the last attempt
};
/// By the channels that have looked at it.
boost::asio::awaitable<std::vector<delivery_state>> deliveries_of(postgres::connection& on, std::string notice);

struct fleet_figures {
  std::int64_t live_instances = 0;
  std::int64_t silent_instances = 0;
  std::int64_t open_votes = 0;
  std::int64_t watched_changes = 0;
  std::int64_t log_bytes = 0;
  double held_seconds = 0;
  std::string held_by;
};
struct trouble_bounds {
  std::chrono::milliseconds silent{};
  std::chrono::milliseconds forgotten{};  ///< one that was silent for longer is gone
};
boost::asio::awaitable<fleet_figures> read_fleet_figures(postgres::connection& on, trouble_bounds from);

/// One for each kind of holder, also where it holds none.
boost::asio::awaitable<std::vector<held_snapshot>> oldest_snapshots(postgres::connection& on);

boost::asio::awaitable<std::vector<troubled_instance>> troubled_instances(postgres::connection& on,
                                                                          trouble_bounds from);

/// Every change that is to be taken back and of which nothing has been heard since.
boost::asio::awaitable<std::vector<pending_rollback>> pending_rollbacks(postgres::connection& on);

/// The next notice for a channel; for `lease` nobody else gets it.
boost::asio::awaitable<std::optional<boost::json::object>> take_notice(postgres::connection& on, std::string channel,
                                                                       std::chrono::milliseconds lease);
struct delivery {
  std::string notice;
  std::string channel;
  bool delivered = false;
  std::string error;
  std::optional<std::chrono::milliseconds> retry_after = {};  ///< nothing: settled
};
boost::asio::awaitable<void> settle_notice(postgres::connection& on, delivery how);

}  // namespace fleet::central::alerts
