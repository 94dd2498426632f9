// The queue of an instance's own proposals: takes them in, ranks them, and sends the best first.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/json/object.hpp>
#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/async/stop.hpp"
#include "common/postgres/pool.hpp"
#include "common/telemetry/log.hpp"
#include "singularity_agent/producers.hpp"
#include "singularity_agent/proposals/proposal_repository.hpp"
#include "singularity_agent/proposals/proposal_scorer.hpp"
#include "singularity_agent/proposals/submission.hpp"
#include "singularity_agent/settings.hpp"
#include "singularity_agent/wake_ups.hpp"

namespace fleet::agent::proposals {

/// Everything passed by reference must outlive it.
class proposal_queue {
 public:
  /// What a change does to the files here; nothing where that is not known.
  using preview_of = std::function<boost::asio::awaitable<std::optional<boost::json::object>>(boost::json::object)>;

  /// `preview`: empty where the executor has no files to compare with.
  proposal_queue(postgres::pool& connections, producers& send, wake_ups& wake, telemetry::logger log,
                 proposals_settings settings, preview_of preview = {});

  /// Keeps the proposal, in the caller's transaction. `same` is as good as `created`: submitting again is safe.
  boost::asio::awaitable<submit_answer> submit(postgres::transaction& in, submission what);

  /// Sends what waits, highest current priority first, as long as fewer than `max_in_flight` wait for a decision. A
  /// proposal is marked as sent in the transaction that publishes it. Runs until a soft stop; `turned` is called
  /// at each turn of its loop. Supervise it.
  boost::asio::awaitable<void> dispatch(async::stop_token stop, std::function<void()> turned = {});

  /// One round of the above; returns how many were sent. One whose message is refused for good ends here, with the
  /// reason, and nothing else is sent in that round; it counts as one.
  boost::asio::awaitable<std::size_t> send_best();

  const proposal_repository& repository() const { return repository_; }

 private:
  using previews = std::map<std::string, boost::json::object>;
  boost::asio::awaitable<std::vector<queue_place>> best(postgres::connection& on);
  boost::asio::awaitable<previews> look_at(std::vector<queue_place> places);
  struct refused_proposal;
  boost::asio::awaitable<std::optional<refused_proposal>> send_all(std::vector<queue_place> places,
                                                                   const previews& known);
  boost::asio::awaitable<base::result<void>> send_one(postgres::transaction& in, queue_place place,
                                                      const previews& known);
  boost::asio::awaitable<void> refuse(refused_proposal what);

  postgres::pool& connections_;
  producers& send_;
  wake_ups& wake_;
  telemetry::logger log_;
  proposals_settings settings_;
  preview_of preview_;
  proposal_repository repository_;
};

}  // namespace fleet::agent::proposals
