// The consensus engine: opens votes, counts them, and sends out the one decision of each proposal.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <optional>

#include "centralcloud_daemon/consensus/consensus_repository.hpp"
#include "centralcloud_daemon/consensus/rules.hpp"
#include "centralcloud_daemon/producers.hpp"
#include "common/messages/proposal_for_consensus.hpp"
#include "common/messages/vote.hpp"
#include "common/postgres/transaction.hpp"
#include "common/quantumflow/message.hpp"
#include "common/telemetry/log.hpp"

namespace fleet::central::consensus {

struct engine_settings {
  consensus_settings rules;
  std::chrono::milliseconds voting_timeout{30'000};
  std::chrono::milliseconds heartbeat_timeout{15'000};  ///< an instance not heard of for longer is in no electorate
  bool proposer_may_vote = true;
  /// How long a vote waits for `min_votes` voters to be present before it opens with fewer.
  std::chrono::milliseconds voters_wait{0};
};

/// For the loop's thread. All state is in the database, so several engines, in one process or in many, work side by
/// side: whoever looks at a proposal's votes holds its row, and its decision exists once by its key. Everything happens
/// in the given transaction; throws `base::failure` (also `postgres::sql_error`) when that is lost.
class engine {
 public:
  /// All must outlive the engine; the settings may be changed between two calls.
  engine(producers& out, const engine_settings& settings, telemetry::logger log)
      : out_(out), settings_(settings), log_(std::move(log)) {}

  /// Decides at once where no vote is needed, otherwise opens the vote. Rejected: the id has other content, or the
  /// voters could not be asked about it. Where the id is another instance's, and where it is too large, the proposer is
  /// told so by a result.
  boost::asio::awaitable<quantumflow::outcome> receive_proposal(postgres::transaction& open,
                                                                messages::proposal_for_consensus proposal);
  /// Rejected: there is no such proposal. Any other vote is recorded, or refused with an entry in the audit log.
  boost::asio::awaitable<quantumflow::outcome> receive_vote(postgres::transaction& open, messages::vote vote);
  /// Opens one vote that waited for voters. False: none can be opened.
  boost::asio::awaitable<bool> open_due(postgres::transaction& open, timed_piece& piece);
  /// Decides one proposal whose voting time is over. False: none is due.
  boost::asio::awaitable<bool> decide_due(postgres::transaction& open, timed_piece& piece);

 private:
  struct question {
    base::proposal_id proposal;
    const std::vector<messages::vote_detail>& votes;
    std::int64_t electorate_size = 0;
    bool deadline_passed = false;
  };
  boost::asio::awaitable<void> decide_or_open(postgres::transaction& open,
                                              const messages::proposal_for_consensus& proposal,
                                              const messages::safety_profile& profile);
  boost::asio::awaitable<std::optional<decision>> without_vote(postgres::transaction& open,
                                                               const messages::proposal_for_consensus& proposal,
                                                               const messages::safety_profile& profile);
  vote_opening opening() const;
  boost::asio::awaitable<void> open_or_wait(postgres::transaction& open,
                                            const messages::proposal_for_consensus& proposal);
  decision judge(const question& about) const;
  boost::asio::awaitable<void> carry_out(postgres::transaction& open, base::proposal_id proposal, decision made);

  producers& out_;
  const engine_settings& settings_;
  telemetry::logger log_;
};

}  // namespace fleet::central::consensus
