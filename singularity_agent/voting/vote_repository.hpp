// The SQL of votes that this instance is asked for.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/decimal.hpp"
#include "common/base/ids.hpp"
#include "common/base/time.hpp"
#include "common/base/trace.hpp"
#include "common/messages/vote_choice.hpp"
#include "common/postgres/connection.hpp"

namespace fleet::agent::voting {

enum class opened_vote { waiting, answered, late };
enum class answer_outcome {
  cast,     ///< written down; to be published in the same transaction
  same,     ///< this very vote was cast before
  other,    ///< another vote was cast before; votes are final
  late,     ///< the deadline has passed
  unknown,  ///< nobody asked
};

struct vote_answer {
  base::proposal_id proposal;
  messages::vote_choice choice = messages::vote_choice::reject;
  base::decimal confidence;  ///< 0-1
  std::string reason;
  std::string answered_by;  ///< policy, command, person
};

struct answered_vote {
  answer_outcome outcome = answer_outcome::unknown;
  std::optional<base::trace_context> trace = {};  ///< that the request belongs to
};

/// All throw `postgres::sql_error`. The object must outlive its calls.
class vote_repository {
 public:
  explicit vote_repository(base::instance_id self) : self_(std::move(self)) {}

  boost::asio::awaitable<opened_vote> open(postgres::connection& on, boost::json::object request,
                                           base::timestamp deadline) const;
  boost::asio::awaitable<answered_vote> answer(postgres::connection& on, vote_answer what) const;
  boost::asio::awaitable<void> mark_cast(postgres::connection& on, base::proposal_id proposal,
                                         base::message_id message) const;
  /// The requests that can still be answered, nearest deadline first.
  boost::asio::awaitable<boost::json::array> waiting(postgres::connection& on, int max) const;
  /// For the command: the request, with `remaining_ms`.
  boost::asio::awaitable<std::optional<boost::json::object>> next(postgres::connection& on, int max_attempts) const;
  boost::asio::awaitable<void> fail(postgres::connection& on, base::proposal_id proposal, std::string problem) const;

  const base::instance_id& self() const { return self_; }

 private:
  base::instance_id self_;
};

}  // namespace fleet::agent::voting
