#include "common/quantumflow/consumer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <random>
#include <utility>

#include "common/async/backoff.hpp"
#include "common/base/exception_text.hpp"
#include "common/base/text.hpp"
#include "common/postgres/error.hpp"
#include "common/postgres/operating_failure.hpp"

namespace fleet::quantumflow {

namespace {

/// Between two takes of what is there and is not given, since another worker has it in hand: as long as that worker
/// lives, it goes on with it by itself.
const async::backoff_policy while_in_other_hands{std::chrono::milliseconds(1), std::chrono::milliseconds(20), 2.0, 0.2};

std::chrono::milliseconds with_jitter(std::chrono::milliseconds interval) {
  thread_local std::minstd_rand random{std::random_device{}()};
  std::uniform_real_distribution<double> factor(0.75, 1.25);
  return std::chrono::milliseconds(static_cast<std::int64_t>(static_cast<double>(interval.count()) * factor(random)));
}

/// Whether the server ended a statement that took too long.
bool is_timeout(const std::exception_ptr& what) {
  try {
    std::rethrow_exception(what);
  } catch (const postgres::sql_error& error) {
    return error.kind() == postgres::sql_kind::timeout;
  } catch (...) {
    return false;
  }
}

/// Whether the server ended the session, because the handler asked nothing of it for too long.
bool is_idle_timeout(const std::exception_ptr& what) {
  try {
    std::rethrow_exception(what);
  } catch (const postgres::sql_error& error) {
    return error.sqlstate() == "25P03";
  } catch (...) {
    return false;
  }
}

/// So often in a row a message may alone be too slow before that is its own failure and not a busy server's.
constexpr int slow_times_allowed = 3;

/// Of a session that the server has ended a commit sees only that it is gone; a statement is told why.
boost::asio::awaitable<void> hear_of_limit(postgres::transaction& open, std::chrono::nanoseconds handled_for) {
  const auto limit = open.on().options().idle_in_transaction_timeout;
  if (limit.count() > 0 && handled_for >= limit) co_await open.query("select 1");
}

/// As the database takes it, whatever a handler's libraries have said: a failure that cannot be put on record would be
/// handled again for ever.
std::string recorded(std::string_view error) {
  constexpr std::size_t most = 4000;
  return base::storable(base::abbreviate(error, most));
}

/// What `take_lane` takes.
constexpr int largest_take = 10'000;

}  // namespace

std::string_view fate_of(const outcome& what) {
  switch (what.what) {
    case outcome::kind::done:
      return "done";
    case outcome::kind::failed:
      return what.exhausted ? "dead" : "retried";
    case outcome::kind::rejected:
      break;
  }
  return "rejected";
}

/// One run over a batch: what was taken, what the handler said, and whether it was committed.
struct consumer::attempt {
  int cursor = 0;
  std::vector<message> messages;
  std::vector<outcome> outcomes;
  std::exception_ptr thrown;
  bool committed = false;

  template <class Row>
  void add(const Row& row) {
    cursor = row.template get<int>("cursor_id");
    message taken;
    taken.id = base::message_id{row.template get<std::int64_t>("message_id")};
    taken.body = row.template get<std::string>("body");
    taken.enqueued_at = row.template get<base::timestamp>("enqueued_at");
    taken.attempts = row.template get<int>("attempts");
    messages.push_back(std::move(taken));
  }

