// Casts this instance's votes: by the policy at once, by a command a little later, or when a person says so.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <string>

#include "common/async/stop.hpp"
#include "common/base/error.hpp"
#include "common/messages/voting_request.hpp"
#include "common/postgres/pool.hpp"
#include "common/postgres/transaction.hpp"
#include "common/telemetry/log.hpp"
#include "singularity_agent/producers.hpp"
#include "singularity_agent/settings.hpp"
#include "singularity_agent/voting/vote_repository.hpp"
#include "singularity_agent/wake_ups.hpp"

namespace fleet::agent::voting {

/// What the policy says of a request. Pure.
ballot judge(const policy_settings& policy, const messages::voting_request& request);

/// A command's answer: {"vote": "approve"|"reject", "confidence": 0-1, "reason"}. Error `invalid_input`.
base::result<ballot> parse_ballot(std::string_view text);

/// Everything passed by reference must outlive it. For the loop's thread.
class voter {
 public:
  voter(postgres::pool& connections, producers& send, wake_ups& wake, telemetry::logger log, voter_settings settings);

  /// In the consumer's transaction: keeps the request and, in policy mode, votes.
  boost::asio::awaitable<void> take(postgres::transaction& in, messages::voting_request request);

  /// A person's vote, in the caller's transaction. Errors: `not_found` (nobody asked), `conflict` (voted otherwise
  /// before, or too late). The same vote again is fine.
  boost::asio::awaitable<base::result<void>> vote(postgres::transaction& in, vote_answer what);

  /// Command mode: answers requests one after the other until a soft stop. A command that fails is tried again once;
  /// then the request waits for a person. Supervise it.
  boost::asio::awaitable<void> run_command(async::stop_token stop, std::function<void()> turned);
  /// One request of it; false: none waits.
  boost::asio::awaitable<bool> answer_next(async::stop_token stop);

  void set_policy(policy_settings policy) { settings_.policy = std::move(policy); }
  voter_mode mode() const { return settings_.mode; }
  const vote_repository& repository() const { return repository_; }

 private:
  boost::asio::awaitable<answer_outcome> cast(postgres::transaction& in, vote_answer what);
  boost::asio::awaitable<base::result<ballot>> ask_command(boost::json::object request, async::stop_token stop);

  postgres::pool& connections_;
  producers& send_;
  wake_ups& wake_;
  telemetry::logger log_;
  voter_settings settings_;
  vote_repository repository_;
};

}  // namespace fleet::agent::voting
