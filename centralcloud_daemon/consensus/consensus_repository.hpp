// The SQL of proposals, votes and decisions: calls of functions in the schema `centralcloud`, and nothing else.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/json/object.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "centralcloud_daemon/consensus/rules.hpp"
#include "centralcloud_daemon/timed_piece.hpp"
#include "common/base/ids.hpp"
#include "common/base/time.hpp"
#include "common/messages/consensus_result.hpp"
#include "common/messages/proposal_for_consensus.hpp"
#include "common/messages/safety_profile.hpp"
#include "common/messages/vote.hpp"
#include "common/postgres/transaction.hpp"

namespace fleet::central::consensus {

/// All throw `postgres::sql_error`, and work inside the given transaction.

enum class reception {
  fresh,
  same,
  conflict,  ///< the id has other content
  taken,     ///< the id is another instance's
  too_large  ///< new, and not recorded
};
struct received_proposal {
  reception what = reception::fresh;
  messages::safety_profile profile;  ///< in force for it; filled where `fresh`
};
/// `fits`: whether voters can be asked about it; a new one that does not fit is not recorded.
boost::asio::awaitable<received_proposal> receive_proposal(postgres::transaction& open,
                                                           messages::proposal_for_consensus proposal, bool fits);

struct vote_opening {
  base::proposal_id proposal;
  std::chrono::milliseconds timeout{};
  std::chrono::milliseconds heartbeat_timeout{};
  bool proposer_may_vote = true;
  std::int64_t min_voters = 0;              ///< with fewer present it is not opened yet
  std::chrono::milliseconds voters_wait{};  ///< after this it is opened all the same
};
struct opened_vote {
  std::optional<base::timestamp> deadline;  ///< the database's clock; nothing: not opened yet
  std::int64_t electorate_size = 0;
};
/// Fixes the electorate and the deadline, or waits for voters.
boost::asio::awaitable<opened_vote> open_vote(postgres::transaction& open, vote_opening how);
/// A proposal that waited for voters and need not any longer, locked until the transaction ends. `how.proposal` is not
/// looked at.
boost::asio::awaitable<std::optional<messages::proposal_for_consensus>> take_waiting_proposal(
    postgres::transaction& open, vote_opening how, timed_piece& piece);

enum class vote_reception { counted, not_in_electorate, after_decision, same, different, unknown_proposal };
std::string_view to_string(vote_reception what);
struct recorded_vote {
  vote_reception what = vote_reception::counted;
  std::int64_t electorate_size = 0;          ///< filled where `counted`, as the votes
  std::vector<messages::vote_detail> votes;  ///< all counted ones so far
};
/// Locks the proposal until the transaction ends.
boost::asio::awaitable<recorded_vote> record_vote(postgres::transaction& open, messages::vote vote);

struct due_vote {
  base::proposal_id proposal;
  std::int64_t electorate_size = 0;
  std::vector<messages::vote_detail> votes;
};
/// One vote whose time is up, locked; nothing where none is due or others have them in hand.
boost::asio::awaitable<std::optional<due_vote>> take_due_vote(postgres::transaction& open, timed_piece& piece);

struct recorded_decision {
  base::instance_id proposer;
  std::optional<base::trace_context> trace;  ///< of the proposal
  std::vector<messages::vote_detail> votes;
};
/// Nothing where the proposal was decided already.
boost::asio::awaitable<std::optional<recorded_decision>> record_decision(postgres::transaction& open,
                                                                         base::proposal_id proposal, decision made);

struct confirmed_changes {
  std::vector<std::string> code_changes;  ///< JSON texts of those up to `max_bytes`, newest first
  std::int64_t total = 0;
};
struct comparable {
  std::string agent_type;
  std::optional<std::string> change_type;
  std::size_t max_bytes = 0;
  int max = 0;
};
/// Changes of the same agent type and change type that were confirmed safe.
boost::asio::awaitable<confirmed_changes> confirmed_code_changes(postgres::transaction& open, comparable of);

}  // namespace fleet::central::consensus
