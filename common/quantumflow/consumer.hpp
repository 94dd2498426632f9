// Consuming: one worker's loop over transactional batches.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/async/stop.hpp"
#include "common/base/json.hpp"
#include "common/base/trace.hpp"
#include "common/postgres/pool.hpp"
#include "common/postgres/transaction.hpp"
#include "common/quantumflow/crash_guard.hpp"
#include "common/quantumflow/message.hpp"
#include "common/quantumflow/pace.hpp"
#include "common/quantumflow/waker.hpp"

namespace fleet::quantumflow {

/// Handles a batch inside the transaction that acknowledges it: what it writes and publishes there commits together
/// with the batch's place in the queue. Answers one outcome a message, in order, and may stop after the first `failed`.
/// What a rejected message's handling wrote is kept, what a failed one's wrote is not: where a message fails, the batch
/// is given back, what came before it is handled again and committed, and the failed one is tried alone. A throw does
/// the same, in halves, until the message that causes it stands alone. So a handler may be run again for the same
/// messages, and effects outside the transaction do not belong here. The database's own failures cost no message an
/// attempt, with one exception: a message that alone, time after time, takes longer than the server lets a statement
/// run, or a transaction wait for its next one (`postgres::settings::idle_in_transaction_timeout`).
using batch_handler =
    std::function<boost::asio::awaitable<std::vector<outcome>>(postgres::transaction&, std::span<const message>)>;

/// Called after a commit, in order, for every message of the batch: to wake what waits for the handler's writes, to
/// count.
using after_commit = std::function<void(const message&, const outcome&)>;

struct consumer_options {
  std::string queue;
  std::string group;     ///< the consumer group; an instance's own name for queues addressed to instances
  int batch_size = 100;  ///< of the first batch; it grows and shrinks with what a batch costs, see pace.hpp
  pace_limits pace = {};
  std::optional<int> max_retries;                        ///< instead of the queue's own
  std::optional<std::chrono::milliseconds> retry_delay;  ///< instead of the queue's own
  std::chrono::milliseconds poll_interval{2000};         ///< how long a wake-up may be missed, ±25 %
  /// After each commit of a batch that held something: how long it took from taking it.
  std::function<void(std::chrono::nanoseconds)> on_batch = {};
  /// How many sessions listen in the database, roughly; see `stay_up` in pace.hpp. None: a few.
  std::function<std::int64_t()> listeners = {};
  crash_guard* crashes = nullptr;     ///< the process's; none: a poisonous message is not found
  std::function<void()> turned = {};  ///< called before each batch; between two, all waits are bounded
};

/// One worker of a queue. Several may run side by side in one process or in many; each takes the batch of a lane that
/// is free, so that messages of one ordering key are handled in order by one worker at a time.
class consumer {
 public:
  /// All referenced objects must outlive the consumer. The group must be subscribed.
  consumer(postgres::pool& connections, waker& wake_ups, consumer_options options, batch_handler handler,
           after_commit after = {});

  /// Runs until a soft stop: the batch in hand is finished. It does not look at a hard stop. To abandon the batch
  /// cancel the coroutine, as `daemon::supervisor` does at a hard stop: its connection is closed, and the server gives
  /// the batch back when it sees that, at the end of the statement under way. Throws `postgres::sql_error` when the
  /// database fails: the supervisor starts it again.
  boost::asio::awaitable<void> run(async::stop_token stop);

 private:
  struct attempt;
  boost::asio::awaitable<std::size_t> one_batch(postgres::connection& connection, int limit, std::optional<int> cursor);
  boost::asio::awaitable<void> settle_overdue();
  boost::asio::awaitable<bool> one_suspect(async::stop_token stop);
  boost::asio::awaitable<attempt> peek(postgres::connection& connection);
  boost::asio::awaitable<void> bury(postgres::connection& connection, const attempt& crasher, int crashes);
  boost::asio::awaitable<attempt> try_batch(postgres::connection& connection, int limit, std::optional<int> cursor);
  boost::asio::awaitable<void> run_handler(postgres::transaction& transaction, attempt& current);
  boost::asio::awaitable<void> fail(postgres::connection& connection, const attempt& alone);
  bool is_to_blame(const attempt& too_slow);

  postgres::pool& pool_;
  waker& waker_;
  consumer_options options_;
  batch_handler handler_;
  after_commit after_;
  int lane_ = 0;  ///< the cursor of the last batch that held something
  // After a batch that a time limit of the server ended: see `is_to_blame`.
  int next_size_ = 0;
  base::message_id slow_{};
  int times_slow_ = 0;
  std::shared_ptr<attempt> overdue_;  ///< failed, and lost its session: to be put on record by the next run
};

/// Makes `group` a reader of `queue` from now on; safe to repeat.
boost::asio::awaitable<void> subscribe(postgres::pool& pool, std::string queue, std::string group);

/// A batch handler from a handler of one typed message. `M::decode(json::object)` answers `result<M>`; a message that
/// is no JSON object or does not decode is rejected with the error that names the field.
template <class M>
batch_handler handle_each(
    std::function<boost::asio::awaitable<outcome>(postgres::transaction&, const M&, const message&)> handle) {
  return [handle = std::move(handle)](postgres::transaction& transaction,
                                      std::span<const message> batch) -> boost::asio::awaitable<std::vector<outcome>> {
    std::vector<outcome> outcomes;
    for (const auto& each : batch) {
      const auto object = base::parse_json_object(each.body);
      if (!object) {
        outcomes.push_back(outcome::rejected(object.error().message));
        continue;
      }
      const auto decoded = M::decode(*object);
      if (!decoded) {
        outcomes.push_back(outcome::rejected(decoded.error().message));
        continue;
      }
      auto answer = co_await handle(transaction, *decoded, each);
      if constexpr (requires { decoded->trace; }) answer.trace_id = base::trace_id_of(decoded->trace);
      const bool failed = answer.what == outcome::kind::failed;
      outcomes.push_back(std::move(answer));
      if (failed) break;
    }
    co_return outcomes;
  };
}

}  // namespace fleet::quantumflow
