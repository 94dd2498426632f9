// The Guardian's watch over applied changes: samples in; alerts, at most one rollback, and a confirmation out.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <string>
#include <vector>

#include "centralcloud_daemon/alerts/alert_repository.hpp"
#include "centralcloud_daemon/guardian/guardian_repository.hpp"
#include "centralcloud_daemon/guardian/learning.hpp"
#include "centralcloud_daemon/guardian/rules.hpp"
#include "centralcloud_daemon/producers.hpp"
#include "common/base/error.hpp"
#include "common/messages/execution_metrics.hpp"
#include "common/postgres/transaction.hpp"
#include "common/quantumflow/message.hpp"
#include "common/telemetry/log.hpp"
#include "common/telemetry/metrics.hpp"

namespace fleet::central::guardian {

struct watch_settings {
  std::vector<rule> rules = default_rules();
  std::chrono::milliseconds observation_window{600'000};
  std::chrono::milliseconds metrics_interval{10'000};  ///< the longest time expected between two samples
  std::int64_t missing_intervals = 3;                  ///< silence this long is `metrics_missing`
  bool missing_rolls_back = false;
  bool learns = true;
  learning_settings learning = default_learning();

  std::chrono::milliseconds silence() const { return metrics_interval * missing_intervals; }
};

/// For the loop's thread. As with the consensus engine, all state is in the database, so several may work side by side;
/// everything happens in the given transaction; throws `base::failure` when that is lost.
class watch {
 public:
  /// All must outlive the watch; the settings may be changed between two calls.
  watch(producers& out, const watch_settings& settings, telemetry::logger log, telemetry::metrics& metrics)
      : out_(out), settings_(settings), log_(std::move(log)), metrics_(metrics) {}

  /// Rejected: the proposal is unknown, or another instance applies its change. A change that nobody approved is
  /// watched like any other, and told about.
  boost::asio::awaitable<quantumflow::outcome> receive_sample(postgres::transaction& open,
                                                              messages::execution_metrics sample);
  /// Confirms one change whose window is over, and learns from it. False: none is due.
  boost::asio::awaitable<bool> confirm_due(postgres::transaction& open, timed_piece& piece);
  /// Tells of one watched change whose samples have stopped. False: there is none.
  boost::asio::awaitable<bool> report_silence(postgres::transaction& open, timed_piece& piece);

  /// Sends one instance that is new, or was away for long, the profiles that are held. False: there is none.
  boost::asio::awaitable<bool> tell_profiles(postgres::transaction& open);

  struct operator_request {
    base::proposal_id proposal;
    std::string reason;
    std::string actor;
  };
  struct operator_answer {
    std::string rollback_id;
    bool again = false;  ///< it was triggered before, and its trigger has been sent again
  };
  /// Errors: `not_found` (no such change), `conflict` (it is over).
  boost::asio::awaitable<base::result<operator_answer>> roll_back_by_operator(postgres::transaction& open,
                                                                              operator_request wanted);

 private:
  struct trigger {
    base::proposal_id proposal;
    std::string change_type;
    std::string reason;
    messages::breached_threshold threshold;
    std::string actor;
    std::optional<std::string> note;
  };
  boost::asio::awaitable<std::optional<std::string>> trigger_rollback(postgres::transaction& open, trigger what);
  boost::asio::awaitable<std::optional<std::string>> send_trigger_again(postgres::transaction& open,
                                                                        operator_request wanted);
  boost::asio::awaitable<void> judge(postgres::transaction& open, messages::execution_metrics sample,
                                     recorded_sample recorded);
  boost::asio::awaitable<void> learn(postgres::transaction& open, std::string agent_type);
  boost::asio::awaitable<void> alert(postgres::transaction& open, alerts::change_alert what);
  void count_end(postgres::transaction& open, const messages::execution_metrics& sample,
                 const recorded_sample& recorded);

  producers& out_;
  const watch_settings& settings_;
  telemetry::logger log_;
  telemetry::metrics& metrics_;
};

}  // namespace fleet::central::guardian
