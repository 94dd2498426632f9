// The SQL of proposals: calls of functions in schema `singularity`, and nothing else.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/base/decimal.hpp"
#include "common/base/ids.hpp"
#include "common/base/time.hpp"
#include "common/postgres/connection.hpp"
#include "singularity_agent/proposals/proposal_scorer.hpp"

namespace fleet::agent::proposals {

struct pending_proposal {
  std::string proposal_id;
  std::string agent_type;
  base::decimal impact;
  base::decimal risk;
  base::timestamp submitted;
  std::chrono::milliseconds waiting{};  ///< by the database's clock
};

enum class submit_outcome {
  created,
  same,   ///< it is there with this content
  other,  ///< it is there with other content, or belongs to another instance
  full    ///< too many wait already
};
struct submit_answer {
  submit_outcome outcome = submit_outcome::created;
  boost::json::object proposal;  ///< its summary; empty for `full` and for one of another instance
};

enum class decision_outcome { recorded, repeated, unsent, unknown };

struct sent_proposal {
  base::proposal_id id;
  base::decimal priority;
  base::message_id message{};
};

struct list_query {
  std::optional<std::string> status;
  std::optional<std::string> after;
  int limit = 100;
};

struct step_page {
  std::string next_since;
  boost::json::array steps;  ///< [{proposal_id, from, to, cause, at}]
};

/// All throw `postgres::sql_error`. They act on one instance's rows; the object must outlive its calls.
class proposal_repository {
 public:
  explicit proposal_repository(base::instance_id self) : self_(std::move(self)) {}

  boost::asio::awaitable<submit_answer> submit(postgres::connection& on, boost::json::object proposal,
                                               int max_pending) const;
  boost::asio::awaitable<std::vector<pending_proposal>> pending(postgres::connection& on, int max) const;
  boost::asio::awaitable<std::int64_t> in_flight(postgres::connection& on) const;
  /// By agent type.
  boost::asio::awaitable<std::map<std::string, track_record>> track_records(postgres::connection& on) const;
  /// With its change, profile and metadata.
  boost::asio::awaitable<std::optional<boost::json::object>> find(postgres::connection& on, base::proposal_id id) const;
  boost::asio::awaitable<void> mark_sent(postgres::connection& on, sent_proposal what) const;
  /// For good: it is never sent. False: it does not wait any more.
  boost::asio::awaitable<bool> refuse(postgres::connection& on, base::proposal_id id, std::string why) const;
  boost::asio::awaitable<decision_outcome> record_decision(postgres::connection& on, base::proposal_id id,
                                                           boost::json::object decision) const;
  /// Summaries, newest first.
  boost::asio::awaitable<boost::json::array> list(postgres::connection& on, list_query what) const;
  /// All there is to tell: with decision, votes, history, execution, samples, rollback.
  boost::asio::awaitable<std::optional<boost::json::object>> story(postgres::connection& on,
                                                                   base::proposal_id id) const;
  /// Steps committed since `since` (absent: none, only where to go on from).
  boost::asio::awaitable<step_page> steps_since(postgres::connection& on, std::optional<std::string> since) const;
  boost::asio::awaitable<std::map<std::string, std::int64_t>> depths(postgres::connection& on) const;

  const base::instance_id& self() const { return self_; }

 private:
  base::instance_id self_;
};

}  // namespace fleet::agent::proposals