  /// Index of the first message that failed, if the handler said which one.
  std::optional<std::size_t> first_failed() const {
    const auto is_failed = [](const outcome& each) { return each.what == outcome::kind::failed; };
    const auto found = std::find_if(outcomes.begin(), outcomes.end(), is_failed);
    if (thrown || found == outcomes.end()) return std::nullopt;
    return static_cast<std::size_t>(found - outcomes.begin());
  }
};

consumer::consumer(postgres::pool& connections, waker& wake_ups, consumer_options options, batch_handler handler,
                   after_commit after)
    : pool_(connections),
      waker_(wake_ups),
      options_(std::move(options)),
      handler_(std::move(handler)),
      after_(std::move(after)) {
  options_.batch_size = std::clamp(options_.batch_size, 1, largest_take);
  options_.pace.smallest = std::clamp(options_.pace.smallest, 1, largest_take);
  options_.pace.largest = std::clamp(options_.pace.largest, options_.pace.smallest, largest_take);
}

boost::asio::awaitable<void> consumer::run(async::stop_token stop) {
  if (overdue_) co_await settle_overdue();
  // After a crash: more than can have been in hand then, in all lanes.
  int suspects = options_.crashes != nullptr && options_.crashes->suspicious() ? options_.batch_size * 10 : 0;
  while (suspects > 0 && !stop.soft_requested()) {
    if (options_.turned) options_.turned();
    const bool found = co_await one_suspect(stop);
    suspects = found ? suspects - 1 : 0;
  }
  using steady = std::chrono::steady_clock;
  int size = next_size_ > 0 ? std::exchange(next_size_, 0) : options_.batch_size;
  bool seen = false;
  async::backoff in_other_hands(while_in_other_hands);
  auto began_before = steady::now();
  auto had_something = steady::time_point::min();
  while (!stop.soft_requested()) {
    std::size_t handled = 0;
    const int lane_before = lane_;
    const auto began = steady::now();
    {
      auto connection = co_await pool_.acquire();
      handled = co_await one_batch(*connection, size, std::nullopt);
    }
    const bool same_lane = lane_ == lane_before;
    const auto linger = linger_before_next(options_.pace, size, handled, began - began_before, same_lane);
    size = next_batch_size(options_.pace, size, handled, steady::now() - began);
    began_before = began;
    if (linger.count() > 0) co_await stop.sleep_for(linger);
    if (handled > 0 || !seen) in_other_hands.reset();
    if (handled > 0) {
      seen = false;
      had_something = steady::now();
      continue;
    }
    if (options_.listeners && steady::now() < had_something + stay_up(options_.listeners())) {
      co_await stop.sleep_for(look_while_up);
      continue;
    }
    if (seen) {
      const auto nap = in_other_hands.next(async::random01());
      co_await stop.sleep_for(nap);
    }
    seen = co_await waker_.sleep(options_.queue, options_.group, with_jitter(options_.poll_interval), stop);
  }
}

/// Takes and settles one batch; narrows it down where something in it fails. Returns how many messages were taken.
boost::asio::awaitable<std::size_t> consumer::one_batch(postgres::connection& connection, int limit,
                                                        std::optional<int> cursor) {
  while (true) {
    if (options_.turned) options_.turned();
    auto current = co_await try_batch(connection, limit, cursor);
    if (current.thrown && postgres::is_operating_failure(current.thrown)) {
      const bool answers = is_timeout(current.thrown) && connection.usable();
      const bool idle = is_idle_timeout(current.thrown);
      const bool blamed = (answers || idle) && is_to_blame(current);
      if (blamed && idle) overdue_ = std::make_shared<attempt>(current);
      if (!blamed || idle) std::rethrow_exception(current.thrown);
      co_await fail(connection, current);
      co_return 1;
    }
    if (current.thrown && current.messages.empty()) std::rethrow_exception(current.thrown);
    if (current.committed || current.messages.empty()) co_return current.messages.size();
    cursor = current.cursor;
    const auto size = static_cast<int>(current.messages.size());
    if (size == 1) {
      co_await fail(connection, current);
      co_return 1;
    }
    const auto failed = current.first_failed();
    limit = failed ? std::max(1, static_cast<int>(*failed)) : size / 2;
  }
}

/// A batch that took too long is halved for the next run, until the message that takes the time stands alone; one that
/// does so again and again would hold up its lane for ever.
bool consumer::is_to_blame(const attempt& too_slow) {
  if (too_slow.messages.empty()) return false;
  next_size_ = std::max(1, static_cast<int>(too_slow.messages.size()) / 2);
  if (too_slow.messages.size() > 1) return false;
  const auto& alone = too_slow.messages.front();
  if (alone.id != slow_) times_slow_ = 0;
  slow_ = alone.id;
  ++times_slow_;
  return times_slow_ >= slow_times_allowed || alone.attempts > 0;
}

/// With a connection of this run, since the message's own is gone.
boost::asio::awaitable<void> consumer::settle_overdue() {
  auto connection = co_await pool_.acquire();
  co_await fail(*connection, *overdue_);
  overdue_.reset();
}

/// Handles one message that may end the process, alone and noted before. False: nothing is there any more, or a stop
/// came.
boost::asio::awaitable<bool> consumer::one_suspect(async::stop_token stop) {
  const auto turn = co_await options_.crashes->next_turn(stop, options_.turned);
  if (!turn.held()) co_return false;
  auto connection = co_await pool_.acquire();
  const auto next = co_await peek(*connection);
  if (next.messages.empty()) co_return false;
  const auto id = base::to_int(next.messages.front().id);
  auto noted = postgres::make_params(next.cursor, id, options_.crashes->run());
  const auto answer =
      co_await connection->query("select quantumflow.note_in_hand($1, $2, $3) as runs", std::move(noted));
  const int crashes = answer.single().get<int>("runs") - 1;
  if (crashes >= crash_guard::crash_limit) {
    co_await bury(*connection, next, crashes);
  } else {
    co_await one_batch(*connection, 1, next.cursor);
  }
  auto handled = postgres::make_params(next.cursor, id);
  co_await connection->query("select quantumflow.clear_note($1, $2)", std::move(handled));
  co_return true;
}

/// Looks at the message that would be next, and gives it back.
boost::asio::awaitable<consumer::attempt> consumer::peek(postgres::connection& connection) {
  attempt next;
  auto transaction = co_await postgres::transaction::begin(connection);
  auto arguments = postgres::make_params(options_.queue, options_.group);
  const auto rows = co_await transaction.query("select * from quantumflow.take_lane($1, $2, 1)", std::move(arguments));
  for (const auto& row : rows) next.add(row);
  co_await transaction.rollback();
  co_return next;
}

boost::asio::awaitable<void> consumer::bury(postgres::connection& connection, const attempt& crasher, int crashes) {
  const auto& message = crasher.messages.front();
  auto transaction = co_await postgres::transaction::begin(connection);
  auto take = postgres::make_params(options_.queue, options_.group, crasher.cursor);
  const auto rows = co_await transaction.query("select * from quantumflow.take_lane($1, $2, 1, $3)", std::move(take));
  // Another process may have been faster.
  if (rows.empty() || rows[0].get<std::int64_t>("message_id") != base::to_int(message.id)) {
    co_await transaction.rollback();
    co_return;
  }
  auto arguments = postgres::make_params(base::to_int(message.id), crashes);
  co_await transaction.query("select quantumflow.bury_crasher($1, $2)", std::move(arguments));
  co_await transaction.commit();
  if (after_) after_(message, outcome::rejected("its consumer's process ended each time while it was handled"));
}

boost::asio::awaitable<consumer::attempt> consumer::try_batch(postgres::connection& connection, int limit,
                                                              std::optional<int> cursor) {
  attempt current;
  const auto began = std::chrono::steady_clock::now();
  auto transaction = co_await postgres::transaction::begin(connection);
  try {
    auto arguments = postgres::make_params(options_.queue, options_.group, limit, cursor);
    const auto rows =
        co_await transaction.query("select * from quantumflow.take_lane($1, $2, $3, $4)", std::move(arguments));
    for (const auto& row : rows) current.add(row);
    if (!current.messages.empty()) {
      lane_ = current.cursor;
      co_await run_handler(transaction, current);
    }
    // An empty take may still have moved the cursor to the end of its window.
    if (!current.first_failed()) {
      if (!current.messages.empty()) co_await hear_of_limit(transaction, std::chrono::steady_clock::now() - began);
      co_await transaction.commit();
      current.committed = true;
    }
  } catch (...) {
    current.thrown = std::current_exception();
  }
  if (!current.committed && transaction.active() && connection.usable()) {
    try {
      co_await transaction.rollback();
    } catch (const postgres::sql_error&) {
      current.thrown = std::current_exception();  // what ended the session comes before what the handler says
    }
  }
  if (current.committed && options_.on_batch && !current.messages.empty())
    options_.on_batch(std::chrono::steady_clock::now() - began);
  if (current.committed && after_) {
    for (std::size_t i = 0; i < current.messages.size(); ++i) after_(current.messages[i], current.outcomes[i]);
  }
  co_return current;
}

boost::asio::awaitable<void> consumer::run_handler(postgres::transaction& transaction, attempt& current) {
  current.outcomes = co_await handler_(transaction, current.messages);
  const bool too_many = current.outcomes.size() > current.messages.size();
  if (current.first_failed() && !too_many) co_return;
  if (current.outcomes.size() != current.messages.size()) {
    const auto text = fmt::format("the handler of {} answered {} outcomes for {} messages", options_.queue,
                                  current.outcomes.size(), current.messages.size());
    throw base::failure(base::make_error(base::error_kind::internal, text));
  }
  for (std::size_t i = 0; i < current.messages.size(); ++i) {
    if (current.outcomes[i].what != outcome::kind::rejected) continue;
    auto arguments = postgres::make_params(base::to_int(current.messages[i].id), recorded(current.outcomes[i].error));
    co_await transaction.query("select quantumflow.reject($1, $2)", std::move(arguments));
  }
}

/// Takes the message again, alone and without its handler, and puts its failure on record.
boost::asio::awaitable<void> consumer::fail(postgres::connection& connection, const attempt& alone) {
  const auto& failed = alone.messages.front();
  const auto error = recorded(alone.thrown ? base::text_of(alone.thrown) : alone.outcomes.front().error);
  auto transaction = co_await postgres::transaction::begin(connection);
  auto take = postgres::make_params(options_.queue, options_.group, 1, alone.cursor);
  const auto rows = co_await transaction.query("select * from quantumflow.take_lane($1, $2, $3, $4)", std::move(take));
  // Another worker may have been faster, or a retry that fell due meanwhile comes first: then this one's turn comes
  // again.
  if (rows.empty() || rows[0].get<std::int64_t>("message_id") != base::to_int(failed.id)) {
    co_await transaction.rollback();
    co_return;
  }
  std::optional<std::int64_t> delay_ms;
  if (options_.retry_delay) delay_ms = options_.retry_delay->count();
  auto arguments = postgres::make_params(base::to_int(failed.id), error, options_.max_retries, delay_ms);
  const auto answer =
      co_await transaction.query("select quantumflow.fail($1, $2, $3, $4::int) as retried", std::move(arguments));
  auto what = outcome::failed(error);
  what.exhausted = !answer.single().get<bool>("retried");
  co_await transaction.commit();
  if (after_) after_(failed, what);
}

boost::asio::awaitable<void> subscribe(postgres::pool& pool, std::string queue, std::string group) {
  auto connection = co_await pool.acquire();
  auto arguments = postgres::make_params(queue, group);
  co_await connection->query("select quantumflow.subscribe($1, $2)", std::move(arguments));
}

}  // namespace fleet::quantumflow
