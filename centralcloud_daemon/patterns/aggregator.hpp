// The pattern aggregator: reports of the same pattern become one; what several instances confirm goes to all.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <string>

#include "centralcloud_daemon/patterns/pattern_repository.hpp"
#include "centralcloud_daemon/patterns/pattern_rules.hpp"
#include "centralcloud_daemon/producers.hpp"
#include "common/messages/pattern_discovered.hpp"
#include "common/postgres/transaction.hpp"
#include "common/quantumflow/message.hpp"
#include "common/telemetry/log.hpp"

namespace fleet::central::patterns {

/// For the loop's thread; everything happens in the given transaction. The queue of reports has one lane, so one report
/// is handled at a time, whatever number of coordinators run: two that are alike cannot become two patterns.
class aggregator {
 public:
  /// All must outlive the aggregator; the settings may be changed between two calls.
  aggregator(producers& out, const pattern_settings& settings, telemetry::logger log)
      : out_(out), settings_(settings), log_(std::move(log)) {}

  boost::asio::awaitable<quantumflow::outcome> receive_report(postgres::transaction& open,
                                                              messages::pattern_discovered report);

 private:
  struct pattern_in_hand {
    std::string id;
    std::string type;
    base::trace_context trace;  ///< of the report that carries it on
  };
  boost::asio::awaitable<std::string> identify(postgres::transaction& open, std::string pattern_type,
                                               std::string fingerprint, std::string code);
  boost::asio::awaitable<void> confirm(postgres::transaction& open, pattern_in_hand what, recorded_pattern recorded);
  boost::asio::awaitable<void> promote(postgres::transaction& open, pattern_in_hand what);

  producers& out_;
  const pattern_settings& settings_;
  telemetry::logger log_;
};

}  // namespace fleet::central::patterns
