// What each thing that comes in over the local API means.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/json/object.hpp>
#include <optional>
#include <string_view>

#include "common/base/error.hpp"
#include "common/postgres/transaction.hpp"
#include "singularity_agent/metrics/sample_repository.hpp"
#include "singularity_agent/producers.hpp"
#include "singularity_agent/proposals/proposal_queue.hpp"
#include "singularity_agent/voting/voter.hpp"
#include "singularity_agent/wake_ups.hpp"

namespace fleet::agent::intake {

enum class kind { proposal, proposal_metrics, agent_metrics, vote, pattern };

/// Names that the spool keeps: they outlive a release.
std::string_view to_string(kind what);
std::optional<kind> parse_kind(std::string_view name);

/// Everything passed by reference must outlive it.
class applier {
 public:
  struct parts {
    proposals::proposal_queue& queue;
    voting::voter& votes;
    producers& send;
    const metrics::sample_repository& samples;
    wake_ups& wake;
    proposals::change_form form;
  };
  explicit applier(parts with) : with_(with) {}

  /// The body as it may be applied, now or later: a proposal has its id. Error `invalid_input` with every wrong field.
  base::result<boost::json::object> checked(kind what, boost::json::object body) const;
  /// Applies a checked body; the caller commits. Returns what the API answers. Throws `base::failure` where it is
  /// refused (`conflict`, `not_found`, `unavailable`: too much waits) and `postgres::sql_error`.
  boost::asio::awaitable<boost::json::object> apply(postgres::transaction& in, kind what, boost::json::object body);
  /// After the commit: whose work it is now.
  void wake(kind what);

 private:
  boost::asio::awaitable<boost::json::object> apply_proposal(postgres::transaction& in, boost::json::object body);
  boost::asio::awaitable<boost::json::object> apply_proposal_metrics(postgres::transaction& in,
                                                                     boost::json::object body);
  boost::asio::awaitable<boost::json::object> apply_agent_metrics(postgres::transaction& in, boost::json::object body);
  boost::asio::awaitable<boost::json::object> apply_vote(postgres::transaction& in, boost::json::object body);
  boost::asio::awaitable<boost::json::object> apply_pattern(postgres::transaction& in, boost::json::object body);

  parts with_;
};

}  // namespace fleet::agent::intake
